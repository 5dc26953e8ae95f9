"""The data set of a finished run: what is kept, as shards that training reads as they are, and what is not, and why.

A folder for each source, ``rejected.jsonl`` and ``README.md``, the card; together they tell of every clip of the run
once.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from opendasheng.curate.audioset import group_of, word_of
from opendasheng.curate.card import card
from opendasheng.curate.config import CurationConfig
from opendasheng.curate.inputs import open_input
from opendasheng.curate.record import Drop, Record
from opendasheng.data.clip import GENDERS, Clip, Question
from opendasheng.data.shards import FORMAT, ShardWriter, is_complete
from opendasheng.errors import CurationError
from opendasheng.files import replacing_folder, write_atomically
from opendasheng.progress import Progress, say

STEP = "dataset"
FOLDER, REJECTED, CARD = "dataset", "rejected.jsonl", "README.md"
_NO_SOUNDS = ("place", "recording")
_LANGUAGE = re.compile("[a-z]{2}")


class Dataset:
    """What of the records of a run goes into its data set. ``records`` are all of them, those without a kind dropped,
    with what :func:`chosen` leaves of captions and questions; ``clips`` are the kept ones in their order."""

    def __init__(self, config: CurationConfig, records: Sequence[Record]) -> None:
        """Of ``records`` that have their splits. Raises :class:`CurationError` where none of them is kept."""
        self._config = config
        self.records = [chosen(record, config.dataset.makers, config.filter.threshold) for record in usable(records)]
        kept = [record for record in self.records if record.dropped is None]
        if not kept:
            raise CurationError(
                f"{config.name}: none of the {len(records)} clips is kept, so there is no data set; the report has the "
                "reasons"
            )
        self.clips = [clip_of(record) for record in kept]
        self._recordings = {record.id: record.recording for record in kept}

    def write(self) -> Path:
        """Its folder, written whole or not at all; one that holds the same already is kept.

        Raises :class:`CorpusError` for a clip whose audio is no longer there.
        """
        folder = self._config.folder / FOLDER
        described = card(self._config, self.records, self.clips).encode()
        rejected = "".join(f"{line}\n" for line in _rejected(self.records)).encode()
        fingerprint = self._fingerprint(described, rejected)
        by_source: dict[str, list[Clip]] = {}
        for clip in self.clips:
            by_source.setdefault(clip.source, []).append(clip)
        if all(is_complete(folder / folder_name(source), fingerprint) for source in by_source):
            say(f"{folder} is there already")
            return folder
        audio = open_input(self._config.input)
        with replacing_folder(folder) as made, Progress(len(self.clips), bar=True) as progress:
            for source, clips in by_source.items():
                info = {"recordings": {clip.id: self._recordings[clip.id] for clip in clips}}
                place = made / folder_name(source)
                with ShardWriter(place, source=source, fingerprint=fingerprint, info=info) as writer:
                    for clip in clips:
                        writer.add_flac(clip, audio.flac(clip.id))
                        progress.advance()
            write_atomically(made / REJECTED, rejected)
            write_atomically(made / CARD, described)
        return folder

    def _fingerprint(self, *others: bytes) -> str:
        """Of all that is written but the audio, which is named by the ids of its clips."""
        digest = hashlib.sha256(str(FORMAT).encode())
        for part in (*others, *(clip.to_json().encode() for clip in self.clips)):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()


def usable(records: Sequence[Record]) -> list[Record]:
    """``records``, those dropped in which nothing is heard: a clip to train on is speech, music or sound."""
    drop = Drop(step=STEP, reason="nothing is heard, so that it has no category")
    return [
        record.model_copy(update={"dropped": drop}) if record.category is None and record.dropped is None else record
        for record in records
    ]


def chosen(record: Record, makers: Sequence[str], threshold: float) -> Record:
    """``record`` with captions of one maker at most: the first of ``makers`` whose captions reach ``threshold`` by the
    consistency filter, or have no score, because nothing was filtered. Questions are those of the maker model."""
    fitting = (
        maker for maker in makers if maker in record.captions and record.scores.get(maker, threshold) >= threshold
    )
    captions = {maker: record.captions[maker] for maker in itertools.islice(fitting, 1)}
    return record.model_copy(update={"captions": captions, "questions": record.questions if "model" in makers else ()})


def clip_of(record: Record) -> Clip:
    """A kept record, as :func:`chosen` has it, as training reads it. What is said, and by whom, is told where there is
    speech and an expert has reported it."""
    assert record.category is not None
    assert record.split is not None
    texts = [text for captions in record.captions.values() for text in (captions.long, captions.short)]
    tags = record.value("tags")
    labels = (word_of(tag) for tag in tags if group_of(tag) not in _NO_SOUNDS) if isinstance(tags, tuple) else ()
    is_speech = record.domain is not None and record.domain.startswith("S")
    language, transcript, gender = (
        _text(record, aspect) if is_speech else "" for aspect in ("language", "transcript", "voice_gender")
    )
    return Clip(
        id=record.id,
        source=record.source,
        licence=record.licence,
        split=record.split,
        kind=record.category.split()[-1],
        duration_seconds=record.duration_seconds,
        language=language if _LANGUAGE.fullmatch(language) else None,
        gender=gender if gender in GENDERS else None,
        transcript=transcript or None,
        labels=tuple(dict.fromkeys(filter(None, labels))),
        captions=tuple(dict.fromkeys(text for text in texts if text.strip())),
        questions=tuple(Question(q.question, q.answer) for q in record.questions if q.answer.strip()),
        origin=record.origin,
    )


def folder_name(source: str) -> str:
    """A name that a folder can have, another for every source."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", source).strip(".")[:80]
    if plain and plain == source and plain not in (REJECTED, CARD):
        return plain
    return f"{plain}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def _rejected(records: Sequence[Record]) -> Iterator[str]:
    """A line of JSON for each dropped record."""
    fields = ("id", "source", "recording", "licence", "duration_seconds")
    for record in records:
        if record.dropped is not None:
            told = {field: getattr(record, field) for field in fields}
            yield json.dumps({**told, "step": record.dropped.step, "reason": record.dropped.reason}, ensure_ascii=False)


def _text(record: Record, aspect: str) -> str:
    value = record.value(aspect)
    return value.strip() if isinstance(value, str) else ""
