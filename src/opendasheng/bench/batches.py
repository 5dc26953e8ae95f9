"""What batches save: the work of our batches against that of random ones, for clips as long as the paper's (Figure 3).

Lengths: nineteen in twenty clips are log-normal about a median of 5.6 s, the rest lie evenly between 10 and 30 s; the
mean is about 7 s and 85 % are at most 10 s. Answers are log-normal about 21 tokens whatever the length of the clip: the
least that a text can have in common with its audio, so that what a batch alike in both costs is not told too low.
Counted is what an encoder computes, in patches of 40 ms: ours groups clips of like length and as many tokens, a plain
loader pads 32 random clips to the longest of them, Whisper's way is 30 s for every clip. Steps are timed with answers
of three tokens a second: the time of the audio is compared, not of the answers.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from opendasheng.bench.timing import Comparison, Work
from opendasheng.data.batching import length_bounded_batches
from opendasheng.lengths import SAMPLE_RATE_HZ, num_audio_tokens, num_patches
from opendasheng.model import MiDashengLMConfig, MiDashengLMModel

RANDOM_CLIPS: Final = 32
PADDED_SECONDS: Final = 30.0
GOAL: Final = 2.5
_BATCH_SECONDS = 112.0  # 16 clips of the mean length, so that the few clips that are timed make batches of like length
_COUNTED_CLIPS, _TIMED_CLIPS = 20_000, 160
_PROMPT_TOKENS, _TOKENS_A_SECOND = 24, 3.0


class Length(NamedTuple):
    """A clip of which only the length is known, and that of the answer about it."""

    duration_seconds: float
    answer_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Of the audio and of the answer."""
        return int(num_audio_tokens(_samples(self))) + self.answer_tokens


class Count(NamedTuple):
    """Patches of the clips, and patches that are computed for them."""

    useful: int
    computed: int


def mix(num_clips: int, seed: int = 0) -> list[Length]:
    """Clips and answers as long as those of the mix above, the same for the same ``seed``."""
    random = np.random.default_rng(seed)
    usual = np.clip(5.6 * np.exp(0.45 * random.standard_normal(num_clips)), 1.0, PADDED_SECONDS)
    long = random.uniform(10.0, PADDED_SECONDS, num_clips)
    chosen = np.where(random.random(num_clips) < 0.05, long, usual)
    answers = np.clip(21.0 * np.exp(0.7 * random.standard_normal(num_clips)), 1, 400)
    return [Length(float(seconds), int(tokens)) for seconds, tokens in zip(chosen, answers, strict=True)]


def ours(clips: Sequence[Length], seed: int = 0) -> list[list[Length]]:
    """The clips in batches of training."""
    return length_bounded_batches(
        clips,
        batch_seconds=_BATCH_SECONDS,
        batch_clips=1_000_000,
        seed=[seed],
        tokens=attrgetter("tokens"),
    )


def random(clips: Sequence[Length]) -> list[list[Length]]:
    """The clips in their order (a mix is in random order), 32 at a time."""
    return [list(clips[start : start + RANDOM_CLIPS]) for start in range(0, len(clips), RANDOM_CLIPS)]


def counts(num_clips: int = _COUNTED_CLIPS) -> dict[str, Count]:
    """What each of the three ways computes for the same clips."""
    clips = mix(num_clips)
    useful = sum(map(_patches, clips))
    every = len(clips) * _patches(Length(PADDED_SECONDS))
    return {
        "ours": Count(useful, _computed(ours(clips))),
        "random": Count(useful, _computed(random(clips))),
        "30 s": Count(useful, every),
    }


def _computed(batches: Sequence[Sequence[Length]]) -> int:
    """Patches of all batches, each clip as long as the longest beside it."""
    return sum(len(batch) * max(map(_patches, batch)) for batch in batches)


def _samples(clip: Length) -> int:
    return round(clip.duration_seconds * SAMPLE_RATE_HZ)


def _patches(clip: Length) -> int:
    return int(num_patches(_samples(clip)))


