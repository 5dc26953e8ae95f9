"""What the stages have in common that teach an encoder by the clips of a mixture, without a decoder: ``distil`` and
``contrast``.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

from opendasheng.data.batching import BatchPlan
from opendasheng.data.mixture import Draw, Mixture
from opendasheng.data.shards import ShardReader
from opendasheng.model import LogMel
from opendasheng.train.config import RunConfig
from opendasheng.train.evaluation import dev_batches, mixture_of
from opendasheng.train.learner import Batch, Learner, TellClip, as_row
from opendasheng.train.reading import open_corpus, read_batch, telling


class EncoderLearner(Learner[Draw]):
    """Batches of clips bounded by their seconds, and the same dev batches at every validation."""

    def __init__(self, config: RunConfig, catalogue: Collection[str] = ()) -> None:
        """``catalogue`` as in :func:`open_corpus`."""
        self.config = config
        self.reader, mixture = open_corpus(config.data, catalogue)
        self._dev = ShardReader(config.data.corpus, split="dev")
        self.clips = self.reader.clips
        self.log_mel = LogMel()
        self.plan = self._plan(Mixture(self.reader.clips, mixture, config.seed))
        self._dev_batches = dev_batches(
            self._dev.clips,
            lambda: self._plan(Mixture(self._dev.clips, mixture_of(mixture, self._dev.clips), config.seed)),
            config.loop.eval_batches,
        )

    def _plan(self, draws: Mixture) -> BatchPlan[Draw]:
        data = self.config.data
        return BatchPlan(draws, batch_seconds=data.batch_seconds, batch_clips=data.batch_clips)

    @abstractmethod
    def batch_of(self, reader: ShardReader, draws: Sequence[Draw]) -> Batch:
        """The tensors of draws from the clips of ``reader``: ``input_values`` float32 ``(B, S)`` and ``audio_length``
        int64 ``(B,)`` among them."""

    def collate(self, draws: Sequence[Draw]) -> Batch:
        """See :meth:`batch_of`."""
        return self.batch_of(self.reader, draws)

    def dev(self, tell: TellClip) -> Iterator[tuple[Sequence[Draw], Batch]]:
        """The dev batches, each with those of its draws that could be read; ``tell`` hears of the others."""
        for draws in self._dev_batches:
            kept, batch = read_batch(partial(self.batch_of, self._dev), draws, telling(self._dev.clips, tell))
            if batch is not None:
                yield kept, batch

    def sizes(self, batch: Batch) -> tuple[int, int]:
        """Samples of the clips, and of the padded batch."""
        return int(batch["audio_length"].sum()), batch["input_values"].numel()

    def describe(self, draw: Draw) -> dict[str, Any]:
        """The clips, and how they are changed."""
        return as_row(draw, self.clips)

    def finish(self) -> dict[str, Any]:
        """An encoder answers nothing yet; how it does stands in ``metrics.jsonl``."""
        return {"test": []}
