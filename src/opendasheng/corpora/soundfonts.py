"""Instruments played from General MIDI sound fonts: short phrases, rendered, of which the instrument is known.

Packages carry few recordings of instruments by name, but fonts of recorded notes of a hundred instruments each. A seed
made of font, program and number decides what is played, so that the same font always gives the same clips.
"""

import importlib
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from opendasheng.corpora import vocabulary
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, table
from opendasheng.errors import CorpusError

_RATE_HZ = 44_100
_DRUM_BANK_PROGRAM = 0
_PEAK = 0.5
_TAIL_SECONDS = 0.8
_LONGEST_SECONDS = 6.0
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 12), (0, 4, 7, 10), (0, 3, 7, 12))


@dataclass(frozen=True)
class Note:
    """One note: when it starts and how long it is held, its MIDI key and its velocity (1 to 127)."""

    start_seconds: float
    held_seconds: float
    key: int
    velocity: int


def phrase(seed: str, low: int, high: int, manner: str) -> list[Note]:
    """What an instrument with keys from ``low`` to ``high`` plays for ``seed``, at most six seconds.

    ``manner`` is ``notes`` (one to three of the same), ``lines`` (a long note, a scale, an arpeggio or a melody) or
    ``chords`` (these, or chords).
    """
    dice = random.Random(seed)
    if manner == "notes":
        return _strokes(dice, dice.randint(low, high), dice.randint(1, 3))
    kinds = ["long", "scale", "arpeggio", "melody", "melody"] + ["chords"] * (3 if manner == "chords" else 0)
    kind = dice.choice(kinds)
    beat = 60.0 / dice.uniform(70, 170)
    if kind == "long":
        return [Note(0.0, dice.uniform(0.8, 3.0), dice.randint(low, high), dice.randint(60, 115))]
    keys = _keys(dice, kind, low, high)
    count = min(len(keys), max(2, int(_LONGEST_SECONDS / beat)), dice.randint(4, 12))
    legato = dice.uniform(0.6, 1.0)
    return [
        Note(place * beat, beat * legato, key, dice.randint(65, 115))
        for place, chord in enumerate(keys[:count])
        for key in chord
    ]


def _strokes(dice: random.Random, key: int, count: int) -> list[Note]:
    gap = dice.uniform(0.25, 0.9)
    return [Note(place * gap, gap, key, dice.randint(70, 120)) for place in range(count)]


def _keys(dice: random.Random, kind: str, low: int, high: int) -> list[tuple[int, ...]]:
    """Keys of a phrase, those that sound together as one entry."""
    root = dice.randint(low, max(low, high - 12))
    scale = dice.choice(_SCALES)
    steps = [root + 12 * octave + step for octave in range(3) for step in scale if root + 12 * octave + step <= high]
    if kind == "scale":
        line = steps if dice.random() < 0.5 else steps[::-1]
    elif kind == "arpeggio":
        chord = dice.choice(_CHORDS)
        line = [root + step for _ in range(3) for step in (*chord, *chord[-2:0:-1])]
    elif kind == "chords":
        roots = [dice.choice(scale) for _ in range(4)]
        return [tuple(min(high, root + shift + step) for step in dice.choice(_CHORDS)) for shift in roots]
    else:
        place, line = dice.randrange(len(steps)), []
        for _ in range(12):
            line.append(steps[place])
            place = min(len(steps) - 1, max(0, place + dice.choice((-2, -1, -1, 0, 1, 1, 2))))
    return [(min(high, key),) for key in line]


def beat(seed: str) -> list[Note]:
    """Two bars of a simple beat on the keys of a General MIDI drum kit."""
    dice = random.Random(seed)
    eighth = 30.0 / dice.uniform(80, 140)
    ride, snares = dice.choice((42, 46, 51)), dice.choice(((4,), (2, 6), (4, 7)))
    kicks = {0, dice.choice((3, 4, 5)), dice.choice((2, 6))}
    notes = []
    for place in range(16):
        of_bar = place % 8
        keys = [ride] + [38] * (of_bar in snares) + [36] * (of_bar in kicks)
        notes += [Note(place * eighth, eighth, key, dice.randint(70, 115)) for key in keys]
    if dice.random() < 0.3:
        notes.append(Note(0.0, eighth, 49, 100))
    return notes


