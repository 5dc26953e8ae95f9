"""Hydrogen's drum samples (packages hydrogen-drumkits, -effects): ``drumkit.xml`` names the instrument of a file."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from opendasheng.corpora import game_sounds, vocabulary
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, table
from opendasheng.errors import CorpusError

_ROOT = "usr/share/hydrogen/data/drumkits/"


def samples(kit: bytes) -> dict[str, str]:
    """File name -> name of its instrument, for a ``drumkit.xml``; the first instrument that names a file has it.

    Raises:
        CorpusError: not XML.
    """
    try:
        root = ElementTree.fromstring(kit)
    except ElementTree.ParseError as error:
        raise CorpusError(f"a drumkit.xml is not readable XML ({error}); download the package again") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # later kits have an XML namespace
    found: dict[str, str] = {}
    for instrument in root.iter("instrument"):
        name = (instrument.findtext("name") or "").strip()
        for file_name in instrument.iter("filename"):
            if name and file_name.text:
                found.setdefault(file_name.text.strip(), name)
    return found


def _licence(kit: bytes) -> str | None:
    match = re.search(rb"<licen[sc]e>([^<]+)</licen[sc]e>", kit)
    return " ".join(match[1].decode("utf-8", "replace").split()) if match else None


def drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """All samples of known instruments; one kit is dev as a whole."""
    settings = table("hydrogen.toml")
    (package,) = packages.values()
    files = package.read(lambda path: path.startswith(_ROOT))
    for kit_path in [path for path in files if path.endswith("/drumkit.xml")]:
        yield from _kit_drafts(PurePosixPath(kit_path).parent, files, settings)


def _kit_drafts(folder: PurePosixPath, files: Mapping[str, bytes], settings: Mapping[str, Any]) -> Iterator[Draft]:
    kit = files[str(folder / "drumkit.xml")]
    licence = _licence(kit)
    for file_name, instrument in sorted(samples(kit).items()):
        path = str(folder / file_name)
        label = game_sounds.label_of(instrument + ".", settings["rules"])
        if label is None or path not in files:
            continue
        entry = vocabulary.entry(label)
        identity = clip_id("hydrogen", folder.name, file_name.rsplit(".", 1)[0])
        yield Draft(
            id=identity,
            audio=files[path],
            split="dev" if folder.name in settings["dev"] else "train",
            kind=entry.kind,
            origin=path,
            labels=entry.labels,
            captions=entry.captions(identity),
            licence=licence,
        )


def _recipe(name: str, package: str, summary: str) -> Recipe:
    return Recipe(
        name=name,
        packages=(package,),
        licence="GPL-2+, CC-BY, CC-BY-SA or CC0, by kit",
        summary=summary,
        drafts=drafts,
        files=("hydrogen.py", "hydrogen.toml", "game_sounds.py", "vocabulary.py", "vocabulary.toml"),
    )


RECIPES = (
    _recipe("hydrogen", "hydrogen-drumkits", "drum and percussion samples"),
    _recipe("hydrogen-guitar", "hydrogen-drumkits-effects", "guitar chords, strummed"),
)
