"""The findings of a record as text, for a language model to reason over. Nothing else of a clip reaches it."""

from collections.abc import Iterator

from opendasheng.curate.record import Event, Record
from opendasheng.data.tasks import language_names

_MOST_EVENTS = 24
_MOST_TRANSCRIPT_CHARACTERS = 1500
# Aspects that are told in sentences of their own, or that other aspects say better.
_TOLD = frozenset(("tags", "transcript", "language", "has_speech", "has_singing", "has_music"))
_UNITS = {
    "lufs": "LUFS",
    "dbfs": "dBFS",
    "db": "dB",
    "hz": "Hz",
    "bpm": "beats a minute",
    "semitones": "semitones",
    "mos": "of 5 (DNSMOS)",
}


def evidence(record: Record) -> str:
    """One line for each thing that is reported: events with their times, what is said, measures with their units."""
    return "\n".join(_lines(record))


def _lines(record: Record) -> Iterator[str]:
    yield f"length: {record.duration_seconds:.1f} s"
    tagged = sorted(record.events("tags"), key=lambda event: event.start_seconds)[:_MOST_EVENTS]
    yield f"sound events: {', '.join(map(_event, tagged)) or 'none'}"
    if "activity" in record.findings:
        stretches = record.events("activity")[:_MOST_EVENTS]
        yield f"speech, singing and music by another program: {', '.join(map(_event, stretches)) or 'none'}"
    transcript = record.value("transcript")
    if transcript:
        yield f'transcript: "{str(transcript)[:_MOST_TRANSCRIPT_CHARACTERS]}"'
    language = language_names().get(str(record.value("language")))
    if language:
        yield f"language: {language}"
    for found in record.findings.values():
        for aspect, value in found.values.items():
            if aspect not in _TOLD:
                yield _measure(aspect, value, found.confidences.get(aspect))


def _event(event: Event) -> str:
    sure = "" if event.confidence is None else f" ({event.confidence:.2f})"
    return f"{event.label}{sure} {event.start_seconds:.1f} to {event.end_seconds:.1f} s"


def _measure(aspect: str, value: object, confidence: float | None) -> str:
    """Such as ``loudness: -21.3 LUFS``: the unit is the last part of the aspect's name."""
    words = aspect.split("_")
    unit = _UNITS.get(words[-1], "")
    name = " ".join(words[:-1] if unit else words)
    told = ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    sure = "" if confidence is None else f" (sure: {confidence:.2f})"
    return f"{name}: {told}{f' {unit}' if unit else ''}{sure}"
