"""Masked auto-encoding against the original's numbers, and what a mask must be."""

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import ConfigError
from opendasheng.model import DashengConfig, DashengEncoder, LogMel
from opendasheng.model.loading import rename_dasheng
from opendasheng.model.pretraining import MAEConfig, MaskedAutoencoder, as_patches, hide, level

GOLDEN = reference.tensors("dasheng_original")
TOLERANCE = 1e-4


def autoencoder(**changes):
    encoder = DashengEncoder(DashengConfig(embed_dim=32, depth=2, num_heads=4))
    model = MaskedAutoencoder(encoder, MAEConfig(decoder_dim=32, decoder_depth=2, decoder_heads=4, **changes)).eval()
    encoder.load_state_dict(rename_dasheng({k[2:]: v for k, v in GOLDEN.items() if k.startswith("w.")}))
    model.decoder.load_state_dict({k[5:]: v for k, v in GOLDEN.items() if k.startswith("wdec.")})
    return model


@pytest.fixture(scope="module")
def mel():
    signal = reference.signal()
    mel = LogMel()(torch.stack([signal[:160_000], signal[160_000:320_000]]))
    return mel.clamp_min(mel.max() - 120)  # the original floors a batch below the peak of all of it


def test_masks_latents_and_predictions_are_the_originals(mel):
    with torch.inference_mode():
        found = autoencoder()(mel, GOLDEN["mae.noise"])
    assert torch.equal(found.mask.restore_BL, GOLDEN["mae.ids_restore"])
    assert torch.equal(found.mask.removed_BL, GOLDEN["mae.mask"])
    assert (found.latent_BKD - GOLDEN["mae.latent"]).abs().max() <= TOLERANCE
    assert (found.predicted_BLP[:, ::10] - GOLDEN["mae.pred_every10"]).abs().max() <= TOLERANCE


@pytest.mark.parametrize(("target", "name"), [("patch", "norm_pix"), ("batch", "global"), ("none", "plain")])
def test_losses_are_the_originals(mel, target, name):
    with torch.inference_mode():
        loss = autoencoder(target=target)(mel, GOLDEN["mae.noise"]).loss
    assert loss.item() == pytest.approx(GOLDEN[f"mae.loss_{name}"].item(), rel=1e-5)


def test_targets_are_the_originals(mel):
    targets = as_patches(mel)[:, ::25]
    assert (targets - GOLDEN["mae.target_every25"]).abs().max() <= 2e-3


@given(st.integers(1, 60), st.sampled_from([1, 2, 3]), st.sampled_from([0.25, 0.5, 0.75, 0.9]), st.integers(0, 9))
def test_groups_are_hidden_whole_and_everything_is_either_kept_or_removed(num_groups, size, ratio, seed):
    config = MAEConfig(mask_ratio=ratio, group_size=size)
    noise = torch.rand(3, num_groups, generator=torch.Generator().manual_seed(seed))
    mask = hide(noise, num_groups * size, config)
    num_kept = int(num_groups * size * (1 - ratio))
    assert mask.kept_BK.shape == (3, num_kept)
    for kept, restore, removed in zip(*mask, strict=True):
        assert sorted(restore.tolist()) == list(range(num_groups * size))
        assert set(kept.tolist()) == {n for n, gone in enumerate(removed.tolist()) if not gone}
        assert restore[kept].tolist() == list(range(num_kept))
        whole = removed.view(-1, size).sum(1) % size  # at most one group is half kept
        assert (whole != 0).sum() <= 1


def test_patches_that_groups_do_not_fill_are_refused(mel):
    with pytest.raises(ValueError, match="250 patches are not 124 groups of 2"):
        autoencoder()(mel, torch.rand(2, 124))


def test_only_removed_patches_are_judged_and_only_kept_ones_are_seen(mel):
    """What is removed reaches neither the latents nor, where it is kept, the loss."""
    model, noise = autoencoder(target="none"), GOLDEN["mae.noise"]
    with torch.inference_mode():
        before = model(mel, noise)
        gone = before.mask.removed_BL[0].bool()
        other = as_patches(mel).clone()
        other[0, gone] += 5.0
        changed = other.unflatten(2, (64, 4)).transpose(1, 2).flatten(2)
        after = model(changed, noise)
    assert torch.equal(before.latent_BKD, after.latent_BKD)
    assert torch.equal(before.predicted_BLP, after.predicted_BLP)
    assert before.loss != after.loss


def test_every_weight_learns_but_the_statistics(mel):
    model = autoencoder()
    model(mel, GOLDEN["mae.noise"]).loss.backward()
    assert {name for name, p in model.named_parameters() if p.grad is None} == set()
    before = model.encoder.init_bn.running_mean.clone()
    model.train()(mel, GOLDEN["mae.noise"])
    assert torch.equal(model.encoder.init_bn.running_mean, before)


def test_a_levelled_patch_has_no_mean_and_unit_variance():
    patches = torch.randn(2, 5, 256, generator=torch.Generator().manual_seed(0)) * 7 + 3
    levelled = level(patches, "patch")
    assert levelled.mean(-1).abs().max() < 1e-5
    assert (levelled.var(-1) - 1).abs().max() < 1e-4


@pytest.mark.parametrize(("changes", "words"), [({"mask_ratio": 1.0}, "mask_ratio is 1.0"), ({"group_size": 0}, "0")])
def test_a_mask_that_hides_all_or_nothing_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        MAEConfig(**changes)
