"""Zip and Qt resource files inside packages are read, and refused when damaged."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import tiny_packages as packages

from opendasheng.corpora.archives import audio_files, openttd_sounds, qt_resources
from opendasheng.errors import CorpusError


def a_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo("sound/b.ogg"), b"b")
        zipped.writestr(zipfile.ZipInfo("sound/a.WAV"), b"a")
        zipped.writestr(zipfile.ZipInfo("sound/readme.txt"), b"no")
        zipped.writestr(zipfile.ZipInfo("other/c.ogg"), b"c")
    return buffer.getvalue()


def a_qt_resource(version: int = 1, flags: int = 0) -> bytes:
    """``sounds/dog.ogg`` (stored), ``sounds/cat.ogg`` (compressed) and ``top.ogg``."""
    names, name_at = b"", {}
    for name in ("sounds", "top.ogg", "dog.ogg", "cat.ogg"):
        name_at[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    packed = struct.pack(">I", 6) + zlib.compress(b"meow" * 50)
    data, data_at = b"", []
    for content in (b"woof", packed, b"top"):
        data_at.append(len(data))
        data += struct.pack(">I", len(content)) + content
    extra = b"\0" * (8 if version > 1 else 0)
    nodes = [
        struct.pack(">IHII", 0, 2, 2, 1),
        struct.pack(">IHII", name_at["sounds"], 2, 2, 3),
        struct.pack(">IHHHI", name_at["top.ogg"], flags, 0, 0, data_at[2]),
        struct.pack(">IHHHI", name_at["dog.ogg"], 0, 0, 0, data_at[0]),
        struct.pack(">IHHHI", name_at["cat.ogg"], 1, 0, 0, data_at[1]),
    ]
    tree = b"".join(node + extra for node in nodes)
    start = 20
    header = struct.pack(">4s4I", b"qres", version, start, start + len(tree), start + len(tree) + len(data))
    return header + tree + data + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_qt_resources_are_read_with_their_paths(version: int) -> None:
    assert dict(qt_resources(a_qt_resource(version))) == {
        "sounds/dog.ogg": b"woof",
        "sounds/cat.ogg": b"meow" * 50,
        "top.ogg": b"top",
    }


def test_audio_below_the_root_is_read_from_all_archives(tmp_path: Path) -> None:
    package = packages.package(tmp_path, "p", {"base/a.pk3": a_zip(), "base/b.rcc": a_qt_resource()})
    assert audio_files(package, "sound/", ("base/a.pk3",)) == {"a.WAV": b"a", "b.ogg": b"b"}
    assert list(audio_files(package, "", ("base/a.pk3", "base/b.rcc"))) == [
        "other/c.ogg",
        "sound/a.WAV",
        "sound/b.ogg",
        "sounds/cat.ogg",
        "sounds/dog.ogg",
        "top.ogg",
    ]
    with pytest.raises(CorpusError, match="no audio below 'music/'"):
        audio_files(package, "music/", ("base/a.pk3",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pk3", a_zip()[:60]),
        ("a.rcc", b"RIFF" + bytes(40)),
        ("a.rcc", a_qt_resource()[:10]),
        ("a.rcc", a_qt_resource()[:60]),
        ("a.rcc", a_qt_resource(flags=4)),
        ("a.rcc", a_qt_resource(flags=1)),
        ("a.rcc", a_qt_resource(version=1).replace(b"qres\0\0\0\x01", b"qres\0\0\0\x09")),
    ],
)
def test_a_damaged_archive_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    package = packages.package(tmp_path, "p", {name: content})
    with pytest.raises(CorpusError, match=rf"p_1\.0-1_all\.deb: {name} is damaged"):
        audio_files(package, "", (name,))


def a_cat(*sounds: tuple[str, bytes]) -> bytes:
    entries, body, start = b"", b"", 8 * len(sounds)
    for description, content in sounds:
        words = description.encode() + b"\0"
        entries += struct.pack("<2I", start + len(body) | 0x80000000, len(content))
        body += bytes([len(words)]) + words + content
    return entries + body


def test_openttd_sounds_are_named_by_their_titles(tmp_path: Path) -> None:
    content = a_cat(('"Cow". By Somebody.', b"moo"), ('"Train/ship horn". Original "x.wav" by "y".', b"toot"))
    assert dict(openttd_sounds(content)) == {"00 Cow.wav": b"moo", "01 Train or ship horn.wav": b"toot"}
    package = packages.package(tmp_path, "p", {"base/a.cat": content})
    assert audio_files(package, "", ("base/a.cat",)) == {"00 Cow.wav": b"moo", "01 Train or ship horn.wav": b"toot"}


@pytest.mark.parametrize("cut", [0, 3, 10, 20, 60, -1])
def test_a_cut_file_of_sounds_is_damaged(cut: int, tmp_path: Path) -> None:
    content = a_cat(('"Cow". By Somebody.', b"moo"), ('"Sheep". By Somebody.', b"baa"))[:cut]
    with pytest.raises(CorpusError, match=r"a\.cat is damaged"):
        audio_files(packages.package(tmp_path, "p", {"base/a.cat": content}), "", ("base/a.cat",))
