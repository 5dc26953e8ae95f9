"""The audio of examples: found where it may be looked for, small, and the clip that it should be."""

import base64
import io

import numpy as np
import pytest
import soundfile

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardWriter
from opendasheng.evaluate.report.clips import MAX_SECONDS, Sounds, data_uri
from opendasheng.evaluate.rows import Row


def tone(hz=440.0, seconds=1.0, rate=16000):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def row(audio, **fields):
    return Row("a.jsonl", 1, {"audio": audio, **fields})


def heard(sound):
    kind, _, content = sound.uri.partition(";base64,")
    assert kind in ("data:audio/mpeg", "data:audio/flac")
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert rate == 16000
    return audio


def loudest_hz(audio):
    return np.abs(np.fft.rfft(audio)).argmax() * 16000 / len(audio)


def test_a_file_beside_the_predictions_is_found_mixed_down_and_resampled(tmp_path):
    (tmp_path / "clips").mkdir()
    stereo = np.stack([tone(880, 2, 44100), tone(880, 2, 44100)], axis=1)
    soundfile.write(tmp_path / "clips" / "a.wav", stereo, 44100)
    sound = Sounds().sound(row("clips/a.wav"), [tmp_path / "elsewhere", tmp_path])
    assert (sound.seconds, sound.shown_seconds, sound.note) == (2.0, 2.0, "")
    assert loudest_hz(heard(sound)) == pytest.approx(880, abs=2)


def test_a_long_clip_says_how_much_of_it_is_heard(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(seconds=20), 16000)
    sound = Sounds(tmp_path).sound(row("a.wav"), [])
    assert sound.note == "The first 15 of 20.0 seconds."
    assert len(heard(sound)) / 16000 == pytest.approx(MAX_SECONDS, abs=0.1)
    assert len(sound.uri) < 8000 * MAX_SECONDS


def test_the_same_clip_is_the_same_bytes():
    assert data_uri(tone()) == data_uri(tone())


def test_a_corpus_is_searched_by_clip_id(tmp_path):
    with ShardWriter(tmp_path / "corpus" / "tones", source="tones", fingerprint="x") as writer:
        for name, hz in (("low", 300), ("high", 3000)):
            clip = Clip(name, "tones", "CC0", "test", "sound", 1.0)
            writer.add(clip, tone(hz))
    sounds = Sounds(tmp_path / "corpus")
    for fields in ({"audio": "high"}, {"audio": "x/high.flac"}, {"audio": "unknown.wav", "id": "high"}):
        assert loudest_hz(heard(sounds.sound(row(**fields), [tmp_path]))) == pytest.approx(3000, abs=2)
    assert sounds.sound(row("neither"), []) is None


@pytest.mark.parametrize("folder_is", ["inside", "."])
def test_a_row_cannot_reach_files_elsewhere(tmp_path, monkeypatch, folder_is):
    inside = tmp_path / "inside"
    inside.mkdir()
    soundfile.write(tmp_path / "secret.wav", tone(), 16000)
    soundfile.write(inside / "own.wav", tone(), 16000)
    monkeypatch.chdir(tmp_path if folder_is == "inside" else inside)
    folders = [type(tmp_path)(folder_is)]
    for name in ("../secret.wav", str(tmp_path / "secret.wav"), f"{inside}/../secret.wav", "own.wav/../../secret.wav"):
        assert Sounds().sound(row(name), folders) is None
    for name in ("own.wav", str(inside / "own.wav")):
        assert Sounds().sound(row(name), folders).uri
    for name in ("", "http://127.0.0.1:9/a.wav", "a\0b", "x" * 5000, None, 7, ["own.wav"]):
        assert Sounds().sound(row(name), folders) is None


def test_what_cannot_be_decoded_is_said(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"not a recording")
    sound = Sounds().sound(row("a.wav"), [tmp_path])
    assert sound.uri is None
    assert "cannot be decoded" in sound.note


def test_room_runs_out_with_a_word(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(), 16000)
    sounds = Sounds(max_bytes=round(1.5 * len(data_uri(tone()))))
    assert sounds.sound(row("a.wav"), [tmp_path]).uri
    second = sounds.sound(row("a.wav"), [tmp_path])
    assert (second.uri, second.seconds) == (None, 1.0)
    assert "no room" in second.note
