"""Lines of dialogue out of the files of two games, and the voices that read them."""

from pathlib import Path

import tiny_packages as packages
import tiny_voices

from opendasheng.corpora import game_lines
from opendasheng.corpora.debian import Package
from opendasheng.corpora.recipe import spelling

WML = """
    [message]
        speaker=Tallin
        # po: message= _ is how texts begin
        message= _ "Courage shall be! \u201cKill <i>them</i> all\u201d, said Tallin. He said ""now"" before\u2026"
    [/message]
    story=_ "And so they went
on their way \u2014 at last. It was he."
    name= _ "The Eastern Flank"
    message= _ "Grrr! GRRRR argh! Noooo way. We are well-armed, my Lord. Get lost."
"""
LUA = """
    Npc:says(_"I locked it.\\nYou said \\"never again\\", and I'll come.", "NO_WAIT")
    topic = "not spoken at all"
"""
MANY = "".join(f'message=_ "He was at {a} and not at {b}."\n' for a in "abcdefghij" for b in "abcdefghij")


def games(folder: Path, wml: str = WML, lua: str = LUA) -> dict[str, Package]:
    made = {}
    for name in game_lines._PACKAGES:
        first = name == game_lines._PACKAGES[0]
        made[name] = packages.package(folder, name, {"usr/data/scenario.cfg": wml.encode() if first else b"[campaign]"})
    files = {"usr/data/dialogs/Bob.lua": lua.encode(), "usr/data/other.lua": b'_"nobody says this"'}
    return made | {"freedroidrpg-data": packages.package(folder, "freedroidrpg-data", files)}


def test_lines_are_sentences_without_names_markup_and_cries(tmp_path: Path) -> None:
    assert sorted(game_lines.lines(games(tmp_path))) == [
        "And so they went on their way, at last.",
        "Courage shall be!",
        "I locked it.",
        "It was he.",
        "We are well-armed, my Lord.",
    ]


def test_each_line_is_read_by_one_of_four(tmp_path: Path) -> None:
    given = games(tmp_path, MANY) | tiny_voices.flite(tmp_path)
    found = list(game_lines.RECIPE.drafts(given))
    assert [draft.transcript for draft in found] == game_lines.lines(given)
    assert len({draft.speaker for draft in found}) == 4
    assert len({draft.id for draft in found}) == len(found) > 90


def test_what_held_out_clips_say_is_left_out(tmp_path: Path) -> None:
    [text, *_] = game_lines.table("game_lines.toml")["left_out"]
    given = games(tmp_path, f'message=_ "{text}" message=_ "{text} And so on, all day."')
    assert spelling(text) not in map(spelling, game_lines.lines(given))
    assert "And so on, all day." in game_lines.lines(given)


def test_rates_can_name_them_apart_from_other_sentences() -> None:
    assert game_lines.RECIPE.source == "game-lines"
