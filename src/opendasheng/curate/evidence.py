"""The findings of a record as text, for a language model to reason over. Nothing else of a clip reaches it.

Measures are told in words: small models repeat figures that no listener hears, and take a name for something that is
there. Of voices and music nothing is told where the clip is not of these kinds, as of an effect that one expert took
for speech: Whisper hears words in anything, and the scores of DNSMOS are those of speech.
"""

from collections.abc import Iterator, Sequence

from opendasheng.curate.audioset import group_of
from opendasheng.curate.categories import kinds_of
from opendasheng.curate.record import Event, Record
from opendasheng.data.tasks import language_names

_MOST_EVENTS = 24
_MOST_TRANSCRIPT_CHARACTERS = 1500
_SURE_FROM, _UNSURE_BELOW = 0.8, 0.5
Steps = Sequence[tuple[float, str]]
"""Words for a measure, each up to a value, the last one for all above; an empty one for what is as it mostly is, which
is not told: a small model makes much of all that it is told."""
_BEYOND = float("inf")
_LOUDNESS: Steps = ((-35.0, "very soft"), (-27.0, "soft"), (-15.0, ""), (_BEYOND, "loud"))
_PITCH: Steps = ((120.0, "low"), (200.0, "middle"), (_BEYOND, "high"))
_MELODY: Steps = ((5.0, "monotonous"), (12.0, "lively"), (_BEYOND, "very lively"))
_QUALITY: Steps = ((2.0, "bad"), (2.7, "poor"), (3.3, "fair"), (3.8, "good"), (_BEYOND, "very good"))
_BACKGROUND: Steps = ((2.0, "very noisy"), (2.7, "noisy"), (3.5, "a little noise"), (_BEYOND, "clean"))
_BAND: Steps = ((4500.0, "narrow"), (_BEYOND, ""))
_ROOM: Steps = ((0.9, ""), (1.5, "some"), (_BEYOND, "much"))
_TEMPO: Steps = ((80.0, "slow"), (120.0, "moderate"), (_BEYOND, "fast"))
_KINDS = ("speech", "singing", "music")
# A class of recordings in AudioSet, which tells of neither place nor quality.
_SILENCE = "Silence"
_THROUGHOUT_FROM_SHARE = 0.8
_CLIPPED_FROM_SHARE, _SILENT_FROM_SHARE = 0.001, 0.3
_BEAT_FROM, _KEY_FROM = 1.5, 0.1
# Aspects that are told in lines of their own, and such as no listener hears or another says better.
_TOLD = frozenset(
    (
        *(
            "tags",
            "transcript",
            "language",
            "voice_gender",
            "num_speakers",
            "loudness_lufs",
            "peak_dbfs",
            "dynamics_db",
        ),
        *("silent_share", "clipped_share", "bandwidth_hz", "centroid_hz", "flatness", "pitch_hz", "voiced_share"),
        *("pitch_range_semitones", "quality_mos", "speech_quality_mos", "background_quality_mos", "quality_p808_mos"),
        "rt60_seconds",
        *("tempo_bpm", "beat_strength", "key"),
        *(f"has_{kind}" for kind in _KINDS),
        *(f"{kind}_share" for kind in _KINDS),
    )
)


def evidence(record: Record) -> str:
    """One line for each thing that is reported."""
    return "\n".join(_lines(record))


def tells_of_recording(record: Record) -> bool:
    """Whether there is anything of the place, or of how it is recorded."""
    tagged = {event.label for event in record.events("tags")} - {_SILENCE}
    if record.value("scene") or any(group_of(label) in ("place", "recording") for label in tagged):
        return True
    return any(_recording(record, is_speech="speech" in kinds_of(record)))


def _lines(record: Record) -> Iterator[str]:
    yield f"length: {record.duration_seconds:.1f} s"
    tagged = sorted(record.events("tags"), key=lambda event: event.start_seconds)[:_MOST_EVENTS]
    length = record.duration_seconds
    yield f"heard: {', '.join(_event(event, length) for event in tagged) or 'nothing in particular'}"
    kinds = kinds_of(record)
    if "speech" in kinds:
        yield from _voice(record)
    if "music" in kinds:
        yield from _music(record)
    yield from _recording(record, is_speech="speech" in kinds)
    for found in record.findings.values():
        for aspect, value in found.values.items():
            if aspect not in _TOLD:
                yield f"{aspect.replace('_', ' ')}: {_plain(value)}{_doubt(found.confidences.get(aspect))}"


def _voice(record: Record) -> Iterator[str]:
    transcript = record.value("transcript")
    if transcript:
        yield f'transcript: "{str(transcript)[:_MOST_TRANSCRIPT_CHARACTERS]}"'
    language = language_names().get(str(record.value("language")))
    if language:
        yield f"language: {language}"
    count = record.value("num_speakers")
    if isinstance(count, int) and count > 1:
        yield f"speakers: {count}"
    told = (
        str(record.value("voice_gender") or ""),
        _in_words(record, "pitch_hz", _PITCH, "{} pitch"),
        _in_words(record, "pitch_range_semitones", _MELODY, "{}"),
    )
    if any(told):
        yield f"voice: {', '.join(filter(None, told))}"


def _music(record: Record) -> Iterator[str]:
    beat, tempo = _number(record, "beat_strength"), _number(record, "tempo_bpm")
    if tempo is not None and beat is not None and beat >= _BEAT_FROM:
        yield f"tempo of the music: {_word(tempo, _TEMPO)}, about {tempo:.0f} beats a minute"
    key = record.value("key")
    if key and record.confidence("key") >= _KEY_FROM:
        yield f"key of the music, perhaps: {key}"


def _recording(record: Record, *, is_speech: bool) -> Iterator[str]:
    of_speech = (
        _in_words(record, "quality_mos", _QUALITY, "{} overall"),
        _in_words(record, "background_quality_mos", _BACKGROUND, "background: {}"),
        _in_words(record, "rt60_seconds", _ROOM, "{} reverberation"),
    )
    told = [
        *(of_speech if is_speech else ()),
        _in_words(record, "loudness_lufs", _LOUDNESS, "loudness: {}"),
        _in_words(record, "bandwidth_hz", _BAND, "band of frequencies: {}"),
        "peaks cut off" if (_number(record, "clipped_share") or 0.0) >= _CLIPPED_FROM_SHARE else "",
    ]
    silent = _number(record, "silent_share") or 0.0
    if silent >= _SILENT_FROM_SHARE:
        told.append(f"silence for {100 * silent:.0f} % of it")
    if any(told):
        yield f"quality: {', '.join(filter(None, told))}"


def _event(event: Event, length: float) -> str:
    if event.end_seconds - event.start_seconds >= _THROUGHOUT_FROM_SHARE * length:
        when = "throughout"
    else:
        when = f"{event.start_seconds:.1f} to {event.end_seconds:.1f} s"
    return f"{event.label}{_doubt(event.confidence)} {when}"


def _doubt(confidence: float | None) -> str:
    if confidence is None or confidence >= _SURE_FROM:
        return ""
    return " (perhaps)" if confidence < _UNSURE_BELOW else " (probably)"


def _number(record: Record, aspect: str) -> float | None:
    value = record.value(aspect)
    return float(value) if isinstance(value, int | float) else None


def _in_words(record: Record, aspect: str, steps: Steps, form: str) -> str:
    value = _number(record, aspect)
    word = "" if value is None else _word(value, steps)
    return form.format(word) if word else ""


def _word(value: float, steps: Steps) -> str:
    return next(word for most, word in steps if value < most)


def _plain(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
