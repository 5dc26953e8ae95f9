"""Whisper as a teacher: the values of transformers, clips alone or together, CTranslate2 files, blocks for ours."""

import struct

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model import DashengConfig, DashengEncoder
from opendasheng.model.whisper import WhisperTeacher, load_whisper_teacher, read_ctranslate2, start_from


@pytest.fixture(scope="module")
def teacher() -> WhisperTeacher:
    torch.manual_seed(2)
    config = WhisperConfig(d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64)
    encoder = WhisperEncoder(config)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return WhisperTeacher(encoder)


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def test_a_clip_of_thirty_seconds_gives_what_transformers_gives(teacher: WhisperTeacher) -> None:
    audio = noise(30 * 16_000)
    mel = WhisperFeatureExtractor()(audio, sampling_rate=16_000, return_tensors="pt").input_features
    wanted = teacher.encoder(mel).last_hidden_state.unflatten(1, (-1, 2)).mean(2)
    found, counts = teacher(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
    assert counts.tolist() == [750]
    assert torch.allclose(found, wanted, atol=2e-3)  # their spectrum is in float64


def test_clips_do_not_hear_each_other(teacher: WhisperTeacher) -> None:
    clips = [noise(size, size) for size in (16_000, 9_000, 12_345)]
    audio = torch.zeros(3, 16_000)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    together, counts = teacher(audio, torch.tensor([len(clip) for clip in clips]))
    assert counts.tolist() == [len(clip) // 640 for clip in clips]
    for row, clip, count in zip(together, clips, counts.tolist(), strict=True):
        alone, _ = teacher(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))
        assert torch.allclose(row[:count], alone[0], atol=1e-5)


def write_ctranslate2(encoder: WhisperEncoder) -> bytes:
    """The encoder in CTranslate2's form, in half precision as its converter writes it."""
    state = {name: value.numpy() for name, value in encoder.state_dict().items()}
    named = {
        "conv1/weight": state["conv1.weight"],
        "conv1/bias": state["conv1.bias"],
        "conv2/weight": state["conv2.weight"],
        "conv2/bias": state["conv2.bias"],
        "position_encodings/encodings": state["embed_positions.weight"],
        "layer_norm/gamma": state["layer_norm.weight"],
        "layer_norm/beta": state["layer_norm.bias"],
        "num_heads": np.int16(encoder.config.encoder_attention_heads),
    }
    for number in range(encoder.config.encoder_layers):
        ours, theirs = f"layers.{number}.", f"layer_{number}/"
        keys = state[f"{ours}self_attn.k_proj.weight"]
        biases = state[f"{ours}self_attn.q_proj.bias"], np.zeros(len(keys)), state[f"{ours}self_attn.v_proj.bias"]
        weights = [state[f"{ours}self_attn.{part}_proj.weight"] for part in "qkv"]
        named[f"{theirs}self_attention/linear_0/weight"] = np.concatenate(weights)
        named[f"{theirs}self_attention/linear_0/bias"] = np.concatenate(biases)
        for there, here in (
            ("self_attention/layer_norm", "self_attn_layer_norm"),
            ("self_attention/linear_1", "self_attn.out_proj"),
            ("ffn/layer_norm", "final_layer_norm"),
            ("ffn/linear_0", "fc1"),
            ("ffn/linear_1", "fc2"),
        ):
            weight, bias = ("gamma", "beta") if "norm" in there else ("weight", "bias")
            named[f"{theirs}{there}/{weight}"] = state[f"{ours}{here}.weight"]
            named[f"{theirs}{there}/{bias}"] = state[f"{ours}{here}.bias"]
    content = struct.pack("<I", 6) + _text("WhisperSpec") + struct.pack("<II", 3, len(named))
    for name, value in named.items():
        value = np.asarray(value)
        kind = 2 if value.dtype == np.int16 else 4
        data = value.astype(np.int16 if kind == 2 else np.float16).tobytes()
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        content += _text("encoder/" + name) + shape + struct.pack("<BI", kind, len(data)) + data
    return content


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def test_a_model_of_ctranslate2_is_the_same_encoder(teacher: WhisperTeacher, tmp_path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(write_ctranslate2(teacher.encoder))
    found = load_whisper_teacher(str(path)).encoder.state_dict()
    for name, value in teacher.encoder.state_dict().items():
        assert torch.equal(found[name], value.half().float()), name


def test_a_folder_of_transformers_is_read_too(tmp_path) -> None:
    torch.manual_seed(1)
    sizes = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    tokens = {"vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    model = WhisperModel(WhisperConfig(d_model=16, encoder_layers=1, decoder_layers=1, **sizes, **tokens))
    model.save_pretrained(tmp_path)
    found = load_whisper_teacher(str(tmp_path)).encoder.state_dict()
    assert all(torch.equal(found[name], value) for name, value in model.encoder.state_dict().items())


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:100], lambda b: b"RIFF" + b, lambda _: b""])
def test_a_damaged_file_is_named(teacher: WhisperTeacher, tmp_path, damage) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(damage(write_ctranslate2(teacher.encoder)))
    with pytest.raises(CheckpointError, match=r"model\.bin"):
        load_whisper_teacher(str(path))


def test_a_file_that_lacks_the_encoder_is_named(tmp_path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(struct.pack("<I", 6) + _text("WhisperSpec") + struct.pack("<II", 3, 0))
    assert read_ctranslate2(path) == {}
    with pytest.raises(CheckpointError, match="not a Whisper model of CTranslate2"):
        load_whisper_teacher(str(path))


def test_our_encoder_starts_from_its_blocks(teacher: WhisperTeacher) -> None:
    encoder = DashengEncoder(DashengConfig(embed_dim=16, depth=2, num_heads=2)).eval()
    clips = [noise(16_000, seed) for seed in range(4)]
    explained = start_from(encoder, teacher, clips)
    assert 0.05 < explained <= 1  # of noise through random convolutions
    x = torch.randn(2, 30, 16)
    found, wanted = x, x
    for block, layer in zip(encoder.blocks, teacher.encoder.layers, strict=True):
        found, wanted = block(found, None), layer(wanted, None)
    assert torch.allclose(encoder.norm(found), teacher.encoder.layer_norm(wanted), atol=1e-3)  # other epsilons
    positions = teacher.encoder.embed_positions.weight[:4].unflatten(0, (2, 2)).mean(1)
    assert torch.equal(encoder.time_pos_embed[0, :, 0, :2].T, positions)


def test_an_encoder_of_other_sizes_is_refused(teacher: WhisperTeacher) -> None:
    encoder = DashengEncoder(DashengConfig(embed_dim=16, depth=3, num_heads=2))
    with pytest.raises(ConfigError, match="are 16, 3 and 2; to start from this teacher they must be 16, 2 and 2"):
        start_from(encoder, teacher, [])
