"""Each builder on a tiny package of its layout: what it makes of names and texts, and which split they go to."""

import gzip
from pathlib import Path

import pytest
import tiny_packages as packages

from opendasheng.corpora import asterisk, festvox_ru, game_music, game_sounds, hydrogen, qabcs, sonic_pi, tuxpaint
from opendasheng.corpora.recipe import Draft, Recipe, clip_id, part, table, without_shared_texts
from opendasheng.errors import CorpusError


def drafts_of(recipe: Recipe, folder: Path, *contents: dict[str, bytes]) -> dict[str, Draft]:
    made = {name: packages.package(folder, name, files) for name, files in zip(recipe.packages, contents, strict=True)}
    drafts = list(recipe.drafts(made))
    assert len({draft.id for draft in drafts}) == len(drafts)
    return {draft.origin: draft for draft in drafts}


def test_festvox_ru_reads_prompts_without_stress_marks(tmp_path: Path) -> None:
    root = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
    prompts = "".join(f'( ru_{number:04d} "Она кн+игу {number}." )\n' for number in range(12))
    files = {f"{root}/etc/txt.done.data": prompts.encode()}
    files |= {f"{root}/wav/ru_{number:04d}.wav": packages.tone(200 + number) for number in range(12)}
    drafts = list(drafts_of(festvox_ru.RECIPE, tmp_path, files).values())
    assert drafts[3].transcript == "Она книгу 3."
    assert [draft.split for draft in drafts].count("dev") == 2
    with pytest.raises(CorpusError, match="line 2"):
        festvox_ru.transcripts('( a "b" )\n( broken\n')


def test_asterisk_is_test_and_skips_tones(tmp_path: Path) -> None:
    text = "; Sounds\n\nactivated: Activated.\nbeep: [a tone]\ndigits/1:  one \nletters/at: at [@]\nvm: Hi (beep)\n"
    root = "usr/share/asterisk/sounds/en_US_f_Allison"
    names = ["activated", "beep", "digits/1", "letters/at", "vm", "unknown"]
    sounds = {f"{root}/{name}.wav": packages.tone(rate_hz=8000) for name in names}
    words = {"usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz": gzip.compress(text.encode())}
    drafts = drafts_of(asterisk.RECIPES[0], tmp_path, sounds, words)
    assert {path.removeprefix(root + "/"): draft.transcript for path, draft in drafts.items()} == {
        "activated.wav": "Activated.",
        "digits/1.wav": "one",
        "letters/at.wav": "at",
    }
    assert {(draft.split, draft.speaker) for draft in drafts.values()} == {("test", "asterisk-en_US_f_Allison")}


STAMP = "A frog.\nfr.utf8=Une grenouille.\npt.utf8=Um sapo.\npt_BR.utf8=Um sapo brasileiro.\nru.utf8=Лягушка.\n"


def test_tuxpaint_pairs_a_recording_with_the_text_of_its_language(tmp_path: Path) -> None:
    root = "usr/share/tuxpaint/stamps/animals/amphibians"
    recordings = ["frog_desc.ogg", "frog_desc_fr.ogg", "frog_desc_pt_BR.wav", "frog_desc_ru.ogg", "frog_desc_bg.ogg"]
    files = {f"{root}/{name}": packages.tone() for name in [*recordings, "frog.ogg", "newt_desc_fr.ogg"]}
    files[f"{root}/frog.txt"] = STAMP.encode()
    drafts = drafts_of(tuxpaint.SPEECH, tmp_path, files)
    assert {path.rsplit("/", 1)[1]: draft.transcript for path, draft in drafts.items()} == {
        "frog_desc.ogg": "A frog.",
        "frog_desc_fr.ogg": "Une grenouille.",
        "frog_desc_pt_BR.wav": "Um sapo brasileiro.",
        "frog_desc_ru.ogg": "Лягушка.",
    }
    assert drafts[f"{root}/frog_desc_ru.ogg"].split == "test"


def test_tuxpaint_splits_by_family() -> None:
    stamps = [f"animals/birds/{name}" for name in ("owl", "lark", "sub/duck")]
    assert len({tuxpaint.speech_split(stamp, "fr") for stamp in stamps}) == 1
    splits = {tuxpaint.speech_split(f"family{number}/a", "fr") for number in range(60)}
    assert splits == {"train", "dev", "test"}


def test_tuxpaint_sounds_are_labelled_test_clips(tmp_path: Path) -> None:
    root = "usr/share/tuxpaint/stamps/"
    names = ["animals/amphibians/frog", "symbols/math/7", "hobbies/music/string/violin"]
    files = {f"{root}{name}.ogg": packages.tone() for name in names}
    drafts = drafts_of(tuxpaint.SOUNDS, tmp_path, files)
    assert {(draft.labels[0], draft.kind, draft.split) for draft in drafts.values()} == {
        ("frog", "sound", "test"),
        ("violin", "music", "test"),
    }


def test_qabcs_spells_words_in_their_language(tmp_path: Path) -> None:
    properties = (
        "language:Русский\n#ж\nmisc:ж=АРФА=АРФА=harp=harp\nanimals:ж=АИСТ==stork\nx:ж=ОДИН==same\nx:ж=ДВА==same\n"
    )
    root = "usr/share/qabcs/abcs"
    files = {f"{root}/ru/sounds/words/{name}.ogg": packages.tone() for name in ("harp", "stork", "same", "other")}
    files[f"{root}/ru/abc1.properties"] = properties.encode()
    drafts = drafts_of(qabcs.WORDS, tmp_path, files)
    assert {path.rsplit("/", 1)[1]: draft.transcript for path, draft in drafts.items()} == {
        "harp.ogg": "арфа",
        "stork.ogg": "аист",
    }


