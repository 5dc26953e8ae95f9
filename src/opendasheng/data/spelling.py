"""What a layer that spells by CTC gives: plain characters of a transcript, by number."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

BLANK = 0


def plain(text: str) -> str:
    """A transcript as it is spelt: lower-case letters and marks of any script, apostrophes and single spaces."""
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    kept = (character if character == "'" or unicodedata.category(character)[0] in "LM" else " " for character in text)
    return " ".join("".join(kept).split())


def frequent_characters(transcripts: Iterable[str], min_count: int) -> str:
    """The characters that :func:`plain` leaves of the transcripts, those that occur ``min_count`` times, in order."""
    counts = Counter(character for text in transcripts for character in plain(text))
    return "".join(sorted(character for character, count in counts.items() if count >= min_count))


class Spelling:
    """Numbers of ``characters``, from 1 on; 0 is the blank."""

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._ids = {character: number for number, character in enumerate(characters, BLANK + 1)}

    def spell(self, text: str) -> list[int]:
        """The numbers of a transcript; characters that have none are left out."""
        return [self._ids[character] for character in plain(text) if character in self._ids]

    def read(self, ids: Iterable[int]) -> str:
        """What numbers say, blanks left out."""
        return "".join(self.characters[number - 1] for number in ids if number != BLANK)

    def read_frames(self, best: Sequence[int]) -> str:
        """What the likeliest numbers of frames in a row say: one that is repeated counts once."""
        return self.read(number for number, _ in groupby(best))
