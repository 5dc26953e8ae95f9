"""Flite, with a script in its place: what it is told, and what is told when it fails."""

from pathlib import Path

import pytest
import tiny_packages as packages
import tiny_voices

from opendasheng.corpora.flite import VOICES, Flite
from opendasheng.errors import CorpusError

TEXTS = [f"he was number {letter}" for letter in "abcdefghij"]


def test_every_sentence_has_a_pace_and_a_pitch_of_its_own(tmp_path: Path) -> None:
    heard, wave = tmp_path / "heard", tmp_path / "wave"
    wave.write_bytes(packages.tone())
    program = f'#!/bin/sh\nls $LD_LIBRARY_PATH/libflite.so.1 >&2 && echo "$@" >> {heard} && /bin/cat {wave}\n'
    with Flite(tiny_voices.flite(tmp_path, program)) as flite:
        assert {flite.say(text, VOICES[0]) for text in TEXTS} == {wave.read_bytes()}
        said = heard.read_text().splitlines()
        assert [line.partition(" -t ")[2].partition(" -o ")[0] for line in said] == TEXTS
        assert all(f"-voice {VOICES[0].name} " in line for line in said)
        for setting, least, most in (("duration_stretch", 0.85, 1.25), ("int_f0_target_mean", 144.5, 204)):
            values = [float(line.partition(f"{setting}=")[2].split()[0]) for line in said]
            assert least <= min(values) < max(values) <= most
        flite.say(TEXTS[0], VOICES[0])
        assert heard.read_text().splitlines()[-1] == said[0]


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with (
        Flite(tiny_voices.flite(tmp_path, "#!/bin/sh\necho no such voice >&2; exit 3\n")) as flite,
        pytest.raises(CorpusError, match=r"flite cannot say 'he was number a'.* no such voice"),
    ):
        flite.say(TEXTS[0], VOICES[0])