def test_qabcs_leaves_named_characters_out(tmp_path: Path) -> None:
    root = "usr/share/qabcs/abcs/all/noises"
    files = {f"{root}/{name}.ogg": packages.tone() for name in ("dog", "cheburashka", "x-men", "gamba")}
    drafts = drafts_of(qabcs.NOISES, tmp_path, files)
    assert sorted(draft.labels[0] for draft in drafts.values()) == ["dog", "viola da gamba"]


def test_sonic_pi_labels_by_class(tmp_path: Path) -> None:
    root = "usr/share/sonic-pi/samples"
    names = ["tabla_ghe1", "bd_808", "loop_amen_full", "guit_em9", "misc_crow", "strange"]
    drafts = drafts_of(sonic_pi.RECIPE, tmp_path, {f"{root}/{name}.flac": packages.tone() for name in names})
    assert {path.rsplit("/", 1)[1][:-5]: draft.labels[0] for path, draft in drafts.items()} == {
        "tabla_ghe1": "tabla",
        "bd_808": "bass drum",
        "loop_amen_full": "drum loop",
        "guit_em9": "guitar chord",
        "misc_crow": "crow",
    }


KIT = """<drumkit_info xmlns="http://example.org/kit"><name>Kit</name><license>CC0</license><instrumentList>
<instrument><name>Snare Rock</name><layer><filename>s.flac</filename></layer><layer><filename>t.flac</filename></layer>
</instrument><instrument><name>Closed HH</name><filename>h.flac</filename></instrument>
<instrument><name>17</name><filename>x.flac</filename></instrument></instrumentList></drumkit_info>"""


def test_hydrogen_names_every_layer_of_an_instrument(tmp_path: Path) -> None:
    root = "usr/share/hydrogen/data/drumkits"
    (dev_kit,) = table("hydrogen.toml")["dev"]
    files = {f"{root}/{kit}/{name}.flac": packages.tone() for kit in ("My Kit", dev_kit) for name in "sthx"}
    files |= {f"{root}/{kit}/drumkit.xml": KIT.encode() for kit in ("My Kit", dev_kit)}
    drafts = drafts_of(hydrogen.RECIPES[0], tmp_path, files)
    found = {path.removeprefix(f"{root}/My Kit/"): draft.labels[0] for path, draft in drafts.items() if "My" in path}
    assert found == {"s.flac": "snare drum", "t.flac": "snare drum", "h.flac": "closed hi-hat"}
    assert {draft.split for path, draft in drafts.items() if dev_kit in path} == {"dev"}
    assert {draft.licence for draft in drafts.values()} == {"CC0"}
    with pytest.raises(CorpusError, match="XML"):
        hydrogen.samples(b"<drumkit")


def test_game_sounds_follow_the_first_matching_rule(tmp_path: Path) -> None:
    (recipe,) = [recipe for recipe in game_sounds.RECIPES if recipe.name == "wesnoth"]
    root = "usr/share/games/wesnoth/1.16/data/core/sounds"
    names = ["wolf-growl-1.ogg", "wolf-die-1.ogg", "sword-miss.ogg", "bow-miss.ogg", "ugg.wav"]
    drafts = drafts_of(recipe, tmp_path, {f"{root}/{name}": packages.tone() for name in names})
    assert {path.rsplit("/", 1)[1]: draft.labels[:2] for path, draft in drafts.items()} == {
        "wolf-growl-1.ogg": ("wolf growl", "wolf"),
        "wolf-die-1.ogg": ("wolf", "animal"),
        "bow-miss.ogg": ("bow", "weapon"),
    }


def test_music_says_only_what_the_title_says(tmp_path: Path) -> None:
    (recipe,) = [recipe for recipe in game_music.RECIPES if recipe.name == "supertux-music"]
    root = "usr/share/games/supertux2/music/"
    files = {f"{root}{name}.ogg": packages.tone() for name in ("forest/treeboss", "misc/theme")}
    drafts = drafts_of(recipe, tmp_path, files)
    assert drafts[f"{root}forest/treeboss.ogg"].labels == ("music", "video game music", "energetic")
    assert drafts[f"{root}misc/theme.ogg"].labels == ("music", "video game music")
    assert set(drafts[f"{root}misc/theme.ogg"].captions) <= set(table("game_music.toml")["plain"]["is"])


def test_packages_of_music_are_in_one_split_each() -> None:
    rows = table("game_music.toml")["packages"].values()
    assert {row["split"] for row in rows} == {"train", "dev", "test"}
    assert len({row["package"] for row in rows}) == len(rows)


def test_parts_follow_the_key_alone() -> None:
    found = [part(f"key {number}", 10, 20) for number in range(3000)]
    assert found == [part(f"key {number}", 10, 20) for number in range(3000)]
    assert abs(found.count("test") / 3000 - 0.2) < 0.03
    assert abs(found.count("dev") / 3000 - 0.1) < 0.03


def test_ids_are_plain_and_never_collide() -> None:
    assert clip_id("a", "b/c") == "a-b_c"
    assert clip_id("a", "b c") != clip_id("a", "b.c")


def test_a_text_stays_in_the_first_split_that_has_it() -> None:
    spoken = [
        ("a", "test", "en", "Hello, Bob!"),
        ("b", "train", "en", "hello bob"),
        ("c", "dev", "en", "HELLO BOB"),
        ("d", "test", "fr", "hello bob"),
        ("e", "train", "en", "Hello, Bob."),
        ("f", "test", "en", "Bye."),
    ]
    drafts = [
        Draft(id=name, audio=b"", split=split, kind="speech", origin="", language=language, transcript=text)
        for name, split, language, text in spoken
    ]
    assert [draft.id for draft in without_shared_texts(drafts)] == ["b", "d", "e", "f"]
