"""Russian sentences read by one man (package festvox-ru): 620 utterances, 1.66 h, studio recordings at 16 kHz."""

import re
from collections.abc import Iterator, Mapping

from opendasheng.corpora import captions
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe
from opendasheng.errors import CorpusError

_ROOT = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
_TEXT = f"{_ROOT}/etc/txt.done.data"
_LINE = re.compile(r'^\(\s*(\S+)\s+"(.*)"\s*\)\s*$')
_DEV_EVERY = 10
_NUM_DEV = 60


def _wanted(path: str) -> bool:
    return path == _TEXT or (path.startswith(f"{_ROOT}/wav/") and path.endswith(".wav"))


def transcripts(text: str) -> dict[str, str]:
    """Utterance name -> sentence without stress marks, from a prompt file of lines ``( name "sentence" )``.

    Raises:
        CorpusError: a line of another form.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise CorpusError(f"festvox-ru: line {number} of {_TEXT} is not a prompt: {line[:60]!r}")
        # A plus before a vowel marks the stress for the synthesiser; it is no part of the text.
        found[match[1]] = match[2].replace('\\"', '"').replace("+", "").strip()
    return found


def drafts(packages: Mapping[str, Package]) -> Iterator[Draft]:
    """Every utterance; each tenth one goes to dev until that has 60."""
    files = packages["festvox-ru"].read(_wanted)
    sentences = transcripts(files[_TEXT].decode())
    for number, (name, sentence) in enumerate(sorted(sentences.items())):
        origin = f"{_ROOT}/wav/{name}.wav"
        identity = f"festvox-ru-{name}"
        is_dev = number % _DEV_EVERY == 0 and number // _DEV_EVERY < _NUM_DEV
        yield Draft(
            id=identity,
            audio=files[origin],
            split="dev" if is_dev else "train",
            kind="speech",
            origin=origin,
            labels=captions.speech_labels("male"),
            captions=captions.speech(identity, "sentence", language="ru", gender="male"),
            language="ru",
            speaker="festvox-ru-nsh",
            gender="male",
            transcript=sentence,
        )


RECIPE = Recipe(
    name="festvox-ru",
    packages=("festvox-ru",),
    licence="BSD-like (Nickolay V. Shmyrev, 2005)",
    summary="Russian sentences, one male reader",
    drafts=drafts,
    files=("festvox_ru.py",),
)
