"""An index of recordings: found by sound and by text, brought up to date, whole after a kill."""

import json

import numpy as np
import pytest
import soundfile
from tiny_audio_text import noise, scorer

from opendasheng.audio_index import AudioIndex
from opendasheng.errors import ConfigError


@pytest.fixture
def recordings(tmp_path):
    """Paths of three recordings: 2 s, 25 s and 0.5 s."""
    paths = []
    for number, seconds in enumerate((2.0, 25.0, 0.5)):
        path = tmp_path / f"{number}.wav"
        time = np.arange(round(seconds * 16_000)) / 16_000
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * (300 + 900 * number) * time), 16_000)
        paths.append(str(path))
    return paths


def opened(folder, model="1", seed=1):
    return AudioIndex(folder, scorer(seed=seed), model)


def test_a_recording_is_nearest_to_itself(tmp_path, recordings):
    with opened(tmp_path / "index") as index:
        assert all(error is None for _, error in index.update(recordings))
        for path in recordings:
            [first, *_] = index.nearest(index.of_audio(path), recordings, 5)
            assert first.recording == path
            assert first.cosine > 0.99
        everything = index.nearest(index.of_text("a dog"), recordings, 99)
        assert [found.cosine for found in everything] == sorted((f.cosine for f in everything), reverse=True)
        spans = sorted((f.start_seconds, f.end_seconds) for f in everything if f.recording == recordings[1])
        np.testing.assert_allclose(spans, [(0, 8.333), (8.333, 16.667), (16.667, 25)], atol=1e-3)
        assert {f.recording for f in index.nearest(index.of_text("a"), recordings[:1], 99)} == {recordings[0]}
        assert index.nearest(index.of_text("a"), ["elsewhere.wav"], 3) == []


def test_only_what_is_new_or_changed_is_heard(tmp_path, recordings, monkeypatch):
    heard = []
    load = AudioIndex._embedded
    monkeypatch.setattr(
        AudioIndex, "_embedded", lambda self, windows: heard.append(len(windows)) or load(self, windows)
    )
    with opened(tmp_path / "index") as index:
        list(index.update(recordings[:2]))
    assert heard == [1, 3]
    soundfile.write(recordings[0], noise(4.0, 9), 16_000)
    with opened(tmp_path / "index") as index:
        list(index.update(recordings))
        assert heard == [1, 3, 1, 1]
        [found] = [f for f in index.nearest(index.of_text("a"), recordings, 9) if f.recording == recordings[0]]
        assert found.end_seconds == 4.0


def test_what_cannot_be_heard_is_told_and_the_others_go_on(tmp_path, recordings):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    short = tmp_path / "short.wav"
    soundfile.write(short, noise(0.005), 16_000)
    with opened(tmp_path / "index") as index:
        told = dict(index.update([str(broken), recordings[0], str(short), str(tmp_path / "none.wav")]))
        assert [error is None for error in told.values()] == [False, True, False, False]
        assert all(name in str(error) for name, error in told.items() if error is not None)
        assert len(index.nearest(index.of_text("a"), list(told), 9)) == 1


@pytest.mark.parametrize("torn", ["a line", "vectors without a line"])
def test_a_kill_loses_one_recording_at_most(tmp_path, recordings, torn):
    folder = tmp_path / "index"
    with opened(folder) as index:
        list(index.update(recordings))
        whole = index.nearest(index.of_text("a dog"), recordings, 99)
    lines = (folder / "recordings.jsonl").read_bytes().splitlines(keepends=True)
    if torn == "a line":
        (folder / "recordings.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:30])
    else:
        (folder / "recordings.jsonl").write_bytes(b"".join(lines[:2]))
    with opened(folder) as index:
        assert len(index.nearest(index.of_text("a dog"), recordings, 99)) == 4
        list(index.update(recordings))
        assert index.nearest(index.of_text("a dog"), recordings, 99) == whole


def test_other_folders_are_refused(tmp_path, recordings):
    folder = tmp_path / "index"
    with opened(folder) as index:
        list(index.update(recordings))
    with pytest.raises(ConfigError, match="another model"):
        opened(folder, model="2")
    with pytest.raises(ConfigError, match="no index and not empty"):
        opened(tmp_path)
    os_lines = (folder / "recordings.jsonl").read_bytes()
    (folder / "recordings.jsonl").write_bytes(os_lines.replace(b'"first"', b'"frist"'))
    with pytest.raises(ConfigError, match="line 1 is damaged"):
        opened(folder)
    (folder / "recordings.jsonl").write_bytes(os_lines)
    (folder / "vectors.f16").write_bytes(b"")
    with pytest.raises(ConfigError, match="cut short"):
        opened(folder)
    (folder / "index.json").write_text(json.dumps([]))
    with pytest.raises(ConfigError, match="another model"):
        opened(folder)
