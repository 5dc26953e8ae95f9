"""The one way to run a model: load it and ask it about clips. Text comes whole, in pieces, or clip by clip."""

import logging
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, overload

import torch
from transformers.utils import logging as transformers_logging

from opendasheng import hub
from opendasheng.devices import pick_device
from opendasheng.errors import CheckpointError, ConfigError, DashengError
from opendasheng.model import MiDashengLMModel, MiDashengLMProcessor
from opendasheng.model.conversation import Conversation
from opendasheng.model.generation import (
    GenerationOptions,
    State,
    decode,
    end_token_ids,
    prefill,
    score_choices,
)
from opendasheng.model.loading import compute_dtype
from opendasheng.request import (
    Clip,
    FinishReason,
    Prepared,
    Preparer,
    Request,
    Result,
    Timings,
    checked_choices,
    collate,
    into_batches,
)

__all__ = ["MAX_SECONDS", "Answer", "Engine", "GenerationOptions", "Request", "Result", "Timings", "load"]

# The longest clip that is taken unasked. Released models were trained on far shorter ones: 4:17 still works, in 5:37
# the 7B model falls into a loop (SPEC 1.4). Longer audio is for windows, or for who knows better.
MAX_SECONDS = 300.0

# How much is opened ahead, so that clips of like length can run together: memory stays bounded whatever is asked.
_WINDOW_BATCHES = 4
_WINDOW_SECONDS = 2400.0
_BATCH_SECONDS = 320.0

Answer: TypeAlias = Result | DashengError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def load(
    name: str | os.PathLike[str] = hub.BUNDLED,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
    offline: bool | None = None,
) -> "Engine":
    """Load a model: ``"mini"`` (the bundled one), a folder in the released layout, or a hub id.

    ``device`` "auto" is CUDA, else MPS, else the CPU; ``dtype`` "auto" is bfloat16 on CUDA, else float32.
    ``revision`` and ``offline`` are for hub ids, see :func:`opendasheng.hub.resolve`. Raises
    :class:`CheckpointError` in one line for a model that cannot be had or does not fit,
    :class:`ConfigError` for a device that is not there.
    """
    where = pick_device(device)
    number = compute_dtype(dtype, where)
    folder = hub.resolve(name, revision, offline)
    with quiet_transformers():
        model = _part(name, lambda: MiDashengLMModel.from_pretrained(folder, dtype=number))
        processor = _part(name, lambda: MiDashengLMProcessor.from_pretrained(folder))
    return Engine(model.to(where), processor, name=str(name))


