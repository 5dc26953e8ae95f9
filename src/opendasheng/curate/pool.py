"""Steps as Ray Data's ``map_batches`` takes them: callable classes over batches of rows.

A row is a record as a line of JSON, ``record``, its ``audio``, a FLAC file of 16 kHz mono as bytes, and ``costs``, the
CPU seconds that each step took for it, as JSON. A clip that cannot be read, or that an expert cannot hear, is told in
its record; the others of the batch go on.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opendasheng.audio import Waveform
from opendasheng.curate.catalogue import make
from opendasheng.curate.config import InputConfig
from opendasheng.curate.expert import Expert
from opendasheng.curate.guard import MOST_DEATHS, Guard
from opendasheng.curate.inputs import open_input
from opendasheng.curate.record import Drop, Findings, Record
from opendasheng.data.shards import decode_flac
from opendasheng.errors import AudioError, CorpusError, DashengError
from opendasheng.lengths import SAMPLE_RATE_HZ

log = logging.getLogger(__name__)

_ROUNDED_SECONDS = 0.001

Rows = Mapping[str, Any]
"""A batch: by column, a list or an array of its values."""


class Read:
    """Puts its audio beside each record, which is then as long as that; what cannot be read is dropped and told."""

    def __init__(self, config: InputConfig) -> None:
        self._clips = open_input(config)

    def __call__(self, rows: Rows) -> dict[str, list[Any]]:
        records, audio, costs = [], [], []
        for line in rows["record"]:
            began, record, flac = time.process_time(), Record.from_line(line), b""
            try:
                flac = self._clips.flac(record.id)
                record = _as_long_as(record, len(decode_flac(flac)) / SAMPLE_RATE_HZ)
            except (AudioError, CorpusError) as error:
                record = record.model_copy(update={"dropped": Drop(step="read", reason=str(error))})
            records.append(record.to_line())
            audio.append(flac)
            costs.append(json.dumps({"read": time.process_time() - began}))
        return {"record": records, "audio": audio, "costs": costs}


def _as_long_as(record: Record, seconds: float) -> Record:
    """Headers and names are not always exact; what a corpus says, rounded as it is, stays."""
    if abs(record.duration_seconds - seconds) < _ROUNDED_SECONDS:
        return record
    return record.model_copy(update={"duration_seconds": round(seconds, 4)})


class Listen:
    """A pool of experts that hear a clip one after the other. What one of them has reported by its version of today is
    not heard again."""

    def __init__(
        self,
        names: Sequence[str],
        options: Mapping[str, Mapping[str, str]],
        marks: Path,
        seconds: float,
        *,
        is_last: bool = False,
    ) -> None:
        """Of ``names``, those that can be made; ``marks`` and ``seconds`` are for :class:`Guard`. The last pool lets go
        of the audio."""
        found = (attempt(name, options.get(name, {})) for name in names)
        self._experts = [expert for expert in found if isinstance(expert, Expert)]
        self._guard = Guard(marks, seconds)
        self._is_last = is_last

    def __call__(self, rows: Rows) -> dict[str, list[Any]]:
        records, costs = [], []
        for line, flac, told in zip(rows["record"], rows["audio"], rows["costs"], strict=True):
            spent: dict[str, float] = json.loads(told)
            records.append(self._hear(Record.from_line(line), flac, spent).to_line())
            costs.append(json.dumps(spent))
        heard = {"record": records, "costs": costs}
        return heard if self._is_last else {**heard, "audio": list(rows["audio"])}

    def _hear(self, record: Record, flac: bytes, spent: dict[str, float]) -> Record:
        if record.dropped is not None:
            return record
        audio = decode_flac(flac)
        for expert in self._experts:
            known = record.findings.get(expert.name)
            if known is None or known.version != expert.version:
                began = time.process_time()
                record = record.heard(expert.name, self._ask(expert, audio, record))
                spent[expert.name] = time.process_time() - began
        return record

    def _ask(self, expert: Expert, audio: Waveform, record: Record) -> Findings:
        try:
            if not expert.wants(record):
                return Findings(version=expert.version)
            return self._heard(expert, audio, record)
        except (Exception, SystemExit) as error:  # each library has kinds of its own; no clip is to end a run
            log.warning("%s, clip %s: %r", expert.name, record.id, error)
            return Findings(version=expert.version, error=f"{type(error).__name__}: {error}"[:300])

    def _heard(self, expert: Expert, audio: Waveform, record: Record) -> Findings:
        if self._guard.num_deaths(expert.name, record.id) >= MOST_DEATHS:
            return Findings(
                version=expert.version,
                error=f"ended {MOST_DEATHS} processes that heard it, or took longer than it may: given up",
            )
        with self._guard.hearing(expert.name, record.id):
            found = expert.hear(audio, record)
        if not isinstance(found, Findings):
            raise TypeError(f"it reports {type(found).__name__}, no Findings")
        return found


def attempt(name: str, options: Mapping[str, str]) -> Expert | str:
    """An expert, or in words why there is none."""
    try:
        return make(name, options)
    except DashengError as error:
        return str(error)
    except Exception as error:  # of an expert of somebody's own
        return f"it cannot be made: {type(error).__name__}: {error}"[:300]


def versions(names: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Of each expert, by the name of its findings, its version, or "" and in words why it cannot be made; asked where
    the pool is to run."""
    found = {name: attempt(name, options.get(name, {})) for name in names}
    return dict((e.name, (e.version, "")) if isinstance(e, Expert) else (name, ("", e)) for name, e in found.items())
