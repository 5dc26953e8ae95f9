"""The game's container: every voice gets its own words, splits share neither text nor held-out speaker."""

from pathlib import Path

import pytest
import tiny_packages as packages

from opendasheng.corpora import amazon_queen
from opendasheng.corpora.amazon_queen import RECIPE, cutaway_lines, dialogue_lines, entries, lines, scene_split
from opendasheng.corpora.recipe import Draft
from opendasheng.errors import CorpusError


def spoken(found: object) -> dict[str, str]:
    assert not isinstance(found, str)
    return {line.voice: line.text for line in found}  # type: ignore[attr-defined]


def test_a_dialogue_is_cut_into_voice_segments() -> None:
    data = packages.dialogue(
        talk_key=3,
        joe={0: "Ummm....*06Hi, I'm Joe.*03", 0x2B: "Really?"},
        other={0: "Hello again.*02", 6: "*02Uh uh, unga!*00(sigh) Whoop!*00*01", 9: "<gulp>*01"},
        levels=2,
    )
    found = list(dialogue_lines("APE2", data))
    assert spoken(found) == {
        "03SSSSJ1": "Ummm....",
        "03SSSSJ2": "Hi, I'm Joe.",
        "03002BJ1": "Really?",
        "03XXXXJ1": "Hello again.",
        "030006P2": "Uh uh, unga!",
        "030006P3": "Whoop!",
    }
    speakers = {line.voice: line.speaker for line in found}
    assert speakers["03XXXXJ1"] == "queen-joe"
    assert speakers["030006P2"] == "queen-ape"


def test_a_cutaway_counts_texts_after_its_preamble() -> None:
    data = packages.cutaway("", ["Hey, let me out!*14", "*", "*FLWe found you!"], can_skip=False)
    assert spoken(cutaway_lines("C41B", data)) == {"C41B_011": "Hey, let me out!", "C41B_032": "We found you!"}
    data = packages.cutaway("Odd", ["Even"])
    assert spoken(cutaway_lines("C8A", data)) == {"C8A__001": "Odd", "C8A__011": "Even"}


def test_descriptions_start_at_41() -> None:
    found = list(amazon_queen.description_lines(b"It's shut*24\r\n\r\nTsk*03Rainforest timber!*24\r\n"))
    assert spoken(found) == {"JOE00411": "It's shut", "JOE00431": "Tsk", "JOE00432": "Rainforest timber!"}


def test_only_lines_with_a_voice_count() -> None:
    container = packages.queen_container(
        {
            "BOB1.DOG": packages.dialogue(6, {1: "Howdy*01Bob."}, {1: "Hi."}),
            "060001J1.SB": b"mp3",
            "060001P1.SB": b"mp3",
        }
    )
    assert [line.voice for line in lines(entries(container))] == ["060001J1", "060001P1"]


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        (b"RIFF" + b"\0" * 40, "QTBL"),
        (b"QTBLCEM10\0\0\0\x02\0\0", "compression 2"),
        (packages.queen_container({"A.SB": b"voice"})[:-2], "A.SB"),
        (packages.queen_container({"A.SB": b"voice"})[:20], "table"),
    ],
)
def test_a_broken_container_is_named(container: bytes, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        entries(container)


def drafts_of(tmp_path: Path) -> list[Draft]:
    files = {
        "BOB1.DOG": packages.dialogue(6, {1: "Howdy, Bob."}, {1: "What can I do for you?", 2: "Bye!"}),
        "NAOMI.DOG": packages.dialogue(37, {1: "howdy Bob"}, {1: "Anything you like.", 2: "Hm. See you."}),
        "TAM1.DOG": packages.dialogue(55, {1: "Hello Tam."}, {1: "Bye", 2: "See you"}),
        "C31A.CUT": packages.cutaway("", ["A quiet room."]),
        "C30A.CUT": packages.cutaway("", ["A loud room."]),
    }
    voices = ["060001J1", "060001P1", "060002P1", "370001J1", "370001P1", "370002P1"]
    voices += ["550001J1", "550001P1", "550002P1", "C31A_011", "C30A_011"]
    files |= {f"{voice}.SB": packages.tone(200 + 20 * number) for number, voice in enumerate(voices)}
    path = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
    (name,) = RECIPE.packages
    return list(RECIPE.drafts({name: packages.package(tmp_path, name, {path: packages.queen_container(files)})}))


def test_no_text_and_no_held_out_scene_is_in_two_splits(tmp_path: Path) -> None:
    drafts = drafts_of(tmp_path)
    found = {draft.id.removeprefix("queen-"): draft.split for draft in drafts}
    assert found == {
        "060001J1": "train",
        "060001P1": "train",
        "060002P1": "train",
        "C30A_011": "train",
        "550001J1": "dev",
        "550002P1": "dev",
        "370001P1": "test",
        "370002P1": "test",
        "C31A_011": "test",
    }
    others = [draft for draft in drafts if draft.speaker not in ("queen-joe", "queen-cutaway")]
    assert all(len({d.split for d in others if d.speaker == draft.speaker}) == 1 for draft in others)
    assert all(draft.transcript and draft.language == "en" for draft in drafts)


def test_rooms_are_held_out_whole() -> None:
    held_out = {"test": ["C31", "IAN1"], "dev": ["C3"]}
    scenes = ["C31A", "C31B", "C3A", "C30A", "IAN1", "IAN2"]
    assert [scene_split(scene, held_out) for scene in scenes] == ["test", "test", "dev", "train", "test", "train"]