def _part(name: object, load_part: Callable[[], _T]) -> _T:
    try:
        return load_part()
    except DashengError:
        raise
    except Exception as error:  # tokenizers knows no narrower one for a damaged file
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(f"{name}: the model cannot be loaded ({words}); fetch it again") from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No weight bar and no chatter: what is wrong with a model comes as an error."""
    verbosity, had_bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bar:
            transformers_logging.enable_progress_bar()


class Engine:
    """A model with its processor, ready to answer. ``name`` is what it was loaded by."""

    def __init__(self, model: MiDashengLMModel, processor: MiDashengLMProcessor, *, name: str = "model") -> None:
        """Raises :class:`CheckpointError` when model and tokenizer do not belong together."""
        self.model = model.eval()
        self.processor = processor
        self.name = name
        self.device = next(model.parameters()).device
        tokenizer = processor.tokenizer
        num_known = model.config.text_config.vocab_size
        if len(tokenizer) > num_known:
            raise CheckpointError(f"{name}: the tokenizer has {len(tokenizer)} tokens, the decoder knows {num_known}")
        if model.config.audio_token_id is None:  # then the tokenizer alone knows (SPEC 4.4)
            model.config.audio_token_id = processor.audio_token_id
        if model.config.audio_token_id != processor.audio_token_id:
            raise CheckpointError(
                f"{name}: audio_token_id is {model.config.audio_token_id} in config.json, but "
                f"{processor.audio_token} is {processor.audio_token_id} to the tokenizer"
            )
        self.end_ids = end_token_ids(model, tokenizer)
        self.max_positions: int | None = getattr(model.config.text_config, "max_position_embeddings", None)
        self._prepare = Preparer(processor, self.max_positions)
        pad_id = tokenizer.pad_token_id
        self._pad_id = min(self.end_ids) if pad_id is None else pad_id

    @overload
    def generate(self, audio: list[Any], prompt: str | Sequence[str] | None = ..., **options: Any) -> list[Any]: ...

    @overload
    def generate(self, audio: Clip, prompt: str | None = ..., **options: Any) -> Result: ...

    def generate(
        self,
        audio: Any,
        prompt: str | Sequence[str] | None = None,
        *,
        system: str | None = None,
        context: str | Iterable[str] | None = None,
        choices: Sequence[str] | None = None,
        batch_size: int | None = None,
        max_seconds: float | None = MAX_SECONDS,
        on_error: Literal["raise", "return"] = "raise",
        **options: Any,
    ) -> Any:
        """Ask about one clip, or about each of a list: a :class:`Result`, or a list of them in the order given.

        A clip is a path, URL, bytes, binary file, an array at 16 kHz, or a pair of an array and its rate in
        Hz. ``prompt`` is one text for all or a list of as many; ``context`` names and terms to expect; with
        ``choices`` the answer is the likeliest of them. ``options`` are those of
        :class:`GenerationOptions`: ``max_new_tokens``, ``temperature``, ``top_k``, ``top_p``,
        ``repetition_penalty``, ``seed``. Batches change no answer, only the speed: ``batch_size`` None
        picks one for the device.

        Raises :class:`AudioError` for a clip that cannot be heard or is longer than ``max_seconds`` (None:
        no limit), :class:`ConfigError` for other wishes that cannot be met; with ``on_error="return"`` the
        errors of single clips stand in the list instead.
        """
        if on_error not in ("raise", "return"):
            raise ConfigError(f"on_error is {on_error!r}; it is 'raise' or 'return'")
        many = isinstance(audio, list)
        clips: list[Any] = audio if many else [audio]
        texts: list[Any] = list(prompt) if isinstance(prompt, list | tuple) else [prompt] * len(clips)
        if len(texts) != len(clips):
            raise ConfigError(
                f"{len(texts)} prompts for {len(clips)} clips; give one prompt, or one for each clip of a list"
            )
        requests = [
            Request.ask(clip, text, system=system, context=context, choices=choices, name=_name(clip, place, many))
            for place, (clip, text) in enumerate(zip(clips, texts, strict=True))
        ]
        answers: list[Answer | None] = [None] * len(clips)
        decoding = GenerationOptions.of(options)
        for index, answer in self.answers(requests, decoding, batch_size=batch_size, max_seconds=max_seconds):
            if isinstance(answer, DashengError) and on_error == "raise":
                raise answer
            answers[index] = answer
        return answers if many else answers[0]

    def chat(
        self,
        messages: Conversation,
        *,
        choices: Sequence[str] | None = None,
        max_seconds: float | None = MAX_SECONDS,
        **options: Any,
    ) -> Result:
        """Answer a conversation of any number of turns and clips; messages are those of the chat template.

        An item of a message's content is ``{"type": "text", "text": ...}`` or ``{"type": "audio", "audio":
        ...}`` (also "path" or "url"), a clip being one of :meth:`generate`. Raises what that does.
        """
        request = Request(messages, None if choices is None else checked_choices(choices))
        [(_, answer)] = self.answers([request], GenerationOptions.of(options), max_seconds=max_seconds)
        if isinstance(answer, DashengError):
            raise answer
        return answer

    def stream(
        self,
        audio: Clip,
        prompt: str | None = None,
        *,
        system: str | None = None,
        context: str | Iterable[str] | None = None,
        max_seconds: float | None = MAX_SECONDS,
        **options: Any,
    ) -> Generator[str, None, Result]:
        """Ask about one clip and get the text in pieces as it comes; joined they are the text of :meth:`generate`.

        No piece splits a character. Errors are raised at once, before the first piece. The :class:`Result`
        is the value that the generator returns.
        """
        request = Request.ask(audio, prompt, system=system, context=context)
        return self.stream_request(request, GenerationOptions.of(options), max_seconds=max_seconds)

    def stream_request(
        self,
        request: Request,
        options: GenerationOptions | None = None,
        *,
        max_seconds: float | None = MAX_SECONDS,
    ) -> Generator[str, None, Result]:
        """:meth:`stream` for a whole conversation. Raises :class:`ConfigError` for a request with choices."""
        if request.choices is not None:
            raise ConfigError("an answer out of choices comes whole: it cannot be streamed")
        return self._pieces(self._prepare(request, 0, max_seconds), options or GenerationOptions())

    def answers(
        self,
        requests: Iterable[Request],
        options: GenerationOptions | None = None,
        *,
        batch_size: int | None = None,
        max_seconds: float | None = MAX_SECONDS,
    ) -> Iterator[tuple[int, Answer]]:
        """Answer any number of requests in bounded memory: ``(index, Result or error)`` as they are done.

        Requests are drawn as they are needed. A few batches' worth is opened at a time and sorted by
        length, so the order of the answers is that of the requests only from one such window to the next;
        errors come first.
        """
        options = options or GenerationOptions()
        size = self._batch_size(batch_size)
        window: list[Prepared] = []
        for index, request in enumerate(requests):
            try:
                window.append(self._prepare(request, index, max_seconds))
            except DashengError as error:
                yield index, error
            opened = sum(item.audio_seconds for item in window)
            if len(window) >= (_WINDOW_BATCHES * size if size > 1 else 1) or opened >= _WINDOW_SECONDS:
                yield from self._answer_window(window, options, size)
                window = []
        yield from self._answer_window(window, options, size)

    def _batch_size(self, wanted: int | None) -> int:
        if wanted is None:
            return 8 if self.device.type == "cpu" else 16
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
            raise ConfigError(f"batch_size is {wanted!r}; it must be a whole number of at least 1")
        return wanted

    def _answer_window(
        self, window: list[Prepared], options: GenerationOptions, batch_size: int
    ) -> Iterator[tuple[int, Answer]]:
        for batch in into_batches(window, batch_size, _BATCH_SECONDS):
            for item, answer in zip(batch, self._answer_batch(batch, options), strict=True):
                yield item.index, answer

    def _answer_batch(self, batch: list[Prepared], options: GenerationOptions) -> Sequence[Answer]:
        """The answers of a batch; where it does not fit in the device's memory, of its halves."""
        try:
            return self._choose(batch) if batch[0].choices else self._write(batch, options)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                room = (
                    f"{batch[0].audio_seconds:.1f} s of audio and its answer do not fit in the memory of {self.device}"
                )
                failure = ConfigError(f"{room}; use another device or dtype, or a shorter clip")
                failure.__cause__ = error
                return [failure]
        _log.info("a batch of %d does not fit in the memory of %s: halving it", len(batch), self.device)
        half = len(batch) // 2
        return [*self._answer_batch(batch[:half], options), *self._answer_batch(batch[half:], options)]

    def _start(self, batch: Sequence[Prepared]) -> State:
        return prefill(self.model, collate(batch, self._pad_id, self.device))

    def _write(self, batch: Sequence[Prepared], options: GenerationOptions) -> list[Result]:
        began = time.perf_counter()
        state = self._start(batch)
        heard = time.perf_counter()
        budgets = [self._budget(item, options) for item in batch]
        tokens: list[list[int]] = [[] for _ in batch]
        for step in decode(state, self.model, options, self.end_ids, budgets):
            for row, token in zip(tokens, step, strict=True):
                if token is not None:
                    row.append(token)
        spent = (heard - began, time.perf_counter() - heard)
        return [self._result(item, row, spent) for item, row in zip(batch, tokens, strict=True)]

    def _choose(self, batch: Sequence[Prepared]) -> list[Result]:
        began = time.perf_counter()
        state = self._start(batch)
        heard = time.perf_counter()
        chosen: list[tuple[str, int]] = []
        for row, item in enumerate(batch):
            assert item.choices is not None
            tokens = [self._encode(choice) for choice in item.choices]
            scores = score_choices(state, row, self.model, tokens, self.end_ids)
            best = max(range(len(scores)), key=scores.__getitem__)
            chosen.append((item.choices[best], len(tokens[best])))
        spent = (heard - began, time.perf_counter() - heard)
        return [
            self._result_of(item, text, num_tokens, "choice", spent)
            for item, (text, num_tokens) in zip(batch, chosen, strict=True)
        ]

    def _pieces(self, item: Prepared, options: GenerationOptions) -> Generator[str, None, Result]:
        began = time.perf_counter()
        state = self._start([item])
        heard = time.perf_counter()
        tokens: list[int] = []
        sent = ""
        for [token] in decode(state, self.model, options, self.end_ids, [self._budget(item, options)]):
            assert token is not None
            tokens.append(token)
            # An unfinished character decodes as U+FFFD, and space may turn out to be the end of the text.
            ready = self._decode(tokens).rstrip("\ufffd").rstrip()
            if len(ready) > len(sent):
                yield ready[len(sent) :]
                sent = ready
        result = self._result(item, tokens, (heard - began, time.perf_counter() - heard))
        if len(result.text) > len(sent):
            yield result.text[len(sent) :]
        return result

    def _budget(self, item: Prepared, options: GenerationOptions) -> int:
        """New tokens that a request may have: never more than positions are left."""
        if self.max_positions is None:
            return options.max_new_tokens
        return min(options.max_new_tokens, self.max_positions - len(item.input_ids))

    def _result(self, item: Prepared, tokens: list[int], spent: tuple[float, float]) -> Result:
        ended = bool(tokens) and tokens[-1] in self.end_ids
        reason: FinishReason = "stop" if ended else "length"
        return self._result_of(item, self._decode(tokens), len(tokens) - ended, reason, spent)

    def _result_of(
        self, item: Prepared, text: str, num_new: int, reason: FinishReason, spent: tuple[float, float]
    ) -> Result:
        return Result(
            text=text,
            num_audio_tokens=item.input_ids.count(self.processor.audio_token_id),
            num_prompt_tokens=len(item.input_ids),
            num_new_tokens=num_new,
            finish_reason=reason,
            audio_seconds=item.audio_seconds,
            timings=Timings(item.load_seconds, *spent),
        )

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.processor.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _decode(self, tokens: list[int]) -> str:
        text = self.processor.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).strip()


def _name(clip: object, place: int, many: bool) -> str | None:
    """What errors call a clip of a list that has no name of its own."""
    return f"clip {place}" if many and not isinstance(clip, str | Path | os.PathLike) else None
