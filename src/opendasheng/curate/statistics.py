"""Figures of caption data sets as in the paper's Table 2, whose rows stand in ``statistics.toml`` beside this file."""

import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from opendasheng.markdown import cell, table


@dataclass(frozen=True)
class Published:
    """A row of Table 2, as printed: unique words (#Vocab) and words a caption (Avg. Sent)."""

    name: str
    labelling: str
    vocabulary: int
    mean_words: float
    source: str


@dataclass(frozen=True)
class Statistics:
    """The same figures of captions that are there."""

    num_captions: int
    vocabulary: int
    mean_words: float


@cache
def published() -> tuple[Published, ...]:
    """The rows of the paper, in its order."""
    content = tomllib.loads(files("opendasheng.curate").joinpath("statistics.toml").read_text(encoding="utf-8"))
    return tuple(Published(**fields) for fields in content["datasets"])


def statistics(captions: Iterable[str]) -> Statistics:
    """Of ``captions``: how many, their unique words, and the mean number of words of one (0 of none)."""
    num_captions = num_words = 0
    vocabulary: set[str] = set()
    for caption in captions:
        found = list(words(caption))
        num_captions += 1
        num_words += len(found)
        vocabulary.update(found)
    return Statistics(num_captions, len(vocabulary), num_words / max(num_captions, 1))


def words(text: str) -> Iterator[str]:
    """What stands between spaces, in lower case, without the punctuation around it.

    The paper does not say what it counts. Its 47 words of MusicCaps are those of a whole caption, not of a sentence.
    """
    for token in text.lower().split():
        ends = [place for place, character in enumerate(token) if unicodedata.category(character)[0] not in "PSC"]
        if ends:
            yield token[ends[0] : ends[-1] + 1]


def comparison(found: Mapping[str, Statistics], labelling: str) -> str:
    """A table in Markdown: ``found`` by name, all of one ``labelling``, and the rows of the paper after them."""
    ours = [(cell(name), labelling, str(f.vocabulary), f"{f.mean_words:.2f}", "") for name, f in found.items()]
    theirs = [(p.name, p.labelling, str(p.vocabulary), f"{p.mean_words:.2f}", p.source) for p in published()]
    heads = ("captions", "labelling", "unique words", "words a caption", "source")
    return table(heads, [*ours, *theirs], right=(2, 3)) + "\n"
