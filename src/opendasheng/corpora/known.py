"""Clips of which a measure is known because they were made so, to judge experts by: speech in rooms and in noise, and
music of a tempo.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from opendasheng.corpora import soundfonts, tracks
from opendasheng.corpora.debian import PackageStore
from opendasheng.corpora.recipe import table
from opendasheng.data.clip import Clip
from opendasheng.data.shards import Audio, ShardReader, encode_flac
from opendasheng.data.spread import spread
from opendasheng.errors import ConfigError, CorpusError
from opendasheng.files import replacing_folder, write_atomically
from opendasheng.lengths import SAMPLE_RATE_HZ

MANIFEST = "known.jsonl"
_FONT = "soundfont-tim"
_SHORTEST_SECONDS, _LONGEST_SECONDS = 3.0, 12.0
_NOISE_FROM_SECONDS = 1.0
_PEAK = 0.5
_TARGET_SECONDS = (0.2, 0.3, 0.45, 0.7, 1.0, 1.4)
_SMALLEST_M, _LARGEST_M = (3.0, 3.0, 2.4), (12.0, 9.0, 4.5)
_FROM_WALL_M = 0.5
_IMAGE_ORDER = 12  # reflections of a higher order are traced as rays
_DECAY_DB = 30.0
_TAIL_SECONDS = 0.3
_SNR_DB = (-5.0, 35.0)


@dataclass(frozen=True)
class Known:
    """``audio`` float32 ``(S,)`` at 16 kHz, the figures that are known of it by their names, and the ids of the clips
    that it is made of."""

    name: str
    audio: Audio
    figures: Mapping[str, float]
    made_of: tuple[str, ...] = ()


def write_known(corpus: Path, output: Path, store: PackageStore, *, split: str, num: int) -> int:
    """Write ``num`` clips of each kind, made of a split of a corpus, into the folder ``output``, with
    ``known.jsonl``: how many there are. The same corpus gives the same clips.

    Raises:
        ConfigError: pyroomacoustics is not installed.
        CorpusError: ``output`` holds something else, or the corpus has no speech or no sounds in this split.
    """
    if output.exists() and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise CorpusError(f"{output} holds something else than such clips; name another --output")
    rooms = _library()
    reader = ShardReader(corpus, split=split)
    speech = _chosen(reader, "speech", num, _SHORTEST_SECONDS)
    noises = _chosen(reader, "sound", num, _NOISE_FROM_SECONDS)
    font = table("soundfonts.toml")["fonts"][_FONT]
    (content,) = store.get(font["package"]).read(lambda path: path == font["path"]).values()
    player = soundfonts.Player(content, _FONT)
    rows = []
    with replacing_folder(output) as made:
        for known in (
            *_in_rooms(rooms, reader, speech),
            *_in_noise(reader, speech, noises),
            *_at_tempos(player, num),
        ):
            path = made / f"{known.name}.flac"
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, encode_flac(known.audio))
            row: dict[str, Any] = {"recording": f"{known.name}.flac", **known.figures, "made_of": known.made_of}
            rows.append(json.dumps(row, ensure_ascii=False))
        write_atomically(made / MANIFEST, "".join(f"{row}\n" for row in rows).encode())
    return len(rows)


def _library() -> ModuleType:
    try:
        return import_module("pyroomacoustics")
    except ImportError as error:
        raise ConfigError("rooms need the extra: pip install 'opendasheng[rooms]' (pyroomacoustics)") from error


def _chosen(reader: ShardReader, kind: str, num: int, shortest_seconds: float) -> list[tuple[int, Clip]]:
    """``num`` clips of a kind with their places, drawn evenly over the sources."""
    there = [
        (place, clip)
        for place, clip in enumerate(reader.clips)
        if clip.kind == kind and shortest_seconds <= clip.duration_seconds <= _LONGEST_SECONDS
    ]
    if not there:
        raise CorpusError(
            f"{reader.folder}: no clip of {kind} of {shortest_seconds:g} to {_LONGEST_SECONDS:g} s is in this split; "
            "build more sources, or name another --split"
        )
    return spread(there, num, clip=lambda one: one[1])


def _in_rooms(rooms: ModuleType, reader: ShardReader, speech: Sequence[tuple[int, Clip]]) -> Iterator[Known]:
    """Speech in rectangular rooms (image sources, then rays), with the RT60 of the response between speaker and
    microphone: its decay from -5 to -35 dB, doubled."""
    random = np.random.default_rng(0)
    rooms.libroom.set_rng_seed(0)
    rooms.random.seed(0)
    for number, (place, clip) in enumerate(speech):
        response = _response(rooms, float(random.choice(_TARGET_SECONDS)), random)
        seconds = float(rooms.experimental.measure_rt60(response, fs=SAMPLE_RATE_HZ, decay_db=_DECAY_DB))
        dry = reader.audio(place)
        num = len(dry) + round(_TAIL_SECONDS * SAMPLE_RATE_HZ)
        yield Known(
            f"rooms/{number:04d}",
            _at_peak(_convolved(dry, response)[:num]),
            {"rt60_seconds": round(seconds, 3)},
            (clip.id,),
        )


def _response(rooms: ModuleType, target_seconds: float, random: np.random.Generator) -> np.ndarray:
    """The impulse response between two places of a room in which sound dies away about so fast."""
    while True:
        size = random.uniform(_SMALLEST_M, _LARGEST_M)
        try:
            absorption, order = rooms.inverse_sabine(target_seconds, size)
            break
        except ValueError:  # no wall takes up so much in so large a room
            continue
    room = rooms.ShoeBox(
        size,
        fs=SAMPLE_RATE_HZ,
        materials=rooms.Material(absorption),
        max_order=min(order, _IMAGE_ORDER),
        ray_tracing=True,
        air_absorption=False,
    )
    room.add_source(random.uniform(_FROM_WALL_M, size - _FROM_WALL_M))
    room.add_microphone(random.uniform(_FROM_WALL_M, size - _FROM_WALL_M))
    room.compute_rir()
    response: np.ndarray = room.rir[0][0]
    return response


def _in_noise(
    reader: ShardReader, speech: Sequence[tuple[int, Clip]], noises: Sequence[tuple[int, Clip]]
) -> Iterator[Known]:
    """Speech with recorded sounds behind it, repeated to its length, at a ratio of the mean powers."""
    random = np.random.default_rng(1)
    for number, (place, clip) in enumerate(speech):
        behind, other = noises[number % len(noises)]
        voice, noise = reader.audio(place), reader.audio(behind)
        noise = np.resize(noise, len(voice))
        snr_db = float(random.uniform(*_SNR_DB))
        level = np.sqrt(np.square(voice).mean() / max(float(np.square(noise).mean()), 1e-12) / 10 ** (snr_db / 10))
        yield Known(
            f"noise/{number:04d}", _at_peak(voice + level * noise), {"snr_db": round(snr_db, 2)}, (clip.id, other.id)
        )


def _at_tempos(player: soundfonts.Player, num: int) -> Iterator[Known]:
    random = np.random.default_rng(2)
    for number in range(num):
        bpm = round(float(random.uniform(tracks.SLOWEST_BPM, tracks.FASTEST_BPM)), 1)
        yield Known(f"tempo/{number:04d}", tracks.track(player, bpm, f"track-{number}"), {"tempo_bpm": bpm})


def _convolved(audio: Audio, response: np.ndarray) -> np.ndarray:
    size = len(audio) + len(response) - 1
    convolved: np.ndarray = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(response, size), size)
    return convolved


def _at_peak(audio: np.ndarray) -> Audio:
    scaled: Audio = (audio * (_PEAK / max(float(np.abs(audio).max()), 1e-6))).astype(np.float32)
    return scaled
