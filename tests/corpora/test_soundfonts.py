"""Phrases stay within an instrument, and a real font of one sine is played, labelled and split as its table says."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_packages as packages
from hypothesis import given
from hypothesis import strategies as st
from tiny_fonts import a_font

from opendasheng.corpora import soundfonts, vocabulary
from opendasheng.corpora.recipe import Draft, table
from opendasheng.corpora.registry import RECIPES
from opendasheng.errors import CorpusError

FONTS = table("soundfonts.toml")["fonts"]
RATE_HZ = 44_100


@given(st.text(max_size=9), st.integers(20, 90), st.integers(0, 40), st.sampled_from(["notes", "lines", "chords"]))
def test_a_phrase_stays_within_the_instrument_and_is_short(seed: str, low: int, width: int, manner: str) -> None:
    notes = soundfonts.phrase(seed, low, low + width, manner)
    assert notes
    for note in notes:
        assert low <= note.key <= low + width
        assert 1 <= note.velocity <= 127
        assert note.start_seconds >= 0 < note.held_seconds
        assert note.start_seconds + note.held_seconds < 7
    assert notes == soundfonts.phrase(seed, low, low + width, manner)
    at_once = max(sum(other.start_seconds == note.start_seconds for other in notes) for note in notes)
    assert at_once == 1 or manner == "chords"


def test_phrases_differ_and_all_manners_occur() -> None:
    phrases = [tuple(soundfonts.phrase(str(n), 48, 84, "chords")) for n in range(60)]
    assert len(set(phrases)) == 60
    sizes = {len(notes) for notes in phrases}
    assert 1 in sizes
    assert max(sizes) > 8


@given(st.text(max_size=9))
def test_a_beat_is_of_bass_drum_snare_and_cymbals(seed: str) -> None:
    notes = soundfonts.beat(seed)
    keys = {note.key for note in notes}
    assert {36, 38} < keys <= {36, 38, 42, 46, 49, 51}
    assert max(note.start_seconds for note in notes) < 7


def test_the_tables_name_labels_and_programs_that_there_are() -> None:
    settings = table("soundfonts.toml")
    for program, label, low, high, manner in settings["programs"]:
        assert label in vocabulary.entries()
        assert 0 <= program < 128
        assert 0 <= low < high < 128
        assert manner in ("notes", "lines", "chords")
    programs = [row[0] for row in settings["programs"]]
    assert programs == sorted(set(programs))
    assert {label for _, label in settings["drums"]} | {settings["kit"]} <= set(vocabulary.entries())
    assert {font["split"] for font in FONTS.values()} == {"train", "dev"}


def drafts_of(name: str, folder: Path, font: bytes) -> list[Draft]:
    recipe = RECIPES[name]
    (package,) = recipe.packages
    return list(recipe.drafts({package: packages.package(folder, package, {FONTS[name]["path"]: font})}))


@pytest.mark.parametrize("name", ["soundfont-tim", "soundfont-csound"])
def test_the_instruments_of_a_font_become_clips(name: str, tmp_path: Path) -> None:
    row = FONTS[name]
    found = drafts_of(name, tmp_path, a_font((0, 40), (0, 73)))
    assert [draft.labels[0] for draft in found] == [
        label for label in ("violin", "flute") for _ in range(row["clips_per_program"])
    ]
    assert {(draft.split, draft.kind) for draft in found} == {(row["split"], "music")}
    assert len({draft.id for draft in found}) == len({draft.origin for draft in found}) == len(found)
    for draft in found:
        audio, rate = soundfile.read(io.BytesIO(draft.audio))
        assert rate == RATE_HZ
        assert 0.5 < len(audio) / rate < 8
        assert np.abs(audio).max() == pytest.approx(0.5, abs=1e-3)
    again = drafts_of(name, tmp_path, a_font((0, 40), (0, 73)))
    assert [draft.audio for draft in again] == [draft.audio for draft in found]


def test_a_drum_kit_is_played_by_its_keys(tmp_path: Path) -> None:
    found = drafts_of("soundfont-csound", tmp_path, a_font((128, 0)))
    kinds = [draft.labels[0] for draft in found]
    assert kinds[: len(kinds) - 4] == [label for _, label in table("soundfonts.toml")["drums"]]
    assert kinds[-4:] == ["drum kit"] * 4


def test_notes_sound_when_they_are_to_and_at_their_pitch() -> None:
    player = soundfonts.Player(a_font((0, 0)), "x")
    assert player.choose(0)
    assert not player.choose(5)
    low, high = (soundfonts.Note(start, 0.4, key, 100) for start, key in ((0.0, 60), (0.6, 72)))
    audio = player.play([high, low])
    for start_seconds, wanted_hz in ((0.1, 261.63), (0.7, 523.25)):
        piece = audio[round(start_seconds * RATE_HZ) :][: RATE_HZ // 5]
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece))))
        assert np.argmax(spectrum) * RATE_HZ / len(piece) == pytest.approx(wanted_hz, rel=0.05)
    silence = audio[round(0.55 * RATE_HZ) : round(0.59 * RATE_HZ)]
    assert np.abs(silence).max() < 0.05 < np.abs(audio).max()
    assert not len(player.play([]))


@pytest.mark.parametrize("font", [b"", b"RIFF", a_font((0, 40))[:300]], ids=["empty", "header", "cut"])
def test_a_damaged_font_is_named(font: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="soundfont-tim"):
        drafts_of("soundfont-tim", tmp_path, font)


def test_without_the_synthesiser_the_error_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tinysoundfont", None)
    with pytest.raises(CorpusError, match="pip install --no-deps tinysoundfont"):
        soundfonts.Player(b"", "x")


def test_no_two_fonts_share_ids() -> None:
    prefixes = [f"{name}-" for name in FONTS]
    assert not any(a.startswith(b) for a, b in itertools.permutations(prefixes, 2))
