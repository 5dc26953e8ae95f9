"""Captions without a language model: what experts report, put into fixed sentences.

Nothing is said that no expert has reported. What a reasoning model would conclude from several findings is not there.
"""

from collections.abc import Collection, Iterable, Sequence

from opendasheng.curate.audioset import group_of, word_of
from opendasheng.curate.categories import NOTHING, kinds_of
from opendasheng.curate.record import Captions, Event, Record
from opendasheng.data.tasks import language_names

MAKER = "template 3"
_MOST_QUOTED_WORDS = 40
_MOST_LABELS = 3
_MOST_SHORT_WORDS = 15  # as the published prompt for short captions says
# Sounds that begin within so much of each other are not told as one after the other.
_TOGETHER_SECONDS = 0.5
_COUNTS = {2: "two", 3: "three"}
_PLACES = {
    "Inside, small room": "in a small room",
    "Inside, large room or hall": "in a large room or hall",
    "Inside, public space": "in a public space",
    "Outside, urban or manmade": "outdoors in a town",
    "Outside, rural or natural": "outdoors in nature",
}
_FAULTS = ("Reverberation", "Echo", "Static", "Mains hum", "Distortion", "Noise", "White noise", "Pink noise")
# A telephone's band ends at 3.4 kHz, that of a sampling rate of 11 kHz at 5.5.
_NARROW_BELOW_HZ = 4500.0
_CLIPPED_FROM_SHARE = 0.001
_QUIET_BELOW_LUFS = -40.0
# As the expert estimates it; dry speech in noise seems to ring for a second.
_RINGS_FROM_SECONDS = 1.5
_SILENT_FROM_SHARE = 0.5
# DNSMOS's scores of what lies behind speech, from 1 to 5.
_NOISY_BELOW_MOS, _CLEAN_FROM_MOS = 2.5, 3.8
# A beat that stands out, and a key that fits clearly better than the next, as the expert ``rhythm`` measures them.
_BEAT_FROM, _KEY_FROM = 2.0, 0.1


def captions_of(record: Record) -> Captions:
    """MECAT's six captions of a record (SPEC 10.2), in English; what is quoted stays in its language."""
    kinds = kinds_of(record)
    quoted = f": {_quotation(record)}" if "speech" in kinds and record.value("transcript") else ""
    environment = _environment(record, is_speech="speech" in kinds)
    return Captions(
        maker=MAKER,
        short=_sentence(_brief(record, kinds)),
        long=f"{_sentence(_gist(record, kinds, most=_MOST_LABELS) + quoted)} {environment}",
        speech=_sentence(_voice(record) + quoted) if "speech" in kinds else NOTHING["speech"],
        music=_sentence(_music(record, _MOST_LABELS)) if "music" in kinds else NOTHING["music"],
        sound=_sentence(_sounds(record, _MOST_LABELS)) if "sound" in kinds else NOTHING["sound"],
        environment=environment,
    )


def _brief(record: Record, kinds: Collection[str]) -> str:
    """What is heard in few words: sounds are left out where there would be too many."""
    text = _gist(record, kinds, most=1)
    if len(text.split()) <= _MOST_SHORT_WORDS:
        return text
    return _gist(record, [kind for kind in kinds if kind != "sound"], most=1)


def _gist(record: Record, kinds: Collection[str], most: int) -> str:
    """All that is heard, by at most ``most`` labels of each kind."""
    music = _music(record, most) if "music" in kinds else ""
    sounds = _sounds(record, most) if "sound" in kinds else ""
    if "speech" not in kinds:
        return " and ".join(filter(None, (music, sounds))) or "nothing is heard"
    over = f" over {music}" if music else ""
    return f"{_voice(record)}{over}{', with ' if sounds else ''}{sounds}"


def _voice(record: Record) -> str:
    gender, count = record.value("voice_gender"), record.value("num_speakers")
    language = language_names().get(str(record.value("language")), "")
    if isinstance(count, int) and count > 1:
        return " ".join(filter(None, (_COUNTS.get(count, "several"), "voices speak", language)))
    return " ".join(filter(None, ("a", gender if isinstance(gender, str) else "", "voice speaks", language)))


