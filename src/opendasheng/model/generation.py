"""Decoding: from heard prompts to token ids, one position at a time (SPEC 4.3, 4.5).

Shapes: B prompts, P positions of the longest, A clips of all prompts in reading order, S samples, R rows
that the batch still holds, V vocabulary, C choices scored together, L tokens of the longest of them.
"""

import copy
import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from opendasheng.errors import ConfigError
from opendasheng.model.modeling import MiDashengLMModel

# Ends of an answer in every tokenizer of the family, whatever its files declare (SPEC 4.4).
END_TOKENS = ("<|im_end|>", "<|endoftext|>")

# Choices scored in one pass: each repeats the cache of its prompt.
_CHOICES_AT_ONCE = 16


@dataclass(frozen=True)
class GenerationOptions:
    """How answers are decoded. The defaults are greedy: the likeliest token each time, no randomness.

    ``temperature`` above 0 draws from the softmax of logits / temperature, of the ``top_k`` likeliest
    tokens and of the fewest that hold ``top_p`` of the probability. ``seed`` makes a draw repeatable,
    whatever else is in the batch; without one each answer is drawn anew. ``repetition_penalty`` above 1
    makes tokens that the answer holds already less likely; the prompt does not count. Raises
    :class:`ConfigError` for values out of range.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _require_whole("max_new_tokens", self.max_new_tokens, least=1)
        _require_number("temperature", self.temperature, lambda value: value >= 0, "0 (greedy) or more")
        _require_number("repetition_penalty", self.repetition_penalty, lambda value: value > 0, "more than 0")
        if self.top_k is not None:
            _require_whole("top_k", self.top_k, least=1)
        if self.top_p is not None:
            _require_number("top_p", self.top_p, lambda value: 0 < value <= 1, "within (0, 1]")
        if self.seed is not None:
            _require_whole("seed", self.seed, least=0)
        if self.temperature == 0 and (self.top_k, self.top_p) != (None, None):
            raise ConfigError("top_k and top_p are for sampling: give a temperature above 0 too")

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> "GenerationOptions":
        """Options from keywords; :class:`ConfigError` for an unknown one names the nearest."""
        known = [field.name for field in fields(cls)]
        for name in keywords:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(known)}"
                raise ConfigError(f"unknown generation option {name!r}; {hint}")
        return cls(**keywords)


def _require_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) < 2**63:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def _require_number(name: str, value: object, fits: Callable[[float], bool], wanted: str) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or not fits(float(value)):
        raise ConfigError(f"{name} is {value!r}; it must be {wanted}")


class Prompts(NamedTuple):
    """A batch of prompts as the processor makes it, on the model's device.

    ``input_ids`` and ``attention_mask`` int64 ``(B, P)``, padded on the left; ``input_values`` float32
    ``(A, S)``, 16 kHz, and ``audio_length`` int64 ``(A,)`` in samples, or None where no prompt has a clip.
    """

    input_ids: Tensor
    attention_mask: Tensor
    input_values: Tensor | None = None
    audio_length: Tensor | None = None


def end_token_ids(model: MiDashengLMModel, tokenizer: Any) -> frozenset[int]:
    """Token ids that end an answer: those of ``generation_config.json`` and of the tokenizer, and ``END_TOKENS``.

    Raises :class:`ConfigError` when there are none: no answer would ever end.
    """
    config, declared = model.generation_config, [tokenizer.eos_token_id]
    # Without that file transformers makes one up from defaults of the decoder's class, which mean other
    # tokens.
    stated = config.eos_token_id
    made_up = getattr(config, "_from_model_config", False)
    if not made_up or stated != type(model.config.text_config)().eos_token_id:
        declared += stated if isinstance(stated, list) else [stated]
    vocabulary = tokenizer.get_vocab()
    ids = [*declared, *(vocabulary.get(token) for token in END_TOKENS)]
    known = frozenset(int(token) for token in ids if token is not None)
    if not known:
        raise ConfigError(
            "neither generation_config.json nor the tokenizer names a token that ends an answer: set eos_token_id"
        )
    return known


@dataclass
class State:
    """A batch between two positions. ``logits`` ``(R, V)`` float32 are of the next token; ``mask`` covers the cache."""

    logits: Tensor
    cache: Any
    mask: Tensor

    def keep(self, seats: list[int]) -> None:
        """Drop all rows but these."""
        index = torch.tensor(seats, device=self.mask.device)
        self.cache.batch_select_indices(index)
        self.logits, self.mask = self.logits[index], self.mask[index]


@torch.inference_mode()
def prefill(model: MiDashengLMModel, prompts: Prompts) -> State:
    """Hear and read the prompts; only the logits of the last position are computed."""
    out = model(**prompts._asdict(), use_cache=True, logits_to_keep=1)
    return State(out.logits[:, -1].float(), out.past_key_values, prompts.attention_mask)


@torch.inference_mode()
def _advance(model: MiDashengLMModel, state: State, tokens: list[int]) -> None:
    """Append one token to each row of the batch."""
    input_ids = torch.tensor(tokens, device=state.mask.device)[:, None]
    state.mask = torch.cat([state.mask, torch.ones_like(input_ids)], dim=1)
    out = model(
        input_ids=input_ids,
        attention_mask=state.mask,
        past_key_values=state.cache,
        use_cache=True,
        logits_to_keep=1,
    )
    state.logits, state.cache = out.logits[:, -1].float(), out.past_key_values


class Row:
    """One answer in the making."""

    def __init__(self, options: GenerationOptions, budget: int) -> None:
        self.options = options
        self.budget = budget
        self.tokens: list[int] = []
        self.generator = torch.Generator()
        if options.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(options.seed)

    def choose(self, logits_V: Tensor) -> int:
        """The next token by the options of this row."""
        if self.options.repetition_penalty != 1.0 and self.tokens:
            logits_V = _penalise(logits_V, self.tokens, self.options.repetition_penalty)
        if self.options.temperature == 0:
            return int(logits_V.argmax())
        probabilities_V = _probabilities(logits_V, self.options)
        # On the CPU, so that a seed means the same on every device.
        return int(torch.multinomial(probabilities_V.cpu(), 1, generator=self.generator))


def _penalise(logits_V: Tensor, tokens: list[int], penalty: float) -> Tensor:
    index = torch.tensor(sorted(set(tokens)), device=logits_V.device)
    scores = logits_V[index]
    return logits_V.index_copy(0, index, torch.where(scores < 0, scores * penalty, scores / penalty))


def _probabilities(logits_V: Tensor, options: GenerationOptions) -> Tensor:
    """Softmax at the temperature, zero outside ``top_k`` and ``top_p``; the likeliest token always stays."""
    logits_V = logits_V / options.temperature
    if options.top_k is not None and options.top_k < len(logits_V):
        logits_V = logits_V.masked_fill(logits_V < logits_V.topk(options.top_k).values[-1], -math.inf)
    if options.top_p is not None:
        sorted_V, order_V = logits_V.sort(descending=True)
        shares_V = sorted_V.softmax(-1)
        beyond_V = shares_V.cumsum(-1) - shares_V >= options.top_p
        logits_V = logits_V.scatter(0, order_V, sorted_V.masked_fill(beyond_V, -math.inf))
    return logits_V.softmax(-1)


def decode(
    state: State,
    model: MiDashengLMModel,
    options: GenerationOptions,
    end_ids: frozenset[int],
    budgets: Sequence[int] | None = None,
) -> Iterator[list[int | None]]:
    """Answer the prompts of ``state``: at each position the token of each of B rows, None where a row is over.

    A row is over after a token of ``end_ids``, which is still given, or after as many tokens as its budget
    (``max_new_tokens`` for all when left out). What a row says does not depend on the others. ``state`` is
    used up.
    """
    num_rows = len(state.logits)
    rows = [Row(options, budget) for budget in budgets or [options.max_new_tokens] * num_rows]
    seats = list(range(num_rows))  # the row that sits at each place of the batch
    running = set(seats)
    while running:
        step: list[int | None] = [None] * num_rows
        likeliest = state.logits.argmax(-1).tolist()
        plain = options.temperature == 0 and options.repetition_penalty == 1.0
        for seat, number in enumerate(seats):
            if number not in running:
                continue
            row = rows[number]
            token = likeliest[seat] if plain else row.choose(state.logits[seat])
            row.tokens.append(token)
            step[number] = token
            if token in end_ids or len(row.tokens) >= row.budget:
                running.discard(number)
        yield step
        # Taking rows out copies the cache of all others, so wait until it halves the work.
        if 2 * len(running) <= len(seats) and running:
            staying = [seat for seat, number in enumerate(seats) if number in running]
            state.keep(staying)
            seats = [seats[seat] for seat in staying]
        if running:
            _advance(model, state, [rows[number].tokens[-1] for number in seats])


@torch.inference_mode()
def score_choices(
    state: State,
    row: int,
    model: MiDashengLMModel,
    choices: Sequence[Sequence[int]],
    end_ids: frozenset[int],
) -> list[float]:
    """Log-likelihood, in nats, that the answer of a ``row`` is exactly each of ``choices`` and then ends.

    ``choices`` are token ids, none of them empty. The prompt is not heard again: its cache is repeated, and
    ``state`` stays as it was.
    """
    alone = State(state.logits, _branch(state.cache), state.mask)
    alone.keep([row])
    scores: list[float] = []
    for start in range(0, len(choices), _CHOICES_AT_ONCE):
        scores += _score_group(alone, model, choices[start : start + _CHOICES_AT_ONCE], end_ids)
    return scores


def _score_group(
    prompt: State, model: MiDashengLMModel, choices: Sequence[Sequence[int]], end_ids: frozenset[int]
) -> list[float]:
    device, longest = prompt.mask.device, max(map(len, choices))
    lengths_C = torch.tensor([len(choice) for choice in choices], device=device)
    ids_CL = torch.tensor([[*choice, *[0] * (longest - len(choice))] for choice in choices], device=device)
    given_CL = torch.arange(longest, device=device) < lengths_C[:, None]
    cache = _branch(prompt.cache)
    cache.batch_repeat_interleave(len(choices))
    mask = torch.cat([prompt.mask.repeat(len(choices), 1), given_CL.long()], dim=1)
    out = model(input_ids=ids_CL, attention_mask=mask, past_key_values=cache, use_cache=True)
    # Of what follows the prompt, the first token of a choice, and so on: (C, L + 1, V).
    logits = torch.cat([prompt.logits.expand(len(choices), 1, -1), out.logits.float()], dim=1)
    totals = logits.logsumexp(-1)
    said_CL = logits[:, :-1].gather(2, ids_CL[..., None])[..., 0] - totals[:, :-1]
    places = torch.arange(len(choices), device=device)
    ended_C = logits[places, lengths_C][:, sorted(end_ids)].logsumexp(-1) - totals[places, lengths_C]
    scores: list[float] = (said_CL.masked_fill(~given_CL, 0.0).double().sum(1) + ended_C.double()).tolist()
    return scores


def _branch(cache: Any) -> Any:
    """A cache that grows apart from this one; what both hold is shared until one of them changes."""
    branch = copy.copy(cache)
    branch.layers = [copy.copy(layer) for layer in cache.layers]
    return branch
