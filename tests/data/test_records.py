"""What a column may hold where audio is wanted."""

from pathlib import Path

import numpy as np
import pytest
from small_tasks import encoded, noise

from opendasheng.audio import load_audio
from opendasheng.data.records import below, sound_of


def test_a_column_may_hold_audio_in_many_forms(tmp_path: Path) -> None:
    (tmp_path / "1.flac").write_bytes(encoded(1))
    samples = noise(1).astype(np.float32)
    forms = [
        "1.flac",
        str(tmp_path / "1.flac"),
        encoded(1),
        {"path": "1.flac", "bytes": None},
        {"path": "/gone/1.flac", "bytes": encoded(1)},
        {"path": None, "bytes": encoded(1)},
        {"array": samples.tolist(), "sampling_rate": 16_000, "path": "1.flac"},
    ]
    for form in forms:
        sound = sound_of(form, "row 7", tmp_path)
        assert sound is not None
        clip = sound.open()
        heard = load_audio(*clip) if isinstance(clip, tuple) else load_audio(clip)
        assert np.allclose(heard, noise(1), atol=1e-4)
        assert sound.name in ("1.flac", "row 7", str(tmp_path / "1.flac"))
    for nothing in (None, "", 3, {}, {"path": None, "bytes": None}):
        assert sound_of(nothing, "row 7", tmp_path) is None
    url = sound_of("https://host/1.flac", "row 7", tmp_path)
    assert url is not None
    assert url.open() == "https://host/1.flac"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.wav", "a.wav"),
        ("deep/../a.wav", "a.wav"),
        ("../sounds/a.wav", "a.wav"),
        ("../a.wav", None),
        ("deep/../../a.wav", None),
        ("/etc/passwd", None),
        ("a\0.wav", None),
    ],
)
def test_a_name_does_not_lead_out_of_its_folder(name: str, found: str | None, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "sounds"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for same in (folder, Path("../sounds")):
        assert below(same, name) == (folder / found if found else None)
    assert below(folder, folder / "a.wav") == folder / "a.wav"
    assert below(folder, tmp_path / "sounds2" / "a.wav") is None
