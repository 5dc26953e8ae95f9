"""A corpus of eight short clips of two sources, and the same with one that is damaged."""

import shutil
from pathlib import Path

import pytest
from clip_corpora import damage, write_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five tones, and three clips at which :class:`tiny_listeners.Counting` fails."""
    ids = {"tones": [f"tone-{n}" for n in range(5)], "odd": [f"fails-{n}" for n in range(3)]}
    return write_clips(tmp_path_factory.mktemp("clips"), ids)


@pytest.fixture
def damaged_clips(clips: Path, tmp_path: Path) -> Path:
    """The same, where zeros stand in the place of clip tone-1."""
    folder = shutil.copytree(clips, tmp_path / "damaged")
    damage(folder, "tone-1")
    return folder
