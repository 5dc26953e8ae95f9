"""Counts from shapes equal what torch counts when the models run."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from opendasheng.bench.encoder import omni_encoder, our_encoder
from opendasheng.bench.macs import (
    DASHENG,
    OMNI_7B,
    QWEN25_7B,
    DashengShape,
    DecoderShape,
    OmniShape,
    dasheng_macs,
    decode_macs,
    omni_macs,
    prefill_macs,
    projector_macs,
    table,
)
from opendasheng.model import AudioProjector
from opendasheng.model.configuration import decoder_config

DASHENG_SHAPE = DashengShape(width=24, depth=2, num_heads=3, mlp_ratio=2, patches_per_chunk=20)
OMNI_SHAPE = OmniShape(width=24, depth=2, num_heads=3, hidden=40, output=56, num_mels=8, window_frames=20)


def counted(work: Callable[[], object]) -> int:
    """MACs that torch counts; its counter knows plain products only, so attention is taken apart into them."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def dasheng_counted(num_samples: int) -> int:
    encoder = our_encoder(DASHENG_SHAPE).eval()
    mel_BMF = torch.zeros(1, 64, 1 + num_samples // 160)
    return counted(lambda: encoder(mel_BMF, torch.tensor([num_samples])))


@given(full=st.integers(0, 3), rest=st.integers(0, 19), samples=st.integers(0, 639))
@settings(max_examples=25)
def test_dasheng_encoder(full: int, rest: int, samples: int) -> None:
    num_samples = max(257, (20 * full + rest) * 640 + samples - 160)
    assert dasheng_macs(DASHENG_SHAPE, num_samples) == dasheng_counted(num_samples)


@given(windows=st.integers(0, 3), rest=st.integers(0, 19))
@settings(max_examples=25)
def test_omni_encoder(windows: int, rest: int) -> None:
    # A clip of whole windows, or shorter than one: elsewhere its convolutions run over padding too.
    frames = 20 * windows if windows else max(4, rest)
    encoder = omni_encoder(OMNI_SHAPE).eval()
    mel_MF, lengths_B = torch.zeros(8, frames), torch.tensor([frames])
    assert omni_macs(OMNI_SHAPE, frames) == counted(lambda: encoder(mel_MF, feature_lens=lengths_B))


@pytest.mark.parametrize("frames", [23, 34, 39])
def test_omni_padding_is_not_counted(frames: int) -> None:
    encoder = omni_encoder(OMNI_SHAPE).eval()
    mel_MF, lengths_B = torch.zeros(8, frames), torch.tensor([frames])
    padded = 40 - frames, 20 - (10 + (frames - 20 + 1) // 2)
    padding = 3 * 24 * (padded[0] * 8 + padded[1] * 24)
    executed = counted(lambda: encoder(mel_MF, feature_lens=lengths_B))
    assert executed == omni_macs(OMNI_SHAPE, frames) + padding


@pytest.mark.parametrize("num_samples", [257, 16_000, 50_000])
def test_projector(num_samples: int) -> None:
    projector = AudioProjector(24, 32)
    patches = (1 + num_samples // 160) // 4
    x_BTD, mask_BT = torch.zeros(1, patches, 24), torch.ones(1, patches, dtype=torch.bool)
    assert projector_macs(24, 32, num_samples) == counted(lambda: projector(x_BTD, mask_BT))


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_decoder(kind: str) -> None:
    from transformers import AutoModelForCausalLM, DynamicCache

    head_size = 8 if kind == "qwen2" else 12
    shape = DecoderShape(32, 3, 4, 2, head_size, 56, 320)
    config = decoder_config(
        {
            "model_type": kind,
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.width,
            "intermediate_size": shape.hidden,
            "num_hidden_layers": shape.depth,
            "num_attention_heads": shape.num_heads,
            "num_key_value_heads": shape.num_kv_heads,
            **({"head_dim": head_size} if kind == "qwen3" else {}),
        }
    )
    decoder = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    cache = DynamicCache(config=config)
    prompt, following = torch.zeros(1, 17, dtype=torch.long), torch.zeros(1, 1, dtype=torch.long)

    def step(input_ids: torch.Tensor) -> Callable[[], object]:
        return lambda: decoder(input_ids, past_key_values=cache, logits_to_keep=1)

    assert prefill_macs(shape, 17) == counted(step(prompt))
    assert decode_macs(shape, 18) == counted(step(following))


def test_released_sizes_by_hand() -> None:
    # 30 s: 750 patches of 1280 in chunks of 252, 252 and 246; 12 squares of the width per patch and layer.
    linear = 750 * 12 * 1280**2
    attention = 2 * 1280 * (252**2 + 252**2 + 246**2)
    assert dasheng_macs(DASHENG["0.6b"], 480_000) == 750 * 256 * 1280 + 32 * (linear + attention)
    assert omni_macs(OMNI_7B, 3000) / dasheng_macs(DASHENG["0.6b"], 480_000) == pytest.approx(1.98, abs=0.01)
    # A token through a model costs about its parameters: 6.53 billion in layers, 0.54 billion in the head.
    assert decode_macs(QWEN25_7B, 1) == pytest.approx(7.07e9, rel=0.005)


def test_shapes_are_those_of_the_configurations() -> None:
    from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniAudioEncoderConfig

    omni = Qwen2_5OmniAudioEncoderConfig()
    values = omni.d_model, omni.encoder_layers, omni.encoder_attention_heads, omni.encoder_ffn_dim, omni.output_dim
    assert OmniShape(*values, omni.num_mel_bins, 2 * omni.n_window) == OMNI_7B
    with torch.device("meta"):
        sizes = {name: our_encoder(shape) for name, shape in DASHENG.items()}
    parameters = {name: sum(weight.numel() for weight in model.parameters()) for name, model in sizes.items()}
    assert (parameters["base"], parameters["0.6b"]) == (85_447_808, 630_333_568)
    assert parameters["1.2b"] == 1_134_047_360


def test_table_has_the_encoder_and_the_whole() -> None:
    rows = {row.work: row for row in table()}
    assert rows["encoder, 30 s"].ours == dasheng_macs(DASHENG["0.6b"], 480_000)
    whole = rows["7B first token, 30 s"]
    assert whole.theirs / whole.ours == pytest.approx(3.69, abs=0.01)
