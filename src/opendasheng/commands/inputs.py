"""Which clips the arguments of a command name: files, folders, patterns and URLs."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from opendasheng.audio import describe

# Files in a folder that are taken for audio; a file that is named itself is always tried.
AUDIO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "au", "caf", "flac", "m4a", "mka", "mp3"),
        *("oga", "ogg", "opus", "snd", "tta", "w64", "wav", "webm", "wma", "wv"),
    )
)


def expand(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The clips that are named, each once, in order; and a line for each argument that names none.

    Folders are searched to any depth, sorted, without hidden files; a pattern (``*``, ``?``, ``[``, ``**``) that the
    shell left as it was matches files. What does not exist stays in the list, for the error that opening it gives.
    """
    clips: dict[str, None] = {}
    failures = []
    for argument in given:
        if not argument:  # an unset variable of a shell script; as a path it would be the current folder
            found, failure = [], "the name of the clip is empty"
        elif Path(argument).is_dir():
            found = list(_audio_files(Path(argument)))
            failure = "no audio file in this folder: name the file itself if its suffix is unusual"
        elif not _is_url(argument) and glob.has_magic(argument) and not Path(argument).exists():
            found = [path for path in sorted(glob.glob(argument, recursive=True)) if Path(path).is_file()]  # noqa: PTH207
            failure = "no file matches this pattern"
        else:
            found, failure = [argument], ""
        if not found:
            failures.append(f"{describe(argument)}: {failure}")
        clips.update(dict.fromkeys(found))
    return list(clips), failures


def clip_id(source: str) -> str:
    """What a clip is called in records: its path or URL as given, in printable form.

    Where that form leaves something out (the query of a URL, bytes that are no text) a checksum keeps ids apart.
    """
    name = describe(source)
    return name if name == source else f"{name}#{hashlib.sha256(os.fsencode(source)).hexdigest()[:8]}"


def _is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _audio_files(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield str(Path(parent) / name)
