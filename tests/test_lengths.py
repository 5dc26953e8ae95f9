"""Lengths: the table of the reference, and the arithmetic at every length up to 40 s."""

import json
from pathlib import Path

import numpy as np
import pytest

from opendasheng import lengths

GOLDEN = json.loads((Path(__file__).parent / "golden" / "meta.json").read_text())


@pytest.mark.parametrize("row", GOLDEN["token_counts"], ids=lambda row: str(row["samples"]))
def test_counts_of_the_reference(row):
    samples = row["samples"]
    assert lengths.num_frames(samples) == row["mel_frames"]
    assert lengths.num_patches(samples) == row["encoder_frames"]
    assert lengths.num_attended_patches(samples) == row["unmasked_encoder_frames"]
    assert len(lengths.chunk_lengths(lengths.num_patches(samples))) == row["chunks"]
    assert lengths.num_audio_tokens(samples) == row["audio_tokens_processor"]


def test_every_length_to_40_seconds():
    samples = np.arange(40 * 16_000 + 1)
    patches, attended = lengths.num_patches(samples), lengths.num_attended_patches(samples)
    assert (lengths.num_audio_tokens(samples) == (1 + samples // 160) // 20).all()
    assert np.isin(patches - attended, (0, 1)).all()
    assert ((patches - attended == 1) == (samples % 640 >= 480)).all()


def test_the_shortest_clip_with_a_token():
    assert lengths.MIN_TOKEN_SAMPLES == 3040
    assert lengths.num_audio_tokens(3039) == 0
    assert lengths.num_audio_tokens(3040) == lengths.num_audio_tokens(lengths.PADDED_SAMPLES) == 1
    assert lengths.num_attended_patches(lengths.PADDED_SAMPLES) == 5


@pytest.mark.parametrize(("patches", "expected"), [(0, []), (1, [1]), (252, [252]), (253, [252, 1]), (504, [252, 252])])
def test_chunks(patches, expected):
    assert lengths.chunk_lengths(patches) == expected
