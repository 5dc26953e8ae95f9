"""Speech recognition with a frozen language model: a gated adapter turns frames into embeddings that the model reads.

Shapes: B clips, T frames, D embedding of the audio, H width of the language model, P positions.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from opendasheng import hub
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.metrics import Floats, one_minus_wer

SEPARATOR: Final = "<|vision_end|>"  # what the benchmark puts between audio and text: a token no text holds
MAX_NEW_TOKENS: Final = 200
REPETITION_PENALTY: Final = 1.1
_IGNORED: Final = -100


@dataclass(frozen=True)
class LanguageModel:
    """A causal LM that is never trained, its tokenizer, and what stands between audio and text and after the text."""

    name: str
    model: Any
    tokenizer: Any
    separator: int
    end: int

    @property
    def device(self) -> torch.device:
        """Where the model is, and with it the adapter that is trained before it."""
        return next(iter(self.model.parameters())).device  # type: ignore[no-any-return]

    def tokens(self, text: str) -> list[int]:
        """Separator, text, end."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return [self.separator, *ids, self.end]

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens as text, without special ones."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def load_language_model(name: str, device: torch.device | str = "cpu") -> LanguageModel:
    """A causal LM of transformers by folder or hub id, in float32; of an OpenDasheng model, its text decoder.

    The benchmark's is ``Qwen/Qwen2.5-0.5B``. Where the vocabulary lacks that model's ``<|vision_end|>``, the token that
    begins texts separates audio and text, or else the one that ends them. Raises :class:`EvaluationError` when it
    cannot be loaded or has no token to end a text with.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import opendasheng.model  # noqa: F401  (registers our model with transformers)

    folder = str(hub.bundled_folder()) if name == hub.BUNDLED else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        words = " ".join(str(error).split())[:200]
        raise EvaluationError(f"{name}: not a language model that can be loaded ({words}); name its folder") from error
    model = getattr(model, "decoder", model) if hasattr(model, "audio_encoder") else model
    end = tokenizer.eos_token_id
    if end is None:
        raise EvaluationError(f"{name}: its tokenizer names no token that ends a text (eos_token)")
    known = tokenizer.get_vocab()
    separator = known.get(SEPARATOR, tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end)
    return LanguageModel(name, model.eval().requires_grad_(False).to(device), tokenizer, int(separator), int(end))


class Adapter(nn.Module):
    """Frames -> embeddings: SiLU of one linear layer gates another, a third leads to the model's width."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden)
        self.value = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, out)

    def forward(self, x_TD: Tensor) -> Tensor:
        """``(..., D)`` -> ``(..., H)``."""
        out: Tensor = self.out(silu(self.gate(x_TD)) * self.value(x_TD))
        return out


def adapter(width: int, lm: LanguageModel, seed: int) -> Adapter:
    """A new adapter as wide inside as the feed-forward layers of the model."""
    config = lm.model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Adapter(width, int(config.intermediate_size), int(config.hidden_size)).to(lm.device)


class SpokenBatch(NamedTuple):
    """Frames of each clip, ``(T, D)``, and its tokens."""

    frames: Sequence[Tensor]
    tokens: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Spoken:
    """Clips with their transcripts, as examples for :func:`opendasheng.evaluate.xares.linear.fit`."""

    frames: Sequence[Floats]
    texts: Sequence[str]
    lm: LanguageModel

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, items: Sequence[int]) -> SpokenBatch:
        """The clips with these numbers."""
        frames = [torch.from_numpy(np.array(self.frames[item])).to(self.lm.device) for item in items]
        return SpokenBatch(frames, [self.lm.tokens(self.texts[item]) for item in items])


@dataclass(frozen=True)
class TextLoss:
    """Mean negative log likelihood of separator, text and end after the audio; the audio itself is not predicted."""

    lm: LanguageModel

    def __call__(self, head: nn.Module, batch: SpokenBatch) -> Tensor:
        """Over all tokens of the batch alike. Padding stands on the left, and no position counts it."""
        logits, labels = _forward(head, batch, self.lm)
        return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=_IGNORED)


def _forward(head: nn.Module, batch: SpokenBatch, lm: LanguageModel) -> tuple[Tensor, Tensor]:
    """Logits ``(B, P, V)`` and labels ``(B, P)``, -100 where there is none."""
    table = lm.model.get_input_embeddings()
    rows = [
        torch.cat([head(x_TD), table(torch.tensor(ids, device=lm.device))])
        for x_TD, ids in zip(batch.frames, batch.tokens, strict=True)
    ]
    longest = max(map(len, rows))
    embeds_BPH = torch.stack([nn.functional.pad(row_PH, (0, 0, longest - len(row_PH), 0)) for row_PH in rows])
    labels_BP = torch.full((len(rows), longest), _IGNORED, device=lm.device)
    for labels_P, ids in zip(labels_BP, batch.tokens, strict=True):
        labels_P[longest - len(ids) :] = torch.tensor(ids, device=lm.device)
    lengths_B1 = torch.tensor([[len(row)] for row in rows], device=lm.device)
    mask_BP = torch.arange(longest, device=lm.device) >= longest - lengths_B1
    positions_BP = (mask_BP.long().cumsum(-1) - 1).clamp_min(0)
    out = lm.model(inputs_embeds=embeds_BPH, attention_mask=mask_BP.long(), position_ids=positions_BP, use_cache=False)
    return out.logits, labels_BP


@torch.inference_mode()
def score_forced(head: nn.Module, spoken: Spoken, batch_size: int) -> float:
    """1 - WER of the likeliest token after each true beginning, cut to the length of the truth: to choose an epoch by.

    As in the benchmark, which calls it cheating, for validation only: to generate would take far longer.
    """
    answers = []
    for first in range(0, len(spoken), batch_size):
        batch = spoken.batch(range(first, min(first + batch_size, len(spoken))))
        logits, _ = _forward(head, batch, spoken.lm)
        for logits_PV, ids in zip(logits, batch.tokens, strict=True):
            answers.append(spoken.lm.text(logits_PV[-len(ids) :].argmax(-1).tolist()))
    cut = [answer[: len(text)] for answer, text in zip(answers, spoken.texts, strict=True)]
    return one_minus_wer(cut, spoken.texts)


@torch.inference_mode()
def transcribe(head: nn.Module, spoken: Spoken) -> list[str]:
    """Greedy text of each clip by itself, 200 tokens at most, with the benchmark's penalty of 1.1 on repetition."""
    answers = []
    start = spoken.lm.model.get_input_embeddings()(torch.tensor([spoken.lm.separator], device=spoken.lm.device))
    for item in range(len(spoken)):
        embeds_1PH = torch.cat([head(spoken.batch([item]).frames[0]), start])[None]
        with warnings.catch_warnings():
            # That the penalty is on new tokens alone is as it should be: there are no others.
            warnings.filterwarnings("ignore", message="Passing `repetition_penalty` with `inputs_embeds`")
            tokens = spoken.lm.model.generate(
                inputs_embeds=embeds_1PH,
                attention_mask=torch.ones(embeds_1PH.shape[:2], dtype=torch.long, device=spoken.lm.device),
                do_sample=False,
                max_new_tokens=MAX_NEW_TOKENS,
                repetition_penalty=REPETITION_PENALTY,
                eos_token_id=spoken.lm.end,
                pad_token_id=spoken.lm.end,
            )
        answers.append(spoken.lm.text(tokens[0].tolist()))
    return answers