class Player:
    """A sound font that plays phrases.

    Raises:
        CorpusError: the synthesiser is not installed, or the font cannot be read.
    """

    def __init__(self, font: bytes, name: str) -> None:
        try:
            module = importlib.import_module("tinysoundfont")
        except ImportError as error:
            raise CorpusError(
                f"{name} needs its synthesiser: pip install --no-deps tinysoundfont (what it would bring along plays "
                f"on loudspeakers and wants a compiler) ({error})"
            ) from error
        self._synth: Any = module.Synth(samplerate=_RATE_HZ)
        try:
            self._font = self._synth.sfload(font)
        except Exception as error:  # of the binding, without a class of its own
            raise CorpusError(f"{name}: the sound font cannot be read ({error}); download its package again") from error

    def choose(self, program: int, *, drums: bool = False) -> bool:
        """Whether the font has ``program`` (or a drum kit), which is then played."""
        try:
            self._synth.program_select(0, self._font, 0, program, drums)
        except RuntimeError:
            return False
        return True

    def play(self, notes: Sequence[Note]) -> NDArray[np.float32]:
        """Mono audio of ``notes`` at 44.1 kHz with their tail, its peak at half of full scale; empty if silent."""
        events = sorted(
            [(note.start_seconds + note.held_seconds, 0, note) for note in notes]
            + [(note.start_seconds, 1, note) for note in notes],
            key=lambda event: (event[0], event[1], event[2].key),
        )
        pieces, now = [], 0
        for when_seconds, starts, note in events:
            until = round(when_seconds * _RATE_HZ)
            pieces.append(self._samples(until - now))
            now = until
            if starts:
                self._synth.noteon(0, note.key, note.velocity)
            else:
                self._synth.noteoff(0, note.key)
        pieces.append(self._samples(round(_TAIL_SECONDS * _RATE_HZ)))
        self._synth.sounds_off()
        audio = np.concatenate(pieces)
        peak = float(np.abs(audio).max(initial=0.0))
        return (audio * (_PEAK / peak)).astype(np.float32) if peak > 1e-4 else audio[:0]

    def _samples(self, count: int) -> NDArray[np.float32]:
        if count <= 0:
            return np.zeros(0, dtype=np.float32)
        both = np.frombuffer(bytes(self._synth.generate(count)), dtype=np.float32)
        mono: NDArray[np.float32] = both.reshape(-1, 2).mean(axis=1)
        return mono


def drafts(packages: Mapping[str, Package], name: str) -> Iterator[Draft]:
    """Phrases of every program, strokes of every drum and beats of the kit of the font ``name``."""
    settings: dict[str, Any] = table("soundfonts.toml")
    font = settings["fonts"][name]
    (content,) = packages[font["package"]].read(lambda path: path == font["path"]).values()
    player = Player(content, name)
    make = partial(_draft, player, name, font)
    for program, label, low, high, manner in settings["programs"]:
        if player.choose(program):
            for number in range(font["clips_per_program"]):
                seed = f"{name}-{program:03d}-{number:02d}"
                yield from make(seed, label, phrase(seed, low, high, manner))
    if not player.choose(_DRUM_BANK_PROGRAM, drums=True):
        return
    for key, label in settings["drums"]:
        for number in range(font["clips_per_drum"]):
            seed = f"{name}-drum-{key}-{number:02d}"
            dice = random.Random(seed)
            yield from make(seed, label, _strokes(dice, key, dice.randint(1, 4)))
    for number in range(2 * font["clips_per_program"]):
        seed = f"{name}-kit-{number:02d}"
        yield from make(seed, settings["kit"], beat(seed))


def _draft(player: Player, name: str, font: Mapping[str, Any], seed: str, label: str, notes: list[Note]) -> list[Draft]:
    audio = player.play(notes)
    if not len(audio):
        return []
    file = io.BytesIO()
    soundfile.write(file, audio, _RATE_HZ, format="WAV")
    entry, identity = vocabulary.entry(label), clip_id(seed)
    return [
        Draft(
            id=identity,
            audio=file.getvalue(),
            split=font["split"],
            kind=entry.kind,
            origin=f"{font['path']} {seed.removeprefix(name + '-')}",
            labels=entry.labels,
            captions=entry.captions(identity),
        )
    ]


def _recipe(name: str, font: Mapping[str, Any]) -> Recipe:
    return Recipe(
        name=name,
        packages=(font["package"],),
        licence=font["licence"],
        summary="phrases played on instruments of a sound font",
        drafts=partial(drafts, name=name),
        files=("soundfonts.py", "soundfonts.toml", "vocabulary.py", "vocabulary.toml"),
        needs="tinysoundfont",
    )


RECIPES = tuple(_recipe(name, font) for name, font in table("soundfonts.toml")["fonts"].items())
