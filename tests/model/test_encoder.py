"""Encoder and projector against the reference, and one by one against batches."""

import pytest
import reference
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendasheng.lengths import num_attended_patches, num_audio_tokens, num_patches
from opendasheng.model import AudioProjector, DashengConfig, DashengEncoder, LogMel, load_dasheng_encoder
from opendasheng.model.encoder import _cut_into_chunks, _group_chunks

REFERENCE = 1e-4
INVARIANCE = 1e-5


@pytest.fixture(scope="module")
def encoder():
    encoder = DashengEncoder(DashengConfig(**reference.META["cfg_encoder"])).eval()
    encoder.load_state_dict(_part("audio_encoder."))
    return encoder


@pytest.fixture(scope="module")
def projector():
    projector = AudioProjector(64, reference.META["hidden"])
    projector.load_state_dict(_part("audio_projector."))
    return projector


def _part(prefix):
    stored = reference.tensors("tiny_audio_weights")
    return {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}


@torch.inference_mode()
def _hear(encoder, projector, num_samples):
    audio_BS, lengths_B = reference.clips(num_samples)
    x_BTD, mask_BT = encoder(LogMel()(audio_BS, lengths_B), lengths_B)
    return x_BTD, mask_BT, *projector(x_BTD, mask_BT)


@pytest.mark.parametrize("name", reference.LENGTHS)
def test_features_and_tokens_equal_the_reference(encoder, projector, name):
    stored = reference.tensors("audio_outputs")
    found = _hear(encoder, projector, [reference.LENGTHS[name]])
    for part, tensor in zip(("enc", "enc_mask", "proj", "proj_mask"), found, strict=True):
        assert tensor[0].shape == stored[f"{part}.{name}"].shape
        assert (tensor[0].float() - stored[f"{part}.{name}"].float()).abs().max() <= REFERENCE


LENGTHS = st.integers(257, 60_000) | st.sampled_from(
    [480, 640, 3039, 3040, 159_840, 161_280, 161_440, 323_040, 323_199]
)


@settings(max_examples=25)
@given(st.lists(LENGTHS, min_size=1, max_size=5))
@example([323_040, 323_100, 16_000])
@example([257, 400, 300])
@example([161_280, 161_920, 640])
def test_a_clip_does_not_depend_on_its_batch(encoder, projector, num_samples):
    x_BTD, mask_BT, tokens_BNH, _ = _hear(encoder, projector, num_samples)
    assert torch.isfinite(x_BTD).all()
    for row, samples in enumerate(num_samples):
        x_1TD, mask_1T, tokens_1NH, _ = _hear(encoder, projector, [samples])
        patches, tokens = num_patches(samples), num_audio_tokens(samples)
        assert x_1TD.shape[1] == patches
        assert int(mask_1T.sum()) == num_attended_patches(samples)
        assert torch.equal(mask_BT[row, :patches], mask_1T[0])
        assert not mask_BT[row, patches:].any()
        _assert_close(x_BTD[row, :patches], x_1TD[0])
        _assert_close(tokens_BNH[row, :tokens], tokens_1NH[0, :tokens])


def _assert_close(found, expected):
    if expected.numel():
        assert (found - expected).abs().max() <= INVARIANCE * max(1.0, float(expected.abs().max()))


def test_lengths_of_every_kind_yield_the_tokens_they_count(encoder, projector):
    """Law 3: all residues of a token (3200 samples) around its edges, and chunk borders."""
    edges = {base + offset for base in range(0, 9601, 160) for offset in (-1, 0, 1)}
    edges |= {base + offset for base in (161_280, 322_560) for offset in range(-640, 1280, 160)}
    lengths = sorted(n for n in edges if n >= 257)
    for start in range(0, len(lengths), 16):
        for samples in lengths[start : start + 16]:
            x_BTD, _, tokens_BNH, _ = _hear(encoder, projector, [samples])
            assert tokens_BNH.shape[1] == num_audio_tokens(samples)
            assert torch.isfinite(x_BTD).all()


