"""Music of which the tempo is known: drums, a bass and chords, played from a sound font."""

import random
from collections.abc import Iterator
from itertools import product

import numpy as np
import soxr

from opendasheng.corpora.soundfonts import Note, Player
from opendasheng.data.shards import Audio
from opendasheng.lengths import SAMPLE_RATE_HZ

SLOWEST_BPM, FASTEST_BPM = 60, 180
_TRACK_SECONDS = 12.0
_FONT_RATE_HZ = 44_100
_KIT, _BASSES, _CHORDS = 0, (32, 33, 34), (0, 16, 25, 48)  # General MIDI programs from 0 on
_RIDE, _SNARE, _KICK = (42, 46, 51), 38, 36
_RHYTHMS = (((0, 4), (2, 6)), ((0, 3, 4), (2, 6)), ((0, 4, 5), (2, 6)), ((0, 2, 4, 6), (2, 6)))  # eighths of a bar
_PROGRESSIONS = ((0, 5, 7, 0), (0, 9, 5, 7), (0, 7, 9, 5), (9, 5, 0, 7))
_MINOR_STEP = 9
_SHARES = (1.0, 0.7, 0.5)  # of drums, bass and chords


def track(player: Player, bpm: float, seed: str) -> Audio:
    """12 s of float32 at 16 kHz in four quarters a bar, ``bpm`` of them a minute; ``seed`` decides all else."""
    dice = random.Random(seed)
    num = round(_TRACK_SECONDS * _FONT_RATE_HZ)
    mixed = np.zeros(num, np.float32)
    for number, ((program, notes), share) in enumerate(zip(_parts(dice, 30 / bpm), _SHARES, strict=True)):
        player.choose(program, drums=number == 0)
        part = player.play([note for note in notes if note.start_seconds < _TRACK_SECONDS])[:num]
        mixed[: len(part)] += share * part
    mixed *= 0.5 / max(float(np.abs(mixed).max()), 1e-4)
    resampled: Audio = soxr.resample(mixed, _FONT_RATE_HZ, SAMPLE_RATE_HZ).astype(np.float32)
    return resampled


def _parts(dice: random.Random, eighth_seconds: float) -> Iterator[tuple[int, list[Note]]]:
    """The program of each part with its notes."""
    num_bars = int(_TRACK_SECONDS / (8 * eighth_seconds)) + 1
    kicks, snares = dice.choice(_RHYTHMS)
    ride, root, roots = dice.choice(_RIDE), dice.randint(36, 47), dice.choice(_PROGRESSIONS)
    every = dice.choice((1, 2))  # the bass plays eighths or quarters

    def note(bar: int, place: int, held: int, key: int, low: int = 75, high: int = 110) -> Note:
        start = (8 * bar + place) * eighth_seconds
        return Note(start, held * eighth_seconds * 0.9, key, dice.randint(low, high))

    places = list(product(range(num_bars), range(8)))
    yield (
        _KIT,
        [
            *(note(bar, place, 1, ride, 55, 80) for bar, place in places),
            *(note(bar, place, 1, _KICK) for bar, place in places if place in kicks),
            *(note(bar, place, 1, _SNARE) for bar, place in places if place in snares),
        ],
    )
    yield (
        dice.choice(_BASSES),
        [note(bar, place, every, root + roots[bar % 4]) for bar, place in places if place % every == 0],
    )
    yield (
        dice.choice(_CHORDS),
        [
            note(bar, 0, 8, root + 24 + roots[bar % 4] + step, 60, 85)
            for bar in range(num_bars)
            for step in (0, 3 if roots[bar % 4] == _MINOR_STEP else 4, 7)
        ],
    )
