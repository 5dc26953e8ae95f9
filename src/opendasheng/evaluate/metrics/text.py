"""Words of an answer, and the labels that it names: real word boundaries, Unicode forms levelled.

"C#" is another word than "C", an underscore is a space, and a label inside another word or another label is not found.
"""

import unicodedata
from collections.abc import Iterable, Sequence

import regex

# Marks belong to their letters; sharps, flats and pluses to the word that they follow.
_WORD = regex.compile("[\\w\\p{M}]+(?:['\u2019][\\w\\p{M}]+)*[#+\u266f\u266d]*")
_NEGATIONS = frozenset({"not", "no", "never", "isn't", "isnt", "aren't", "wasn't", "neither", "nor", "without"})
_ARTICLES = frozenset({"a", "an", "the", "any"})

Words = tuple[str, ...]


def words(text: str) -> Words:
    """The words of a text: NFKC, case folded, without punctuation."""
    level = unicodedata.normalize("NFKC", text).casefold().replace("_", " ").replace("\u2019", "'")
    return tuple(_WORD.findall(level))


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

    def find(self, text: str) -> tuple[frozenset[int], frozenset[int]]:
        """Numbers of the names that the text states, and of those that it only denies ("not a dog")."""
        if text.strip() in self._whole:
            return frozenset({self._whole[text.strip()]}), frozenset()
        stated: set[int] = set()
        denied: set[int] = set()
        spelled = self._words(text)
        position = 0
        while position < len(spelled):
            for name, number in self._by_first.get(spelled[position], ()):
                if spelled[position : position + len(name)] == name:
                    (denied if _is_denied(spelled, position) else stated).add(number)
                    position += len(name)
                    break
            else:
                position += 1
        return frozenset(stated), frozenset(denied - stated)


def _is_denied(spelled: Sequence[str], position: int) -> bool:
    before = position - 1
    while before >= 0 and spelled[before] in _ARTICLES:
        before -= 1
    return before >= 0 and spelled[before] in _NEGATIONS
