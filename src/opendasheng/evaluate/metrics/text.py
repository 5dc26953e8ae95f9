"""Words of an answer, and the labels that it names: real word boundaries, Unicode forms levelled.

"C#" is another word than "C", an underscore is a space, and a label inside another word or another label is not found.
"""

import unicodedata
from collections.abc import Iterable, Sequence

import regex

# Marks belong to their letters; sharps, flats and pluses to the word that they follow.
_WORD = regex.compile("[\\w\\p{M}]+(?:['\u2019][\\w\\p{M}]+)*[#+\u266f\u266d]*")
_NEAR = frozenset({"no", "without"})  # deny what follows at once, but for an article
_FAR = frozenset({"not", "never", "cannot", "neither", "nor", "non", "isnt", "dont", "doesnt"})  # within a few words
_ARTICLES = frozenset({"a", "an", "the", "any"})
_TURNS = frozenset({"but", "rather", "only", "instead"})
_REACH = 4
_CLAUSE = regex.compile(r"[.;,:!?\n]")

Words = tuple[str, ...]


def words(text: str) -> Words:
    """The words of a text: NFKC, case folded, without punctuation and possessive endings."""
    return tuple(word for word, _ in _told(text))


def _told(text: str) -> list[tuple[str, bool]]:
    """Words, each with whether it begins a clause."""
    level = unicodedata.normalize("NFKC", text).casefold().replace("_", " ").replace("\u2019", "'")
    found: list[tuple[str, bool]] = []
    end = 0
    for match in _WORD.finditer(level):
        begins = not found or bool(_CLAUSE.search(level, end, match.start()))
        found.append((match[0].removesuffix("'s"), begins))
        end = match.end()
    return found


class Finder:
    """Finds names in texts by whole words, the longest first, so that "guitar" is not found in "bass guitar".

    ``ignored`` words count neither in names nor in texts. A name without a word stands for itself as a whole.
    """

    def __init__(self, names: Iterable[str], ignored: frozenset[str] = frozenset()) -> None:
        self._ignored = ignored
        self._by_first: dict[str, list[tuple[Words, int]]] = {}
        self._whole: dict[str, int] = {}
        self.num_names = 0
        for number, name in enumerate(names):
            self.num_names = number + 1
            spelled = self._words(name)
            if spelled:
                self._by_first.setdefault(spelled[0], []).append((spelled, number))
            else:
                self._whole.setdefault(name.strip(), number)
        for found in self._by_first.values():
            found.sort(key=lambda entry: (-len(entry[0]), entry[1]))

    def _words(self, text: str) -> Words:
        return tuple(word for word in words(text) if word not in self._ignored)

    def _kept(self, text: str) -> list[tuple[str, bool]]:
        """The words that count, each with whether it begins a clause, itself or after words that do not count."""
        kept: list[tuple[str, bool]] = []
        waiting = True
        for word, begins in _told(text):
            waiting |= begins
            if word not in self._ignored:
                kept.append((word, waiting))
                waiting = False
        return kept

    def find(self, text: str) -> tuple[frozenset[int], frozenset[int]]:
        """Numbers of the names that the text states, and of those that it only denies ("not a dog")."""
        if text.strip() in self._whole:
            return frozenset({self._whole[text.strip()]}), frozenset()
        stated: set[int] = set()
        denied: set[int] = set()
        told = self._kept(text)
        spelled = tuple(word for word, _ in told)
        position = 0
        while position < len(spelled):
            for name, number in self._by_first.get(spelled[position], ()):
                if spelled[position : position + len(name)] == name:
                    (denied if _is_denied(told, position) else stated).add(number)
                    position += len(name)
                    break
            else:
                position += 1
        return frozenset(stated), frozenset(denied - stated)


def _is_denied(told: Sequence[tuple[str, bool]], position: int) -> bool:
    """Whether a negation stands before a word, in its clause and not far off."""
    near = True
    for distance in range(1, _REACH + 1):
        if told[position - distance + 1][1]:
            return False
        word = told[position - distance][0]
        if word in _TURNS:
            return False
        if word in _FAR or word.endswith("n't") or (near and word in _NEAR):
            return True
        near = near and word in _ARTICLES
    return False
