"""How a run is doing on the dev split: the loss of a fixed set of draws, and a few answers in words."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from opendasheng.data.augment import AugmentConfig
from opendasheng.data.batching import BatchPlan, Sized, no_tokens
from opendasheng.data.clip import KINDS, Clip
from opendasheng.data.mixture import Draw, Mixture, MixtureConfig
from opendasheng.data.shards import ShardReader
from opendasheng.errors import ConfigError
from opendasheng.model import MiDashengLMModel, MiDashengLMProcessor
from opendasheng.train.collate import IGNORED, Collator
from opendasheng.train.config import RunConfig
from opendasheng.train.learner import Batch, TellClip
from opendasheng.train.reading import read_batch, telling

log = logging.getLogger(__name__)

_ANSWER_TOKENS = 40
D = TypeVar("D", bound=Sized)


def mixture_of(config: MixtureConfig, clips: Sequence[Clip]) -> MixtureConfig:
    """The mixture of a run for dev ``clips``: the sources that they have, heard as they are."""
    known = {clip.source for clip in clips} | set(KINDS)
    repeats = {name: rate for name, rate in config.repeats.items() if name in known}
    return replace(config, repeats=repeats, augment=AugmentConfig(), joined_share=0.0)


def dev_batches(clips: Sequence[Clip], plan: Callable[[], BatchPlan[D]], num_batches: int) -> list[list[D]]:
    """The first batches of a ``plan`` of dev ``clips``, which is made here; none, and a word in the log, where the
    limits and rates of training leave none of them: that is no reason not to train."""
    if not clips:
        return []
    try:
        return plan().epoch(0)[:num_batches]
    except ConfigError as error:
        log.info("none of the %d dev clips is usable, so the run is not validated: %s", len(clips), error)
        return []


class Validation:
    """The same dev batches at every call; silent (no values) when the corpus has no dev clips that are usable."""

    def __init__(self, config: RunConfig, processor: MiDashengLMProcessor, max_positions: int | None) -> None:
        """``max_positions`` is what the decoder can hold of a conversation; dev clips over the limits of training clips
        are left out as those are."""
        reader = ShardReader(config.data.corpus, split="dev")
        self.clips = reader.clips
        self.tokenizer = processor.tokenizer
        self.collate = Collator(
            reader, processor, max_answer_tokens=config.data.max_answer_tokens, max_positions=max_positions
        )
        self.batches: list[list[Draw]] = dev_batches(reader.clips, lambda: self._plan(config), config.loop.eval_batches)
        self.samples: list[Draw] = []
        if self.batches:
            self.samples = list(self._plan(config).draws.epoch(0)[: config.loop.samples])

    def _plan(self, config: RunConfig) -> BatchPlan[Draw]:
        data = config.data
        return BatchPlan(
            Mixture(self.clips, mixture_of(data.mixture, self.clips), config.seed),
            batch_seconds=data.batch_seconds,
            batch_clips=data.batch_clips,
            # Without a bound the batches are those of audio alone, so that dev losses can be compared with older ones.
            tokens=self.collate.num_positions if data.batch_tokens else no_tokens,
            batch_tokens=data.batch_tokens,
        )

    def __call__(self, model: MiDashengLMModel, placed: Callable[[Batch], Batch], tell: TellClip) -> dict[str, object]:
        """``dev_loss`` (mean over answer tokens, nats), by task too, and ``samples``: question, truth and answer.

        ``placed`` moves a batch to where the model is; ``tell`` hears of clips that cannot be read.
        """
        if not self.batches:
            return {}
        model.eval()
        sums: dict[str, list[float]] = {}
        with torch.inference_mode():
            for draws in self.batches:
                kept, batch = read_batch(self.collate, draws, telling(self.clips, tell))
                losses = [] if batch is None else self._losses(model, placed(batch))
                for draw, (loss, count) in zip(kept, losses, strict=True):
                    for key in ("dev_loss", f"dev_loss_{draw.example.task}"):
                        total = sums.setdefault(key, [0.0, 0.0])
                        total[0], total[1] = total[0] + loss, total[1] + count
            answers = [self._answer(model, placed(batch), draw) for draw, batch in self._readable(self.samples, tell)]
        model.train()
        return {key: loss / count for key, (loss, count) in sorted(sums.items())} | {"samples": answers}

    def _losses(self, model: MiDashengLMModel, batch: Batch) -> list[tuple[float, int]]:
        """Summed loss and number of answer tokens of each draw."""
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        counts = (labels != IGNORED).sum(1)
        return list(zip(losses.sum(1).tolist(), counts.tolist(), strict=True))

    def _readable(self, draws: list[Draw], tell: TellClip) -> Iterator[tuple[Draw, Batch]]:
        for draw in draws:
            _, batch = read_batch(self.collate, [draw], telling(self.clips, tell))
            if batch is not None:
                yield draw, batch

    def _answer(self, model: MiDashengLMModel, batch: Batch, draw: Draw) -> str:
        asked = int((batch["labels"] == IGNORED).sum())
        ids = model.generate(
            input_ids=batch["input_ids"][:, :asked],
            attention_mask=batch["attention_mask"][:, :asked],
            input_values=batch["input_values"],
            audio_length=batch["audio_length"],
            max_new_tokens=_ANSWER_TOKENS,
            do_sample=False,
        )
        text = self.tokenizer.decode(ids[0], skip_special_tokens=True)
        return f"{draw.example.prompt!r}: {draw.example.answer!r} <- {text!r}"
