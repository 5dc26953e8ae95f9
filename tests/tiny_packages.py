"""Tiny packages, made on the spot: real .deb files with tones for audio, laid out as the builders expect."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from opendasheng.corpora.debian import Package
from opendasheng.corpora.distributions import Distribution


def tone(hz: float = 440.0, seconds: float = 0.5, *, format_: str = "WAV", rate_hz: int = 16_000) -> bytes:
    """A tone as an encoded file; another frequency gives other bytes."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    buffer = io.BytesIO()
    subtype = {"WAV": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III", "FLAC": "PCM_16"}[format_]
    soundfile.write(buffer, 0.3 * np.sin(2 * np.pi * hz * times), rate_hz, format=format_, subtype=subtype)
    return buffer.getvalue()


def ar(members: Mapping[str, bytes]) -> bytes:
    """An ar archive as dpkg-deb writes it."""
    archive = b"!<arch>\n"
    for name, content in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        archive += header + content + b"\n" * (len(content) % 2)
    return archive


def data_tar(files: Mapping[str, bytes], compression: str = "xz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("./usr")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for path, content in files.items():
            member = tarfile.TarInfo(f"./{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def package(folder: Path, name: str, files: Mapping[str, bytes], version: str = "1.0-1") -> Package:
    """Write ``NAME_VERSION_all.deb`` with ``files`` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{version}_all.deb"
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data_tar(files)}
    path.write_bytes(ar(members))
    return Package(name, version, path)


def source_archive(path: Path, files: Mapping[str, bytes]) -> Distribution:
    """Write a source archive ``NAME-VERSION.tar.gz`` with ``files`` below its folder and return it."""
    name, _, version = path.name.removesuffix(".tar.gz").rpartition("-")
    with tarfile.open(path, "w:gz") as archive:
        for member_path, content in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{member_path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return Distribution(name, version, path)


def wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a wheel ``NAME-VERSION-py3-none-any.whl`` with ``files`` that pip takes, and return its path."""
    name, version = path.name.split("-")[:2]
    about = f"{name}-{version}.dist-info"
    told = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in {**files, **told}.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return path


def queen_container(files: Mapping[str, bytes]) -> bytes:
    """A ``queen.1c`` with MP3 voices."""
    start = 15 + 21 * len(files)
    table, body = b"", b""
    for name, content in files.items():
        table += struct.pack(">12sBII", name.encode(), 1, start + len(body), len(content))
        body += content
    return b"QTBLCEM10\0\0\0\x01" + struct.pack(">H", len(files)) + table + body


def dialogue(talk_key: int, joe: Mapping[int, str], other: Mapping[int, str], levels: int = 1) -> bytes:
    """A ``.DOG`` file."""

    def block(lines: Mapping[int, str], start: int) -> bytes:
        content = b""
        for identity, text in lines.items():
            content += b"\0\0" + struct.pack(">hB", identity, len(text)) + text.encode("latin-1")
            content += b"\0" * (-(start + len(content)) % 4)
        return content

    joe_start = 32 + 96 * levels
    joe_block = block(joe, joe_start)
    other_start = joe_start + len(joe_block)
    header = struct.pack(">5h", levels, 1, talk_key, len(joe), len(other)).ljust(22, b"\0")
    header += struct.pack(">H", other_start)
    return b"\xff" * 20 + header.ljust(joe_start, b"\0") + joe_block + block(other, other_start)


def cutaway(preamble: str, texts: list[str], *, can_skip: bool = True) -> bytes:
    """A ``.CUT`` file."""
    start = 30
    header = struct.pack(">hhhhH", 0, len(texts) if can_skip else -len(texts), 0, 0, start).ljust(start, b"\0")
    for text in [preamble, *texts]:
        header += bytes([len(text)]) + text.encode("latin-1")
        header += b"\0" * (len(header) % 2 if text else 0)
    return b"\xff" * 20 + header
