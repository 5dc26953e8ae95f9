"""The game's table of lines: every voice gets its own words, in ordinary spelling; held-out characters stay whole."""

import struct
from pathlib import Path

import pytest
import tiny_packages as packages

from opendasheng.audio import load_audio
from opendasheng.corpora.drascula import RECIPE, sentence_case, texts
from opendasheng.corpora.recipe import table
from opendasheng.errors import CorpusError

ROOT = "usr/share/scummvm/drascula/en/"
DOOR = "THAT'S THE SECOND BIGGEST DOOR I'VE SEEN"
PREFIXES = [character["prefix"] for character in table("drascula.toml")["characters"]]


def block(lines: list[str]) -> bytes:
    content = b"\0\0"
    for line in lines:
        encoded = line.encode("latin-1") + b"\0\0"
        content += struct.pack(">H", len(encoded) + 2) + encoded
    return struct.pack(">H", len(content)) + content


def dat(tables: list[list[str]]) -> bytes:
    """A ``drascula.dat`` whose other five languages hold other words."""
    data = b"DRASCULA\x06" + b"other tables"
    for lines in tables:
        data += struct.pack(">H", len(lines)) + block(lines) + 5 * block(["NADA"] * len(lines))
    return data


HERO = ["", DOOR, "NOT SO", "", "IT'S LOCKED", "COME ON...!"]
LINES = {prefix: [""] for prefix in PREFIXES} | {
    "": HERO,
    "D": ["", "HEY IGOR, NOT BAD", "Not so!"],
    "L": ["", "WELL THEN"],
}


def test_lines_are_told_apart_by_character_and_number() -> None:
    found = texts(dat([HERO, ["", "HEY IGOR"]]), ["", "D"])
    assert found == {"": HERO, "D": ["", "HEY IGOR"]}


def test_every_cut_is_named() -> None:
    whole = dat([HERO, ["", "HEY IGOR"]])
    first = whole.index(DOOR.encode())
    for end in range(first + len(DOOR), len(whole)):
        with pytest.raises(CorpusError, match="ends inside its lines"):
            texts(whole[:end], ["", "D"])
    with pytest.raises(CorpusError, match="another version"):
        texts(b"DRASCULA\x05", [""])


@pytest.mark.parametrize(
    ("capitals", "spelled"),
    [
        ("I'M HERE, AND I DRINK.  HIC...! YES", "I'm here, and I drink. Hic...! Yes"),
        ("IGOR'S TV? (GOOD)", "Igor's TV? (Good)"),
        ("IT'S 5 O'CLOCK", "It's 5 o'clock"),
        ("...OH, NO", "...Oh, no"),
    ],
)
def test_capitals_become_sentences(capitals: str, spelled: str) -> None:
    assert sentence_case(capitals, {"igor": "Igor", "tv": "TV"}) == spelled


def test_voices_without_words_are_left_out_and_held_out_texts_are_not_learnt(tmp_path: Path) -> None:
    names = ["1", "2", "3", "4", "5", "9", "D1", "D2", "L1", "S1"]
    files = {f"{ROOT}{name}.ALS": bytes([0, 64, 128, 192, 255]) * 2205 for name in names}
    files[f"{ROOT}drascula.dat"] = dat([LINES[prefix] for prefix in PREFIXES])
    made = packages.package(tmp_path, "drascula", files)
    drafts = {draft.origin.removeprefix(ROOT): draft for draft in RECIPE.drafts({"drascula": made})}
    assert {name: (draft.transcript, draft.split, draft.speaker) for name, draft in drafts.items()} == {
        "1.ALS": ("That's the second biggest door I've seen", "train", "drascula-hero"),
        "2.ALS": ("Not so", "train", "drascula-hero"),
        "4.ALS": ("It's locked", "train", "drascula-hero"),
        "D1.ALS": ("Hey Igor, not bad", "test", "drascula-count"),
        "L1.ALS": ("Well then", "dev", "drascula-werewolf"),
    }
    audio = load_audio(drafts["1.ALS"].audio)
    assert abs(len(audio) - 16_000) <= 1  # 11,025 samples are a second
    assert audio.min() < -0.6
    assert audio.max() > 0.6


def test_a_package_without_texts_is_named(tmp_path: Path) -> None:
    made = packages.package(tmp_path, "drascula", {f"{ROOT}1.ALS": b"\x80" * 9})
    with pytest.raises(CorpusError, match=r"no usr/share/scummvm/drascula/en/drascula\.dat"):
        list(RECIPE.drafts({"drascula": made}))
