"""qABCs (package qabcs-data): spoken words in nine language variants, and the noises of what the words name."""

from collections.abc import Iterator, Mapping

from opendasheng.corpora import captions, vocabulary
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, part, table, without_shared_texts

_PACKAGE = "qabcs-data"
_ROOT = "usr/share/qabcs/abcs/"
_LICENCE = "GPL-3+"
_DEV_PERCENT, _TEST_PERCENT = 10, 15
# Only where the pitch of all recordings leaves no doubt; the package names no speakers.
_GENDERS = {"en": "male", "pl": "female"}


def words(properties: str) -> dict[str, str]:
    """Recording -> word, from lines ``category:letter=WORD=SYL-LA-BLES=recording=noise``; capitals are lowered.

    A recording that stands for two different words is left out.
    """
    found: dict[str, set[str]] = {}
    for line in properties.splitlines():
        category, colon, rest = line.partition(":")
        fields = [field.strip() for field in rest.split("=")]
        if colon and not category.startswith("#") and len(fields) >= 4 and fields[1] and fields[3]:
            found.setdefault(fields[3], set()).add(fields[1].lower().replace("_", " "))
    return {recording: spelled.pop() for recording, spelled in sorted(found.items()) if len(spelled) == 1}


def word_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """Every recorded word with its spelling; the split goes by concept, the same in all languages."""
    files = packages[_PACKAGE].read(lambda path: "/sounds/words/" in path or path.endswith("/abc1.properties"))
    yield from without_shared_texts(_words(files))


def _words(files: Mapping[str, bytes]) -> Iterator[Draft]:
    for variant in sorted({path.removeprefix(_ROOT).split("/")[0] for path in files if "/sounds/words/" in path}):
        language = variant.split("_")[0]
        properties = files.get(f"{_ROOT}{variant}/abc1.properties")
        if properties is None or language not in captions.LANGUAGES:
            continue
        for recording, word in words(properties.decode("utf-8", "replace")).items():
            origin = f"{_ROOT}{variant}/sounds/words/{recording}.ogg"
            if origin not in files:
                continue
            identity = clip_id("qabcs", variant, recording)
            gender = _GENDERS.get(variant)
            yield Draft(
                id=identity,
                audio=files[origin],
                split=part(f"qabcs {recording}", _DEV_PERCENT, _TEST_PERCENT),
                kind="speech",
                origin=origin,
                labels=captions.speech_labels(gender),
                captions=captions.speech(identity, "word", language=language, gender=gender),
                language=language,
                speaker=f"qabcs-{variant}",
                gender=gender,
                transcript=word,
            )


def noise_drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """The noises whose name is certain; those named after characters of films are not in the table. Test only."""
    files = packages[_PACKAGE].read(lambda path: path.startswith(f"{_ROOT}all/noises/") and path.endswith(".ogg"))
    names = {name: label for label, noises in table("qabcs.toml").items() for name in noises}
    for origin, audio in files.items():
        name = origin.rsplit("/", 1)[1].removesuffix(".ogg")
        if name not in names:
            continue
        entry = vocabulary.entry(names[name])
        identity = clip_id("qabcs-noise", name)
        yield Draft(
            id=identity,
            audio=audio,
            split="test",
            kind=entry.kind,
            origin=origin,
            labels=entry.labels,
            captions=entry.captions(identity),
        )


WORDS = Recipe(
    name="qabcs-words",
    packages=(_PACKAGE,),
    licence=_LICENCE,
    summary="single spoken words, one speaker per language",
    drafts=word_drafts,
    files=("qabcs.py",),
)
NOISES = Recipe(
    name="qabcs-noises",
    packages=(_PACKAGE,),
    licence=_LICENCE,
    summary="sounds of animals, instruments and vehicles; test only",
    drafts=noise_drafts,
    files=("qabcs.py", "qabcs.toml", "vocabulary.py", "vocabulary.toml"),
)
RECIPES = (WORDS, NOISES)
