"""Embeddings: what counts as an item, what padding does, and a cache that a kill cannot spoil."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.dataset import Sample, Split
from opendasheng.evaluate.xares.embeddings import Recipe, crops, embed
from opendasheng.evaluate.xares.tasks import Label, Task, Training

CLIP = Task("toy", "Toy", "sound", Label("label"), training=Training(encode_batch_size=4))


@dataclass(frozen=True)
class Heard:
    """Audio that notes each time it is asked for."""

    number: int
    audio: np.ndarray
    log: list[int]

    def __call__(self) -> np.ndarray:
        self.log.append(self.number)
        return self.audio


def split(seconds: list[float], log: list[int] | None = None) -> Split:
    random = np.random.default_rng(0)
    clips = [0.1 * random.standard_normal(round(16_000 * s)).astype(np.float32) for s in seconds]
    log = [] if log is None else log
    samples = [Sample(f"clip{i}", {"label": "a"}, Heard(i, audio, log)) for i, audio in enumerate(clips)]
    return Split(tuple(samples), f"print-{seconds}")


def quiet(_: str) -> None:
    pass


def test_crops_are_whole_and_only_short_clips_are_padded() -> None:
    recipe = Recipe("toy", "compat", 2, 4, False)
    assert [len(crop) for crop in crops(np.ones(16_000 * 5, np.float32), recipe)] == [32_000, 32_000]
    (padded,) = crops(np.ones(16_000, np.float32), recipe)
    assert (len(padded), padded.sum()) == (32_000, 16_000)
    (alone,) = crops(np.ones(16_000, np.float32), replace(recipe, reading="strict"))
    assert len(alone) == 16_000
    (exact,) = crops(np.ones(32_000, np.float32), recipe)
    assert len(exact) == 32_000


def test_strict_hears_each_clip_alone_and_compat_its_batch(encoder, tmp_path) -> None:
    seconds = [1.0, 0.5, 0.75, 2.0, 0.6]
    data = split(seconds)
    alone = np.stack([encoder(torch.from_numpy(s.audio())[None])[0].mean(0).numpy() for s in data.samples])
    strict = embed(encoder, CLIP, "test", data, "strict", tmp_path, quiet)
    np.testing.assert_allclose(strict.matrix(), alone, atol=1e-5)
    compat = embed(encoder, CLIP, "test", data, "compat", tmp_path, quiet).matrix()
    padded = torch.zeros(4, 32_000)
    for row, sample in zip(padded, data.samples, strict=False):
        row[: len(sample.audio())] = torch.from_numpy(sample.audio())
    np.testing.assert_allclose(compat[:4], encoder(padded).mean(1).numpy(), atol=1e-5)
    np.testing.assert_allclose(compat[4], alone[4], atol=1e-5)
    assert np.abs(compat[1] - alone[1]).max() > 1e-3


def test_frames_are_kept_where_a_task_needs_them(encoder, tmp_path) -> None:
    task = replace(CLIP, kind="frame", metric="segment_f1_macro")
    data = split([1.0, 0.5, 0.8, 0.6, 0.7])
    for reading, counts in (("compat", [25, 25, 25, 25, 17]), ("strict", [25, 12, 20, 15, 17])):
        found = embed(encoder, task, "test", data, reading, tmp_path, quiet)
        assert [len(found.frames(item)) for item in range(len(found))] == counts


def test_of_a_clips_crops_in_one_batch_compat_keeps_the_first(encoder, tmp_path) -> None:
    task = replace(CLIP, crop_seconds=1)
    data = split([1.0, 3.0, 2.5, 1.2])  # crops 0 | 1 1 1 and 2 2 3: batches of four
    compat = embed(encoder, task, "test", data, "compat", tmp_path, quiet)
    strict = embed(encoder, task, "test", data, "strict", tmp_path, quiet)
    assert compat.samples.tolist() == [0, 1, 2, 3]
    assert strict.samples.tolist() == [0, 1, 1, 1, 2, 2, 3]
    np.testing.assert_allclose(compat.matrix()[[1, 2, 3]], strict.matrix()[[1, 4, 6]], atol=1e-5)


@pytest.mark.parametrize("reading", ["compat", "strict"])
def test_a_killed_run_goes_on_where_it_was_and_ends_in_the_same_numbers(encoder, tmp_path, reading) -> None:
    task = replace(CLIP, crop_seconds=1, training=Training(encode_batch_size=2))
    seconds = [0.5 + 0.5 * (i % 7) for i in range(30)]
    whole = embed(encoder, task, "train", split(seconds), reading, tmp_path / "whole", quiet)

    class Killed(BaseException):
        pass

    def kill(line: str) -> None:
        if "embedded" in line:
            raise Killed

    log: list[int] = []
    for _ in range(2):
        with pytest.raises(Killed):
            embed(encoder, task, "train", split(seconds), reading, tmp_path / "killed", kill)
    before = embed(encoder, task, "train", split(seconds, log), reading, tmp_path / "killed", quiet)
    assert 0 not in log, "the first clip was heard again"
    assert len(log) < len(seconds)
    assert before.samples.tolist() == whole.samples.tolist()
    assert np.array_equal(before.matrix(), whole.matrix())
    log.clear()
    again = embed(encoder, task, "train", split(seconds, log), reading, tmp_path / "killed", quiet)
    assert log == []
    assert np.array_equal(again.matrix(), whole.matrix())


def test_a_block_without_its_end_is_made_again(encoder, tmp_path) -> None:
    data = split([0.4] * 40)
    whole = embed(encoder, CLIP, "train", data, "compat", tmp_path, quiet)
    expected = whole.matrix().copy()
    (last, *_) = sorted(tmp_path.rglob("block-*.json"), reverse=True)
    assert json.loads(last.read_text())["done"]
    last.unlink()
    last.with_suffix(".npy").write_bytes(b"half a fi")
    assert np.array_equal(embed(encoder, CLIP, "train", data, "compat", tmp_path, quiet).matrix(), expected)


def test_other_audio_other_readings_and_other_encoders_have_their_own_embeddings(encoder, tmp_path) -> None:
    from opendasheng.evaluate.xares.encoder import XaresEncoder, randomised

    other = XaresEncoder(randomised(encoder.encoder, 99))
    for who, data, reading in (
        (encoder, split([0.5]), "compat"),
        (encoder, split([0.5]), "strict"),
        (encoder, split([0.6]), "compat"),
        (other, split([0.5]), "compat"),
    ):
        embed(who, CLIP, "test", data, reading, tmp_path, quiet)
    assert len(list(tmp_path.rglob("block-*.npy"))) == 4


def test_an_empty_split_has_no_embeddings(encoder, tmp_path) -> None:
    found = embed(encoder, CLIP, "valid", split([]), "compat", tmp_path, quiet)
    assert len(found) == 0
    assert found.matrix().shape == (0, 32)


def test_features_that_are_not_finite_are_an_error(encoder, tmp_path) -> None:
    data = split([0.5])
    data.samples[0].audio.audio[:] = np.nan
    with pytest.raises(EvaluationError, match="clip0: its features are not finite"):
        embed(encoder, CLIP, "test", data, "compat", tmp_path, quiet)
