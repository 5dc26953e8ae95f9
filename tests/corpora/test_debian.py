"""Packages are read without dpkg, found in folders, and refused with the reason when they are not what they seem."""

import os
from pathlib import Path

import pytest
import tiny_packages as packages

from opendasheng.corpora.debian import Package, PackageStore
from opendasheng.errors import CorpusError

FILES = {"usr/share/b.wav": b"bb", "usr/share/a.wav": b"a" * 5000, "usr/share/doc/copyright": b"free"}


def with_data(folder: Path, name: str, content: bytes) -> Package:
    path = folder / "p_1_all.deb"
    path.write_bytes(packages.ar({"debian-binary": b"2.0\n", name: content}))
    return Package("p", "1", path)


@pytest.mark.parametrize(
    ("name", "compression"), [("data.tar", ""), ("data.tar.gz", "gz"), ("data.tar.xz", "xz"), ("data.tar.xz/", "xz")]
)
def test_wanted_files_are_read(tmp_path: Path, name: str, compression: str) -> None:
    package = with_data(tmp_path, name, packages.data_tar(FILES, compression))
    assert package.read(lambda path: path.endswith(".wav")) == {
        "usr/share/a.wav": b"a" * 5000,
        "usr/share/b.wav": b"bb",
    }
    assert [path for path, _ in package.members(lambda path: True)] == list(FILES)


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="'zst'"):
        with_data(tmp_path, "data.tar.zst", b"x").read(lambda path: True)


def test_what_is_no_package_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p_1_all.deb"
    for content, reason in [(b"<html>", "no ar header"), (packages.ar({"debian-binary": b"2.0\n"}), "no data.tar")]:
        path.write_bytes(content)
        with pytest.raises(CorpusError, match=reason):
            Package("p", "1", path).read(lambda path: True)


def test_a_cut_download_is_damage(tmp_path: Path) -> None:
    package = packages.package(tmp_path, "p", {"a.wav": os.urandom(50_000)})
    package.path.write_bytes(package.path.read_bytes()[:-20_000])
    with pytest.raises(CorpusError, match="damaged"):
        package.read(lambda path: True)


def test_no_wanted_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="none of the files"):
        packages.package(tmp_path, "p", FILES).read(lambda path: path.endswith(".ogg"))


def test_a_store_looks_into_packages_then_cache(tmp_path: Path) -> None:
    packages.package(tmp_path / "given", "p", FILES, version="1%3a2.0-3")
    packages.package(tmp_path / "cache", "q", FILES)
    packages.package(tmp_path / "cache", "q-data", FILES)
    store = PackageStore(tmp_path / "cache", tmp_path / "given")
    assert store.get("p").version == "1:2.0-3"
    assert store.get("q").path.parent == tmp_path / "cache"
    assert len(store.get("q").sha256) == 64


def test_two_versions_are_not_guessed_between(tmp_path: Path) -> None:
    packages.package(tmp_path, "p", FILES, version="1")
    packages.package(tmp_path, "p", FILES, version="2")
    with pytest.raises(CorpusError, match=r"p_1_all\.deb, p_2_all\.deb"):
        PackageStore(tmp_path).get("p")


def test_a_missing_package_without_apt_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match=r"p is not in .*given"):
        PackageStore(tmp_path / "cache", tmp_path / "given").get("p")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for apt-get on the PATH: it copies the package, or fails as the real one does."""
    source = packages.package(tmp_path / "mirror", "p", FILES).path
    script = tmp_path / "bin" / "apt-get"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\ntest "$3" = p || {{ echo "E: Unable to locate package $3" >&2; exit 100; }}\ncp {source} .\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script


def test_a_package_is_downloaded_once(tmp_path: Path, apt: Path) -> None:
    store = PackageStore(tmp_path / "cache")
    assert store.get("p").path == tmp_path / "cache" / "p_1.0-1_all.deb"
    apt.write_text("#!/bin/sh\nexit 1\n")
    assert store.get("p").version == "1.0-1"


def test_a_failed_download_gives_the_reason(tmp_path: Path, apt: Path) -> None:
    with pytest.raises(CorpusError, match="Unable to locate package q"):
        PackageStore(tmp_path / "cache").get("q")
