"""Parts of librosa that several processes compile at once, into a folder that was empty."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from opendasheng.curate.experts.compiled import Librosa
from opendasheng.curate.experts.pitch import Pitch

HEAR = """
import numpy as np
from opendasheng.curate.experts.rhythm import Rhythm
from opendasheng.curate.record import Record

record = Record(id="a", source="s", recording="r", licence="CC0-1.0", duration_seconds=4.0)
audio = np.random.default_rng(1).standard_normal(64_000).astype(np.float32)
print(Rhythm().hear(audio, record).values)
"""


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HEAR],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_processes_that_begin_at_once_leave_what_others_can_load(tmp_path):
    told = []
    for processes in ([start(tmp_path / "numba") for _ in range(3)], [start(tmp_path / "numba")]):
        for process in processes:
            said, wrong = process.communicate(timeout=300)
            assert process.returncode == 0, wrong
            told.append(said)
    assert "tempo_bpm" in told[0]
    assert len(set(told)) == 1
    assert list((tmp_path / "numba").rglob("*.nbc"))


def test_one_process_at_a_time_is_in_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    probe = (
        "import sys; from filelock import FileLock, Timeout\n"
        "try: FileLock(sys.argv[1]).acquire(timeout=0)\n"
        "except Timeout: print('taken')"
    )
    tried = []

    def calls(librosa, audio) -> None:
        done = subprocess.run([sys.executable, "-c", probe, str(tmp_path / "lock")], capture_output=True, text=True)
        tried.append(done.stdout.strip())

    librosa = Librosa("pitch", calls)
    assert librosa.ready is librosa.ready
    assert tried == ["taken"]


def test_a_folder_that_cannot_be_written_to_gives_way(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert Librosa("pitch", lambda librosa, audio: None).ready
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder != tmp_path / "file"
    shutil.rmtree(folder)


def test_an_expert_that_is_made_has_compiled_nothing(monkeypatch):
    monkeypatch.setattr("opendasheng.curate.experts.compiled._one_at_a_time", None)
    assert "librosa" in Pitch().version
