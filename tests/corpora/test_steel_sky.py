"""The game's catalogue: voices are found, unpacked and paired with the words that were written down of them."""

from pathlib import Path

import pytest
import tiny_packages as packages
from corpora.test_rnc import pack

from opendasheng.audio import load_audio
from opendasheng.corpora import steel_sky
from opendasheng.corpora.recipe import table
from opendasheng.corpora.steel_sky import RECIPE, Words, drafts, speech_entries, transcripts, voices
from opendasheng.errors import CorpusError

ROOT = "usr/share/scummvm/beneath-a-steel-sky/"
VOICE, SAMPLES = pack([(bytes([128, 160, 192, 160]), 4, 70)] * 60, bytes([128]))


def catalogue(entries: list[tuple[int, int, int]]) -> bytes:
    """Number, offset, and size with its flags of each file."""
    parts = (
        number.to_bytes(2, "little") + offset.to_bytes(3, "little") + size.to_bytes(3, "little")
        for number, offset, size in entries
    )
    return len(entries).to_bytes(4, "little") + b"".join(parts)


def test_entries_of_speech() -> None:
    found = speech_entries(catalogue([(50_007, 0x800002, 30), (7, 0, 9), (59_999, 1, 1 << 22), (50_001, 5, 3)]), 62)
    assert found == {50_001: (5, 3), 50_007: (32, 30)}
    with pytest.raises(CorpusError, match="before its file 50007"):
        speech_entries(catalogue([(50_007, 0x800002, 30)]), 61)
    for cut in (b"", catalogue([(50_001, 5, 3)])[:-1]):
        with pytest.raises(CorpusError, match="table of"):
            speech_entries(cut, 62)


def game(folder: Path, voice: bytes = VOICE, numbers: tuple[int, ...] = (50_001, 50_002)) -> packages.Package:
    whole = bytes(22) + voice
    entries = [(number, place * len(whole), len(whole)) for place, number in enumerate(numbers)]
    files = {f"{ROOT}sky.dnr": catalogue(entries), f"{ROOT}sky.dsk": whole * len(numbers)}
    return packages.package(folder, "beneath-a-steel-sky", files)


def test_voices_are_unpacked(tmp_path: Path) -> None:
    ((number, wav), _) = voices({"beneath-a-steel-sky": game(tmp_path)})
    assert number == 50_001
    assert wav.endswith(SAMPLES)
    assert len(load_audio(wav)) == pytest.approx(len(SAMPLES) * 16_000 / 11_025, abs=1)


def test_a_damaged_voice_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="file 50001"):
        list(voices({"beneath-a-steel-sky": game(tmp_path, b"RNC\x02" + VOICE[4:])}))
    silent = packages.package(tmp_path / "silent", "beneath-a-steel-sky", {f"{ROOT}sky.dnr": catalogue([])})
    with pytest.raises(CorpusError, match=r"no .*sky\.dsk"):
        list(voices({"beneath-a-steel-sky": silent}))


def test_only_sure_words_are_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lowest = table("steel_sky.toml")["lowest_logprob"]
    said_elsewhere = table("steel_sky.toml")["left_out"][0]
    lines = {
        1: Words("I am Foster.", lowest),
        2: Words("Hm.", lowest - 0.01),
        3: Words(said_elsewhere, 0.0),
        4: Words("Joey!", 0.0),
    }
    monkeypatch.setattr(steel_sky, "transcripts", lambda: {50_000 + number: words for number, words in lines.items()})
    made = game(tmp_path, numbers=(50_001, 50_002, 50_003, 50_004, 50_005))
    found = list(drafts({"beneath-a-steel-sky": made}))
    assert [(draft.id, draft.transcript) for draft in found] == [
        ("steel-sky-50001", "I am Foster."),
        ("steel-sky-50004", "Joey!"),
    ]
    assert {draft.split for draft in found} == {"train"}


def test_the_table_of_words_is_whole() -> None:
    found = transcripts()
    assert len(found) > 3_400
    assert all(words.text == " ".join(words.text.split()) and words.logprob <= 0 for words in found.values())
    assert "steel_sky.tsv" in RECIPE.files
