"""Words of an answer, and the names that it states: real word boundaries, Unicode forms levelled, denials understood.

"C#" is another word than "C", an underscore is a space, and a name inside another word or another name is not found.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import regex

from opendasheng.evaluate.metrics.denial import goes_on, is_denied
from opendasheng.evaluate.metrics.easing import ordered

# Marks belong to their letters; sharps, flats and pluses to the word that they follow.
_WORD = regex.compile("[\\w\\p{M}]+(?:'[\\w\\p{M}]+)*[#+\u266f\u266d]*")
_INVISIBLE = regex.compile(r"\p{Cf}+")
_CLAUSE = regex.compile(r"[.;,:!?\n]")
# Words that end in s and are no plural.
_NO_PLURALS = frozenset({"blues", "news", "series", "species", "lens", "always", "perhaps", "does"})

_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "feet": "foot",
    "mice": "mouse",
    "geese": "goose",
    "teeth": "tooth",
    "knives": "knife",
    "wolves": "wolf",
    "leaves": "leaf",
    "calves": "calf",
    "hooves": "hoof",
    "buses": "bus",
    "gases": "gas",
    "lenses": "lens",
    "tomatoes": "tomato",
    "potatoes": "potato",
    "echoes": "echo",
}

Words = tuple[str, ...]


class _Told(NamedTuple):
    """The words of a text, and of each whether it begins a clause, and whether it also may: a word that does not count
    stood before it. Columns, since a text may have millions of words."""

    words: list[str]
    begins: bytearray
    loose: bytearray


def level(text: str) -> str:
    """NFKC, without what is not seen (soft hyphens, marks of direction), in curled quotes' straight form."""
    shown: str = _INVISIBLE.sub("", unicodedata.normalize("NFKC", ordered(text)))
    return shown.replace("\u2019", "'")


def words(text: str) -> Words:
    """The words of a text: NFKC, case folded, without punctuation and possessive endings."""
    return tuple(_told(text, frozenset()).words)


def _told(text: str, ignored: frozenset[str]) -> _Told:
    flat = level(text).casefold().replace("_", " ")
    told = _Told([], bytearray(), bytearray())
    same: dict[str, str] = {}
    begins, loose, end = True, False, 0
    for match in _WORD.finditer(flat):
        begins = begins or bool(_CLAUSE.search(flat, end, match.start()))
        end = match.end()
        word = match[0].removesuffix("'s")
        if word in ignored:
            loose = True
            continue
        told.words.append(same.setdefault(word, word))
        told.begins.append(begins)
        told.loose.append(loose)
        begins = loose = False
    return told


def singular(word: str) -> str:
    """A word without the ending of an English plural; what cannot be one stays as it is."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")) or word in _NO_PLURALS:
        return word
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word[:-1]


class _Name(NamedTuple):
    words: Words  # as written, or in the singular where ``exact`` is false
    may_break: tuple[bool, ...]
    exact: bool
    number: int


class Finder:
    """Finds names in texts by whole words, the longest first, so that "guitar" is not found in "bass guitar".

    A plural is its singular, unless that is another name. A name "x or y" of single words is stated by either of them.
    A name is not put together over a comma that it does not have itself. ``ignored`` words count neither in names nor
    in texts. A name without a word stands for itself as a whole.
    """

    def __init__(self, names: Iterable[str], ignored: frozenset[str] = frozenset()) -> None:
        self._ignored = ignored
        self._by_first: dict[str, list[_Name]] = {}
        self._whole: dict[str, int] = {}
        self.num_names = 0
        told: list[tuple[_Told, int]] = []
        for number, name in enumerate(names):
            self.num_names = number + 1
            spelled = _told(name, ignored)
            if spelled.words:
                told.append((spelled, number))
            else:
                self._whole.setdefault(name.strip(), number)
        self._add(told)
        taken = {_flat(spelled) for spelled, _ in told}
        self._add(
            [either for spelled, number in told for either in _either(spelled, number) if _flat(either[0]) not in taken]
        )
        for found in self._by_first.values():
            found.sort(key=lambda name: (-len(name.words), not name.exact, name.number))

    def _add(self, told: Sequence[tuple[_Told, int]]) -> None:
        forms: dict[Words, set[Words]] = {}
        for spelled, _ in told:
            forms.setdefault(_flat(spelled), set()).add(tuple(spelled.words))
        for spelled, number in told:
            flat = _flat(spelled)
            exact = len(forms[flat]) > 1
            may_break = tuple(bool(a or b) for a, b in zip(spelled.begins, spelled.loose, strict=True))
            name = _Name(tuple(spelled.words) if exact else flat, may_break, exact, number)
            self._by_first.setdefault(flat[0], []).append(name)

    def find(self, text: str) -> tuple[frozenset[int], frozenset[int]]:
        """Numbers of the names that the text states, and of those that it only denies ("not a dog")."""
        if text.strip() in self._whole:
            return frozenset({self._whole[text.strip()]}), frozenset()
        stated: set[int] = set()
        denied: set[int] = set()
        spelled, begins, _ = _told(text, self._ignored)
        singulars = {word: singular(word) for word in set(spelled)}
        flat = [singulars[word] for word in spelled]
        position, end_of_denied = 0, None  # of the name before, where that was denied
        while position < len(spelled):
            for name in self._by_first.get(flat[position], ()):
                end = position + len(name.words)
                if tuple((spelled if name.exact else flat)[position:end]) != name.words:
                    continue
                breaks = zip(begins[position + 1 : end], name.may_break[1:], strict=True)
                if any(begun and not allowed for begun, allowed in breaks):
                    continue
                listed = end_of_denied is not None and goes_on(spelled[end_of_denied:position])
                if listed or is_denied(spelled, begins, position, end):
                    denied.add(name.number)
                    end_of_denied = end
                else:
                    stated.add(name.number)
                    end_of_denied = None
                position = end
                break
            else:
                position += 1
        return frozenset(stated), frozenset(denied - stated)


def _flat(told: _Told) -> Words:
    return tuple(singular(word) for word in told.words)


def _either(told: _Told, number: int) -> list[tuple[_Told, int]]:
    """The two names of a name "x or y"."""
    if len(told.words) != 3 or told.words[1] != "or":
        return []
    return [(_Told([told.words[at]], bytearray([True]), bytearray([False])), number) for at in (0, 2)]
