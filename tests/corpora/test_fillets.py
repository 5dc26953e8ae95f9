"""The dialogue scripts: every line gets its own words, translation and speaker, and the languages share their split."""

from pathlib import Path

import pytest
import tiny_packages as packages

from opendasheng.corpora import fillets
from opendasheng.corpora.fillets import Line, lines, split
from opendasheng.corpora.recipe import Draft
from opendasheng.errors import CorpusError

ROOT = "usr/share/games/fillets-ng"


def script(*texts: tuple[str, str, str, str]) -> bytes:
    calls = (f'dialogId("{a}", "{b}", "{c}")\n' + f'dialogStr("{d}")\n' * bool(d) for a, b, c, d in texts)
    return "\n\n".join(calls).encode()


def drafts(folder: Path, scripts: dict[str, bytes], sounds: list[str], language: str = "nl") -> dict[str, Draft]:
    """What is made of scripts by path and of sounds by ``folder/name``; tones of other frequencies for each."""
    recipe = next(recipe for recipe in fillets.RECIPES if recipe.name == f"fillets-{language}")
    oggs = {
        f"{ROOT}/sound/{name.rpartition('/')[0]}/{language}/{name.rpartition('/')[2]}.ogg": packages.tone(200 + number)
        for number, name in enumerate(sounds)
    }
    texts = {f"{ROOT}/script/{path}": content for path, content in scripts.items()}
    found = zip(recipe.packages, (oggs, texts), strict=True)
    made = list(recipe.drafts({name: packages.package(folder, name, files) for name, files in found}))
    assert len({draft.id for draft in made}) == len(made)
    return {draft.id: draft for draft in made}


def level_of(wanted: str) -> str:
    return next(f"level{number}" for number in range(1000) if split(f"level{number}") == wanted)


def test_strings_may_be_joined_and_escaped_and_a_line_may_lack_words() -> None:
    text = """
    dialogId("a-m-b", "font_small", "It's " ..
        "here.")
    dialogStr("Zde \\"je\\"" .. " to.")  -- said twice
    dialogId("a-v-c", "font_big", "No.")
    dialogId("a-x-d", "", "Yes.")
    dialogStr("Ano.")
    """
    assert lines(text) == [
        Line("a-m-b", "font_small", 'Zde "je" to.', "It's here."),
        Line("a-x-d", "", "Ano.", "Yes."),
    ]


def test_a_line_of_another_form_is_not_left_out_unseen() -> None:
    with pytest.raises(CorpusError, match="1 of 2 dialogue lines"):
        lines('dialogId("a", "f", "A.")\ndialogStr("B.")\ndialogId(name, "f", "C.")\n')


def test_a_line_becomes_a_clip_with_its_translation_and_speaker(tmp_path: Path) -> None:
    found = drafts(
        tmp_path,
        {
            "reef/dialogs_nl.lua": script(
                ("r-m", "font_small", "Good day.", "Goedendag."),
                ("r-v", "font_big", "What is it?", "Wat is dat?"),
                ("r-x", "font_crab", "A crab.", "Een krab."),
                ("r-silent", "font_big", "No sound.", "Geen geluid."),
                ("r-file", "font_big", "mplayer a.ogg", "mplayer a.ogg"),
                ("r-number", "font_big", "%1 hours", "%1 uur"),
            ),
            "reef/dialogs_cs.lua": script(("r-m", "font_small", "Good day.", "Dobrý den.")),
        },
        ["reef/r-m", "reef/r-v", "reef/r-x", "reef/r-file", "reef/r-number", "reef/without-words"],
    )
    assert {name: (d.transcript, d.translation, d.speaker, d.gender) for name, d in found.items()} == {
        "fillets-nl-reef-r-m": ("Goedendag.", "Good day.", "fillets-nl-small", "female"),
        "fillets-nl-reef-r-v": ("Wat is dat?", "What is it?", "fillets-nl-big", "male"),
        "fillets-nl-reef-r-x": ("Een krab.", "A crab.", "fillets-nl-reef-crab", None),
    }
    assert {(draft.language, draft.kind) for draft in found.values()} == {("nl", "speech")}


def test_lines_of_every_level_are_for_training_and_have_a_folder_by_script(tmp_path: Path) -> None:
    scripts = {
        f"share/{name}_dialogs_nl.lua": script((f"{name}-m", "font_small", f"In {name}.", f"Uit {name}."))
        for name in ("black", "bore", "border", "shout")
    }
    sounds = ["blackjokes/black-m", "borejokes/bore-m", "border/border-m", "border/shout-m"]
    found = drafts(tmp_path, scripts, [f"share/{sound}" for sound in sounds])
    assert len(found) == 4
    assert {draft.split for draft in found.values()} == {"train"}


def test_held_out_levels_share_no_words_with_training(tmp_path: Path) -> None:
    train, test = level_of("train"), level_of("test")
    found = drafts(
        tmp_path,
        {
            f"{train}/dialogs_nl.lua": script(("a", "font_big", "Yes.", "Ja."), ("b", "font_big", "Good!", "Goed!")),
            f"{test}/dialogs_nl.lua": script(
                ("c", "font_big", "Sure.", "Ja!"),
                ("d", "font_big", "good", "Prima."),
                ("e", "font_big", "Only here.", "Alleen hier."),
            ),
        },
        [f"{train}/a", f"{train}/b", f"{test}/c", f"{test}/d", f"{test}/e"],
    )
    assert {draft.origin[-5]: draft.split for draft in found.values()} == {"a": "train", "b": "train", "e": "test"}


def test_all_splits_are_there() -> None:
    assert {split(f"level{number}") for number in range(100)} == {"train", "dev", "test"}


def test_an_unreadable_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"reef/dialogs_nl\.lua"):
        drafts(tmp_path, {"reef/dialogs_nl.lua": b"\xff\xfe"}, ["reef/a"])
