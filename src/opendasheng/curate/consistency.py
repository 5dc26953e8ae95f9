"""The consistency filter: captions that do not fit what is heard are not kept (paper, section 3.1).

The expert ``match`` has reported where a clip lies in the space of an audio-text model; here captions are laid beside
it.
"""

from collections.abc import Iterator, Sequence

from opendasheng import hub
from opendasheng.curate.config import FilterConfig
from opendasheng.curate.experts.match import vector_of
from opendasheng.curate.record import Captions, Drop, Record
from opendasheng.model.audio_text_files import load_audio_text

STEP = "filter"
_BATCH = 256


class ConsistencyFilter:
    """Scores captions by their cosine with the clip, and drops clips of which none reaches the threshold."""

    def __init__(self, config: FilterConfig) -> None:
        """Raises what :func:`load_audio_text` does."""
        self._threshold, self._which = config.threshold, config.text
        self._scorer = load_audio_text(hub.place(config.model))

    def __call__(self, records: Sequence[Record]) -> Iterator[Record]:
        """Each record with the scores of its captions, by who made them; one without a vector, or without captions, as
        it is."""
        for start in range(0, len(records), _BATCH):
            yield from self._batch(records[start : start + _BATCH])

    def _batch(self, records: Sequence[Record]) -> Iterator[Record]:
        ordered = sorted({self._text(captions) for record in records for captions in record.captions.values()})
        vectors = dict(zip(ordered, self._scorer.encode_texts(ordered), strict=True))
        for record in records:
            clip = vector_of(record)
            if clip is None or record.dropped is not None or not record.captions:
                yield record
                continue
            cosines = ((maker, clip @ vectors[self._text(captions)]) for maker, captions in record.captions.items())
            scores = {maker: round(float(cosine), 4) for maker, cosine in cosines}
            yield self._judged(record, scores)

    def _text(self, captions: Captions) -> str:
        return captions.short if self._which == "short" else captions.long

    def _judged(self, record: Record, scores: dict[str, float]) -> Record:
        changed: dict[str, object] = {"scores": {**record.scores, **scores}}
        if max(scores.values()) < self._threshold:
            reason = f"no caption has a cosine of {self._threshold:g} (filter.threshold)"
            changed["dropped"] = Drop(step=STEP, reason=reason)
        return record.model_copy(update=changed)