def comparisons(config: MiDashengLMConfig, num_clips: int = _TIMED_CLIPS) -> Iterator[Comparison]:
    """Training steps of a model of ``config`` (random weights) on the same clips, in our batches and in random ones.

    The bound is that of the patches of these clips: the encoder cannot save more.
    """
    torch.manual_seed(0)
    with torch.inference_mode(False):
        trainer = Trainer(MiDashengLMModel(config).float().train())
    clips = mix(num_clips)
    grouped, shuffled = ours(clips), random(clips)
    yield Comparison(
        name=f"training, {num_clips} clips of the mix, random batches of {RANDOM_CLIPS}",
        our_name="batches of like length",
        their_name="random batches, padded",
        ours=trainer.work(grouped, padded=False),
        theirs=trainer.work(shuffled, padded=True),
        goal=GOAL if num_clips == _TIMED_CLIPS else None,
        bound=_computed(shuffled) / _computed(grouped),
    )


@dataclass
class Trainer:
    """A model that takes optimiser steps on noise, a step a batch."""

    model: MiDashengLMModel

    def __post_init__(self) -> None:
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=True)

    def work(self, batches: Sequence[Sequence[Length]], *, padded: bool) -> Work:
        """A pass over the batches. Where ``padded``, the encoder computes the padding, as one that masks it does."""
        return lambda: [self.step(batch, padded=padded) for batch in batches]

    def step(self, clips: Sequence[Length], *, padded: bool) -> float:
        """One step; its loss. A bench runs without gradients, a step does not."""
        with torch.inference_mode(False), torch.enable_grad():
            return self._step(clips, padded)

    def _step(self, clips: Sequence[Length], padded: bool) -> float:
        lengths_A = torch.tensor([_samples(clip) for clip in clips])
        audio_AS = 0.1 * torch.randn(len(clips), int(lengths_A.max()))
        ids_AP, labels_AP, mask_AP = self._texts(lengths_A)
        if padded:
            out = self.model(
                inputs_embeds=self._embeds(ids_AP, audio_AS, lengths_A), attention_mask=mask_AP, labels=labels_AP
            )
        else:
            audio = {"input_values": audio_AS, "audio_length": lengths_A}
            out = self.model(input_ids=ids_AP, attention_mask=mask_AP, labels=labels_AP, **audio)
        out.loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        loss = float(out.loss.item())
        assert math.isfinite(loss), "the time of a step that overflows means nothing"
        return loss

    def _texts(self, lengths_A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Conversations of audio, prompt and answer, padded on the left: ids, labels and mask, int64 ``(A, P)``."""
        audio_id = self.model.config.audio_token_id
        rows, answers = [], []
        for samples in lengths_A.tolist():
            answer = max(1, round(_TOKENS_A_SECOND * samples / SAMPLE_RATE_HZ))
            rows.append([audio_id] * int(num_audio_tokens(samples)) + [1] * (_PROMPT_TOKENS + answer))
            answers.append(answer)
        width = max(map(len, rows))
        ids_AP = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        mask_AP = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        labels_AP = torch.tensor([[-100] * (width - answer) + [1] * answer for answer in answers])
        return ids_AP, labels_AP, mask_AP

    def _embeds(self, ids_AP: Tensor, audio_AS: Tensor, lengths_A: Tensor) -> Tensor:
        """Embeddings ``(A, P, H)`` with the tokens of each clip; all are heard to the end of the longest."""
        model, whole_A = self.model, torch.full_like(lengths_A, audio_AS.shape[1])
        tokens_ANH, _ = model.audio_projector(*model.audio_encoder(model.log_mel(audio_AS, whole_A), whole_A))
        kept = [
            tokens_NH[: int(num_audio_tokens(samples))]
            for tokens_NH, samples in zip(tokens_ANH, lengths_A.tolist(), strict=True)
        ]
        places_APH = (ids_AP == model.config.audio_token_id)[..., None]
        embeds_APH: Tensor = model.get_input_embeddings()(ids_AP).masked_scatter(places_APH, torch.cat(kept))
        return embeds_APH