def test_a_chunk_without_a_key_attends_to_nothing(encoder):
    """The last chunk of 323 040 samples is one patch that none may attend to: its attention output is zero."""
    chunks = _cut_into_chunks([323_040], 252)
    assert [(c.length, c.attended) for c in chunks] == [(252, 252), (252, 252), (1, 0)]
    _x_BTD, mask_BT, *_ = _hear(encoder, AudioProjector(64, 8), [323_040])
    assert not mask_BT[0, -1]
    block = encoder.blocks[0]
    before = torch.randn(1, 1, 64)
    from opendasheng.model.encoder import KeyMask

    keys = KeyMask(torch.ones(1, 1, 1, 1, dtype=torch.bool), torch.tensor([True]))
    with torch.inference_mode():
        assert torch.allclose(block.attn(block.norm1(before), keys), block.attn.proj.bias.expand(1, 1, 64))
        assert not torch.allclose(block.attn(block.norm1(before), None), block.attn.proj.bias.expand(1, 1, 64))


@given(st.lists(st.integers(257, 2_000_000), min_size=1, max_size=40))
def test_chunks_are_grouped_whole_and_alike(num_samples):
    chunks = _cut_into_chunks(num_samples, 252)
    assert sum(chunk.length for chunk in chunks) == sum(map(num_patches, num_samples))
    assert sum(chunk.attended for chunk in chunks) == sum(map(num_attended_patches, num_samples))
    for max_padding in (0.0, 0.2):
        groups = _group_chunks(chunks, max_padding)
        assert sorted(chunk for group in groups for chunk in group) == sorted(chunks)
        for group in groups:
            assert len(group) <= 32
            assert min(chunk.length for chunk in group) >= (1 - max_padding) * max(chunk.length for chunk in group)


def test_training_pads_a_little_and_changes_nothing_of_note(encoder, projector):
    num_samples = [50_000, 47_000, 44_000, 16_480]
    exact = _hear(encoder, projector, num_samples)[0]
    encoder.train()
    try:
        _assert_close(_hear(encoder, projector, num_samples)[0], exact)
    finally:
        encoder.eval()


def test_gradients_reach_every_weight_and_equal_those_of_clips_alone(encoder):
    """Training runs the same code: the gradient of a batch is the sum over its clips."""
    num_samples = [16_480, 3_000, 9_000]

    def gradient(lengths):
        encoder.zero_grad()
        audio_BS, lengths_B = reference.clips(lengths)
        x_BTD, _ = encoder(LogMel()(audio_BS, lengths_B), lengths_B)
        x_BTD.square().sum().backward()
        return {name: p.grad.clone() for name, p in encoder.named_parameters()}

    whole = gradient(num_samples)
    parts = [gradient([samples]) for samples in num_samples]
    for name, found in whole.items():
        expected = sum(part[name] for part in parts)
        assert (found - expected).abs().max() <= 1e-4 * max(1.0, float(expected.abs().max())), name
    encoder.zero_grad()


def test_layer_scale_only_where_asked():
    plain = DashengEncoder(DashengConfig(embed_dim=8, depth=1, num_heads=2))
    scaled = DashengEncoder(DashengConfig(embed_dim=8, depth=1, num_heads=2, init_values=0.5))
    assert {*scaled.state_dict()} - {*plain.state_dict()} == {"blocks.0.ls1.gamma", "blocks.0.ls2.gamma"}
    assert (scaled.blocks[0].ls1.gamma == 0.5).all()


@pytest.mark.parametrize("name", ["1s", "10.2s", "31s"])
def test_an_original_dasheng_checkpoint_loads_by_its_own_names(tmp_path, name):
    """Its first chunk equals the original's; later ones differ by design (SPEC 1.4)."""
    from safetensors.torch import save_file

    stored = reference.tensors("dasheng_original")
    tensors = {f"encoder.{key[2:]}": value for key, value in stored.items() if key.startswith("w.")}
    tensors["encoder.front_end.0.spectrogram.window"] = torch.zeros(512)
    path = tmp_path / "dasheng.safetensors"
    save_file(tensors, path, metadata={"config": '{"num_heads": 4}'})
    encoder = load_dasheng_encoder(path)
    samples = {"1s": 16_000, "10.2s": 163_200, "31s": 496_000}[name]
    audio_BS, lengths_B = reference.clips([samples])
    with torch.inference_mode():
        x_BTD, _ = encoder(LogMel()(audio_BS, lengths_B), lengths_B)
    first = x_BTD[0, :252]
    assert (first[:4] - stored[f"dasheng.{name}.first4"]).abs().max() <= REFERENCE
    every = stored[f"dasheng.{name}.every50"][: (len(first) + 49) // 50]
    assert (first[::50] - every).abs().max() <= REFERENCE
