"""Whisper in the form of CTranslate2: a tiny random one, converted from transformers."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_experts import LANGUAGES, write_whisper

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.experts.whisper import Whisper, is_whisper, size_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "small-one")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "many", many_languages=True)


def noise(number: int, seconds: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(number).normal(size=int(seconds * 16_000)) * 0.1).astype(np.float32)


def test_the_text_is_a_function_of_the_clip_alone(folder: Path) -> None:
    clips = [noise(0), noise(1, 0.3), noise(2, 3.0), np.zeros(1, dtype=np.float32)]
    model = Whisper(folder, device="cpu")
    alone = [Whisper(folder, device="cpu").transcribe(clip) for clip in clips]
    assert [model.transcribe(clip) for clip in reversed(clips)] == alone[::-1]
    assert len({found.text for found in alone}) > 1
    assert all(found.language == "en" for found in alone)
    assert model.name == "small-one"


def test_long_clips_are_heard_in_windows(folder: Path) -> None:
    model = Whisper(folder, device="cpu")
    first, both = noise(3, 30.0), noise(3, 45.0)
    assert np.array_equal(both[: len(first)], first)
    assert model.transcribe(both).text != model.transcribe(first).text


def test_text_that_fills_its_window_is_cut_and_says_so(tmp_path: Path, folder: Path) -> None:
    found = Whisper(write_whisper(tmp_path / "endless", endless=True), device="cpu").transcribe(noise(0))
    assert found == ("E" * 223, "en", True)  # the first of 224 tokens is a mark of time
    assert not Whisper(folder, device="cpu").transcribe(noise(0)).was_cut


def test_a_model_of_many_languages_writes_the_one_that_is_named(many: Path, folder: Path) -> None:
    model = Whisper(many, device="cpu")
    assert sorted(model.languages) == sorted(LANGUAGES)
    texts = {code: model.transcribe(noise(0), code) for code in LANGUAGES}
    assert [found.language for found in texts.values()] == list(LANGUAGES)
    assert len({found.text for found in texts.values()}) > 1
    heard = model.transcribe(noise(0))
    assert heard == texts[heard.language]
    with pytest.raises(ConfigError, match="does not write 'cs', but en, "):
        model.transcribe(noise(0), "cs")
    english = Whisper(folder, device="cpu")
    assert english.languages == ("en",)
    with pytest.raises(ConfigError, match="does not write 'ru', but en"):
        english.transcribe(noise(0), "ru")


def test_it_is_known_by_its_files(folder: Path, tmp_path: Path) -> None:
    assert is_whisper(folder)
    assert not is_whisper(tmp_path)
    assert not is_whisper(folder / "model.bin")
    assert "model_type" not in json.loads((folder / "config.json").read_text())
    assert size_of(folder) is None


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "part")
    (tmp_path / "part" / name).unlink()
    with pytest.raises(CheckpointError, match=f"part: no {name}"):
        Whisper(tmp_path / "part")


@pytest.mark.parametrize(("name", "kept"), [("model.bin", 3), ("model.bin", 9_000), ("tokenizer.json", 50)])
def test_a_damaged_file_is_named(folder: Path, tmp_path: Path, name: str, kept: int) -> None:
    shutil.copytree(folder, tmp_path / "part")
    file = tmp_path / "part" / name
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"part.*fetch it again"):
        Whisper(tmp_path / "part", device="cpu")


def test_another_model_of_ctranslate2_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    file = tmp_path / "other" / "model.bin"
    file.write_bytes(file.read_bytes().replace(b"WhisperSpec", b"TransfoSpec", 1))
    with pytest.raises(CheckpointError, match="it holds a TransfoSpec, not a Whisper"):
        Whisper(tmp_path / "other")


def test_what_a_device_cannot_do_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="not on mps"):
        Whisper(folder, device="mps")
    with pytest.raises(ConfigError, match="try another --dtype or --device"):
        Whisper(folder, device="cpu", dtype="float99")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ConfigError, match=r"pip install 'opendasheng\[experts\]'"):
        Whisper(folder)
