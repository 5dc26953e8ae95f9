"""Two towers: clips and texts do not depend on what is embedded beside them, and scores are cosines."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_audio_text import noise, scorer

from opendasheng.model import LogMel
from opendasheng.model.audio_text import auc


@pytest.mark.parametrize("pooling", ["patches", "chunks"])
def test_a_clip_among_others_is_that_clip_alone(pooling):
    ours = scorer(pooling)
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.05, 0.4, 3.3, 10.08, 10.5, 21.0))]
    together = ours.encode_audio(clips)
    alone = np.concatenate([ours.encode_audio([clip]) for clip in clips])
    assert together.shape == (6, 8)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.abs(together[2] - together[3]).max() > 1e-3


def test_patches_count_alike_where_chunks_do_not():
    """Half a second behind a whole chunk is a twentieth of the patches, and half of the chunks."""
    clip = noise(10.58, 1)
    mel, length = LogMel()(torch.from_numpy(clip)[None]), torch.tensor([len(clip)])
    for pooling in ("patches", "chunks"):
        ours = scorer(pooling)
        ours.model.audio_proj = torch.nn.Identity()
        with torch.inference_mode():
            features = ours.model.audio_encoder(mel, length)[0][0]
        mean = (features.mean(0) / features.mean(0).norm()).numpy()
        assert (np.abs(ours.encode_audio([clip])[0] - mean).max() < 1e-5) == (pooling == "patches")


def test_texts_are_the_mean_of_their_tokens():
    ours = scorer()
    texts = ["a dog barks loudly", "dog", "barks dog a loudly"]
    together = ours.encode_texts(texts)
    np.testing.assert_allclose(together, np.concatenate([ours.encode_texts([text]) for text in texts]), atol=1e-6)
    np.testing.assert_allclose(together[0], together[2], atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 1e-3
    assert np.isfinite(ours.encode_texts([""])).all()


def test_scores_are_cosines_times_100():
    ours = scorer()
    clips, texts = [noise(1), noise(2, 1)], ["a dog", "loudly", "dog barks"]
    expected = 100 * ours.encode_audio(clips) @ ours.encode_texts(texts).T
    np.testing.assert_allclose(ours.score(clips, texts), expected, atol=1e-4)
    assert ours.score([], texts).shape == (0, 3)
    assert ours.score(clips, []).shape == (2, 0)


@given(
    matched=st.lists(st.integers(-4, 4), min_size=1, max_size=9),
    others=st.lists(st.integers(-4, 4), min_size=1, max_size=9),
)
@settings(max_examples=100, deadline=None)
def test_the_area_counts_pairs(matched, others):
    pairs = [(a > b) + 0.5 * (a == b) for a in matched for b in others]
    assert auc(matched, others) == pytest.approx(sum(pairs) / len(pairs))
