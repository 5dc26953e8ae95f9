"""Clips of known measures: what is written of them is true of their audio."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_packages as packages
from tiny_fonts import a_font

from opendasheng.cli import main
from opendasheng.corpora import soundfonts
from opendasheng.corpora.debian import PackageStore
from opendasheng.corpora.known import MANIFEST, write_known
from opendasheng.corpora.recipe import table
from opendasheng.corpora.tracks import track
from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.errors import CorpusError

RATE = 16_000
FONT = table("soundfonts.toml")["fonts"]["soundfont-tim"]


def a_corpus(folder: Path, kinds: tuple[str, ...] = ("speech", "sound"), split: str = "test") -> Path:
    """Bursts of noise for speech, and tones for sounds."""
    random = np.random.default_rng(0)
    for kind in kinds:
        with ShardWriter(folder / kind, source=kind, fingerprint="1") as writer:
            for number in range(3):
                times = np.arange(4 * RATE) / RATE
                burst = random.standard_normal(len(times)) * (np.sin(2 * np.pi * 2 * times) > 0.6)
                audio = 0.1 * burst if kind == "speech" else 0.2 * np.sin(2 * np.pi * (300 + 50 * number) * times)
                clip = Clip(f"{kind}-{number}", kind, "CC0-1.0", split, kind, 4.0)
                writer.add(clip, audio.astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PackageStore:
    folder = tmp_path_factory.mktemp("packages")
    packages.package(folder, FONT["package"], {FONT["path"]: a_font((0, 0), (0, 33), (128, 0))})
    return PackageStore(cache=folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, store: PackageStore) -> tuple[Path, Path]:
    """A corpus, and what was made of it."""
    folder = tmp_path_factory.mktemp("known")
    corpus = a_corpus(folder / "corpus")
    assert write_known(corpus, folder / "known", store, split="test", num=3) == 9
    return corpus, folder / "known"


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def test_the_manifest_names_every_file_and_what_it_is_made_of(made: tuple[Path, Path]) -> None:
    corpus, known = made
    rows = rows_of(known)
    files = {path.relative_to(known).as_posix() for path in known.rglob("*.flac")}
    assert sorted(row["recording"] for row in rows) == sorted(files)
    ids = {clip.id for clip in ShardReader(corpus).clips}
    assert {name for row in rows for name in row["made_of"]} <= ids
    for row in rows:
        audio, rate = soundfile.read(known / row["recording"])
        assert rate == RATE
        assert np.abs(audio).max() == pytest.approx(0.5, abs=0.01)


def test_noise_lies_below_speech_by_its_ratio(made: tuple[Path, Path]) -> None:
    """Both are known, so how much of each is in the mixture follows by least squares."""
    corpus, known = made
    reader = ShardReader(corpus)
    audio_of = {clip.id: reader.audio(place) for place, clip in enumerate(reader.clips)}
    for row in rows_of(known):
        if "snr_db" in row:
            mixed, _ = soundfile.read(known / row["recording"])
            parts = np.stack([audio_of[name] for name in row["made_of"]], axis=1)
            shares, rest, *_ = np.linalg.lstsq(parts, mixed, rcond=None)
            powers = np.square(parts).mean(0) * np.square(shares)
            assert 10 * np.log10(powers[0] / powers[1]) == pytest.approx(row["snr_db"], abs=0.1)
            assert rest[0] < 1e-3 * np.square(mixed).sum()


def test_rooms_ring_as_long_as_they_are_said_to(made: tuple[Path, Path]) -> None:
    """After the last burst the level falls by 60 dB in that time."""
    corpus, known = made
    reader = ShardReader(corpus)
    audio_of = {clip.id: reader.audio(place) for place, clip in enumerate(reader.clips)}
    rows = [row for row in rows_of(known) if "rt60_seconds" in row]
    assert len(rows) == 3
    for row in rows:
        wet, _ = soundfile.read(known / row["recording"])
        dry = audio_of[row["made_of"][0]]
        size = len(wet) + len(dry)
        spectrum = np.fft.rfft(wet, size) * np.conj(np.fft.rfft(dry, size))
        response = np.fft.irfft(spectrum / (np.square(np.abs(np.fft.rfft(dry, size))) + 1e-3), size)[: len(dry)]
        left = 10 * np.log10(np.cumsum(np.square(response[::-1]))[::-1] / np.square(response).sum())
        start, end = (int(np.argmax(left < level)) for level in (-5, -15))
        assert 6 * (end - start) / RATE == pytest.approx(row["rt60_seconds"], rel=0.4)


@pytest.mark.parametrize("bpm", [75.0, 150.0])
def test_a_track_repeats_with_its_beats(bpm: float) -> None:
    audio = track(soundfonts.Player(a_font((0, 0), (0, 33), (128, 0)), "x"), bpm, "seed")
    assert len(audio) == 12 * RATE
    powers = np.square(audio[: len(audio) // 160 * 160]).reshape(-1, 160).sum(1)
    rises = np.maximum(np.diff(np.log(powers + 1e-6)), 0)
    rises -= rises.mean()
    eighth = round(100 * 30 / bpm)
    found = [float(rises[lag:] @ rises[:-lag]) for lag in range(5, 80)]
    best = 5 + int(np.argmax(found))
    assert min(best % eighth, eighth - best % eighth) <= 1


def test_the_same_corpus_gives_the_same_clips(made: tuple[Path, Path], store: PackageStore, tmp_path: Path) -> None:
    corpus, known = made
    write_known(corpus, tmp_path / "again", store, split="test", num=3)
    for path in known.rglob("*.*"):
        assert (tmp_path / "again" / path.relative_to(known)).read_bytes() == path.read_bytes()


def test_what_is_somebody_elses_stays(made: tuple[Path, Path], store: PackageStore, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CorpusError, match="something else"):
        write_known(made[0], tmp_path, store, split="test", num=3)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("kinds", "split", "missing"), [(("speech",), "test", "sound"), (("speech", "sound"), "dev", "speech")]
)
def test_a_corpus_without_speech_or_sounds_is_named(
    kinds: tuple[str, ...], split: str, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = a_corpus(tmp_path / "corpus", kinds)
    command = ["corpus", "known", str(corpus), "--output", str(tmp_path / "known"), "--split", split]
    assert main(command) != 0
    assert f"no clip of {missing}" in capsys.readouterr().err
    assert not (tmp_path / "known").exists()