def _quotation(record: Record) -> str:
    words = str(record.value("transcript")).replace('"', "'").split()
    cut = " ..." if len(words) > _MOST_QUOTED_WORDS else ""
    return f'"{" ".join(words[:_MOST_QUOTED_WORDS])}{cut}"'


def _music(record: Record, most: int) -> str:
    styles = _labels(record, ("music",), most + 1)
    style = next((label for label in styles if label != "music"), "music")
    parts = _labels(record, ("instrument", "singing"), most + 1)
    named = [label for label in parts if label != "musical instrument"][:most]
    phrase = f"{style} with {_listed(named)}" if named else style
    if most == 1:
        return phrase
    tempo, beat = record.value("tempo_bpm"), record.value("beat_strength")
    if isinstance(tempo, float) and isinstance(beat, float) and beat >= _BEAT_FROM:
        phrase += f" at about {tempo:.0f} beats a minute"
    key = record.value("key")
    if key and record.confidence("key") >= _KEY_FROM:
        phrase += f", perhaps in {key}"
    return phrase


def _sounds(record: Record, most: int) -> str:
    """The surest labels in the order in which they begin."""
    chosen = sorted(_firsts(record, ("sound",))[:most], key=lambda event: event.start_seconds)
    groups: list[list[Event]] = []
    for event in chosen:
        if groups and event.start_seconds - groups[-1][-1].start_seconds < _TOGETHER_SECONDS:
            groups[-1].append(event)
        else:
            groups.append([event])
    return "sounds of " + ", then ".join(_listed([word_of(event.label) for event in group]) for group in groups)


def _environment(record: Record, *, is_speech: bool) -> str:
    """Where it seems to be, and how it is recorded; some measures are those of speech alone."""
    heard = {event.label for event in record.events("tags")}
    place = next((words for label, words in _PLACES.items() if label in heard), "")
    faults = [
        *(label.lower() for label in _FAULTS if label in heard),
        *(words for words, is_so in _measures(record, is_speech=is_speech) if is_so),
    ]
    recording = f"with {_listed(list(dict.fromkeys(faults)))}" if faults else ""
    if is_speech and _above(record, "background_quality_mos", _CLEAN_FROM_MOS) and not faults:
        recording = "without noise"
    if not place and not recording:
        return NOTHING["environment"]
    return _sentence(" ".join(filter(None, ("recorded", place, recording))))


def _measures(record: Record, *, is_speech: bool) -> Iterable[tuple[str, bool]]:
    if is_speech:
        yield "a noisy background", _below(record, "background_quality_mos", _NOISY_BELOW_MOS)
        yield "reverberation", _above(record, "rt60_seconds", _RINGS_FROM_SECONDS)
    yield "a narrow band as of a telephone", _below(record, "bandwidth_hz", _NARROW_BELOW_HZ)
    yield "peaks cut off", _above(record, "clipped_share", _CLIPPED_FROM_SHARE)
    yield "a low level", _below(record, "loudness_lufs", _QUIET_BELOW_LUFS)
    yield "long silences", _above(record, "silent_share", _SILENT_FROM_SHARE)


def _above(record: Record, aspect: str, least: float) -> bool:
    value = record.value(aspect)
    return isinstance(value, int | float) and value >= least


def _below(record: Record, aspect: str, most: float) -> bool:
    value = record.value(aspect)
    return isinstance(value, int | float) and value < most


def _firsts(record: Record, groups: Sequence[str]) -> list[Event]:
    """The first event of each class of ``groups``, the surest classes first."""
    found: dict[str, Event] = {}
    for event in record.events("tags"):
        if group_of(event.label) in groups:
            found.setdefault(event.label, event)
    surest = {label: max(e.confidence or 0.0 for e in record.events("tags") if e.label == label) for label in found}
    return sorted(found.values(), key=lambda event: -surest[event.label])


def _labels(record: Record, groups: Sequence[str], most: int) -> list[str]:
    return list(dict.fromkeys(word_of(event.label) for event in _firsts(record, groups)))[:most]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _sentence(text: str) -> str:
    end = "" if text.endswith(('."', '!"', '?"')) else "."
    return f"{text[:1].upper()}{text[1:]}{end}"
