"""Sonic Pi's samples (package sonic-pi-samples): drums, tabla, bass, guitar, electronic sounds and loops, all CC0."""

from collections.abc import Iterator, Mapping

from opendasheng.corpora import archives, game_sounds, vocabulary
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, table

_PACKAGE = "sonic-pi-samples"


def drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """All samples whose name says what they are; the name's first word is the class."""
    settings = table("sonic_pi.toml")
    for path, audio in archives.audio_files(packages[_PACKAGE], settings["root"]).items():
        label = game_sounds.label_of(path, settings["rules"])
        if label is None:
            continue
        entry = vocabulary.entry(label)
        identity = clip_id("sonic-pi", path.rsplit(".", 1)[0])
        yield Draft(
            id=identity,
            audio=audio,
            split="train",
            kind=entry.kind,
            origin=settings["root"] + path,
            labels=entry.labels,
            captions=entry.captions(identity),
        )


RECIPE = Recipe(
    name="sonic-pi",
    packages=(_PACKAGE,),
    licence="CC0-1.0",
    summary="drum, bass, guitar and electronic samples",
    drafts=drafts,
    files=("sonic_pi.py", "sonic_pi.toml", "game_sounds.py", "archives.py", "vocabulary.py", "vocabulary.toml"),
)
