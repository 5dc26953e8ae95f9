"""Dialogue of a puzzle game (packages fillets-ng-data*): Czech and Dutch, each line with its English translation.

Two fish, one woman and one man in each language, speak most of it. The same levels are held out in both languages.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from opendasheng.corpora import captions
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, part, without_shared_texts
from opendasheng.errors import CorpusError

_TEXTS = "fillets-ng-data"
_ROOT = "usr/share/games/fillets-ng/"
_DEV_PERCENT = 8
_TEST_PERCENT = 22

# Lines that any level may play lie together under the level's name "share"; their sounds lie in a folder by script.
_EVERYWHERE = "share"
_FOLDERS = {"black": "blackjokes", "bore": "borejokes", "border": "border", "shout": "border"}
_SCRIPT = re.compile(r"script/(?P<level>[^/]+)/(?P<part>\w*?)_?dialogs_(?P<language>\w+)\.lua")

# Who speaks is told by the font of the line: the fish have one each, everybody else is told apart within a level.
_FISH = {"font_small": ("small", "female"), "font_big": ("big", "male")}

_STRING = r'"(?:[^"\\]|\\.)*"'
_TEXT = rf"{_STRING}(?:\s*\.\.\s*{_STRING})*"
_CALL = re.compile(
    rf"dialogId\s*\(\s*(?P<id>{_TEXT})\s*,\s*(?P<font>{_TEXT})\s*,\s*(?P<english>{_TEXT})\s*\)"
    rf"(?:\s*dialogStr\s*\(\s*(?P<words>{_TEXT})\s*\))?"
)
_CALLED = re.compile(r"^\s*dialogId\b", re.MULTILINE)
_JOINED = re.compile(rf"{_STRING}")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# Commands, file names, addresses and places for a number are not read as they are written.
_NOT_WORDS = re.compile(r"[%<>|\\/_=]|\.ogg\b")


@dataclass(frozen=True)
class Line:
    """One line of a script: its name, the font it is shown in, its words and what they mean in English."""

    name: str
    font: str
    words: str
    english: str


def lines(script: str) -> list[Line]:
    """The lines of a dialogue script that have words in its language.

    Raises:
        CorpusError: a call in a form that cannot be read, so that nothing is left out unseen.
    """
    calls = list(_CALL.finditer(script))
    expected = len(_CALLED.findall(script))
    if len(calls) != expected:
        raise CorpusError(f"{len(calls)} of {expected} dialogue lines can be read; is the package too new?")
    texts = [{name: _plain(value) for name, value in call.groupdict(default="").items()} for call in calls]
    return [Line(t["id"], t["font"], t["words"], t["english"]) for t in texts if t["words"]]


def _plain(expression: str) -> str:
    """The value of Lua strings joined by ``..``, with single spaces."""
    joined = "".join(_ESCAPE.sub(r"\1", string[1:-1]) for string in _JOINED.findall(expression))
    return " ".join(joined.split())


def split(level: str) -> str:
    """The split of a level, the same in both languages."""
    return "train" if level == _EVERYWHERE else part(f"fillets/{level}", _DEV_PERCENT, _TEST_PERCENT)


def _folder(level: str, script_part: str) -> str:
    """Where the sounds of a script lie, below ``sound/``."""
    return f"{level}/{_FOLDERS.get(script_part, script_part)}" if level == _EVERYWHERE else level


def _speaker(line: Line, level: str) -> tuple[str, str | None]:
    """Name and gender of who speaks a line."""
    if line.font in _FISH:
        return _FISH[line.font]
    return f"{level}-{line.font.removeprefix('font_') or 'other'}", None


def _scripts(package: Package, language: str) -> Iterator[tuple[str, str, list[Line]]]:
    """Level, folder of sounds and lines of each script of a language."""
    found = package.read(lambda path: f"dialogs_{language}.lua" in path)
    for path, content in found.items():
        match = _SCRIPT.fullmatch(path.removeprefix(_ROOT))
        if match is None or match["language"] != language:
            continue
        try:
            yield match["level"], _folder(match["level"], match["part"]), lines(content.decode())
        except (CorpusError, UnicodeDecodeError) as error:
            raise CorpusError(f"{package.path}: {path}: {error}") from error


def _all_drafts(packages: Mapping[str, Package], language: str) -> Iterator[Draft]:
    sounds = packages[f"{_TEXTS}-{language}"].read(lambda path: path.endswith(".ogg"))
    for level, folder, found in _scripts(packages[_TEXTS], language):
        for line in found:
            origin = f"{_ROOT}sound/{folder}/{language}/{line.name}.ogg"
            if origin not in sounds or _NOT_WORDS.search(line.words + line.english) or not line.english:
                continue
            identity = clip_id("fillets", language, level, line.name)
            speaker, gender = _speaker(line, level)
            yield Draft(
                id=identity,
                audio=sounds[origin],
                split=split(level),
                kind="speech",
                origin=origin,
                labels=captions.speech_labels(gender),
                captions=captions.speech(identity, "dialogue", language=language, gender=gender),
                language=language,
                speaker=f"fillets-{language}-{speaker}",
                gender=gender,
                transcript=line.words,
                translation=line.english,
            )


def drafts(packages: Mapping[str, Package], language: str) -> Iterator[Draft]:
    """The spoken lines of a language, less those whose words another split has first."""
    return without_shared_texts(_all_drafts(packages, language))


def _recipe(language: str) -> Recipe:
    make: Callable[[Mapping[str, Package]], Iterator[Draft]] = partial(drafts, language=language)
    return Recipe(
        name=f"fillets-{language}",
        packages=(f"{_TEXTS}-{language}", _TEXTS),
        licence="GPL-2+",
        summary=f"{captions.LANGUAGES[language]} game dialogue with English translation; whole levels are held out",
        drafts=make,
        files=("fillets.py",),
    )


RECIPES = tuple(_recipe(language) for language in ("cs", "nl"))
