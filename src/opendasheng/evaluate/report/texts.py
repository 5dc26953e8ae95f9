"""Texts of rows made fit to be shown: no folders of this machine, no characters that break a page, not too long."""

import re

# A text of a page, and a name in a table; what is beyond is counted and left out.
MAX_CHARACTERS = 600
MAX_NAME_CHARACTERS = 80
_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:'\"]+[/\\])+")
# Control characters, halves of pairs and non-characters: XML and UTF-8 have no place for them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# These turn the direction of the text around them, which could make an answer read as another one.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text in which each character that cannot be shown safely is the replacement character."""
    return _TURNING.sub("\ufffd", _UNPRINTABLE.sub("\ufffd", text))


def without_folders(text: str) -> str:
    """A printable text in which absolute paths are cut down to the names of their files."""
    return _FOLDERS.sub("", printable(text))


def shortened(text: str, limit: int = MAX_CHARACTERS) -> str:
    """A printable text, cut at ``limit`` characters with a word about how many are missing."""
    text = text.strip()
    if len(text) <= limit:
        return printable(text)
    return f"{printable(text[:limit]).rstrip()} ... [{len(text) - limit} characters more]"


def as_name(text: str) -> str:
    """A text as a name: one line without folders, of bounded length."""
    return shortened(" ".join(without_folders(text).split()), MAX_NAME_CHARACTERS)
