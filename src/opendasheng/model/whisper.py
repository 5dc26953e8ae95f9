"""Whisper's encoder as a teacher: its features of clips of any length, and its weights as the start of our encoder.

Whisper (arXiv 2212.04356) hears 30 s at a time; here it hears a clip alone, which spares the silence. Its 50 features a
second are averaged in pairs, to the 25 of a Dasheng encoder. Its blocks have the form of ours (pre-norm, GELU), so an
encoder of its width, depth and heads can start from them.

Shapes: B clips, S samples, F mel frames (100 Hz), T patches (25 Hz), D width.
"""

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.lengths import FRAMES_PER_PATCH, HOP_SAMPLES
from opendasheng.model.configuration import NUM_MELS
from opendasheng.model.encoder import Block, DashengEncoder
from opendasheng.model.mel import LogMel

_WINDOW_SAMPLES = 400
_RANGE = 8.0  # powers of ten below the loudest
_FLOOR = 1e-10
_RIDGE = 1e-5
_CT2_FORMAT = 6
_CT2_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_CT2_BLOCK = re.compile(r"encoder/layer_\d+/ffn/linear_0/bias")
_CT2_NAMES = (
    ("self_attn_layer_norm.weight", "self_attention/layer_norm/gamma"),
    ("self_attn_layer_norm.bias", "self_attention/layer_norm/beta"),
    ("self_attn.out_proj.weight", "self_attention/linear_1/weight"),
    ("self_attn.out_proj.bias", "self_attention/linear_1/bias"),
    ("final_layer_norm.weight", "ffn/layer_norm/gamma"),
    ("final_layer_norm.bias", "ffn/layer_norm/beta"),
    ("fc1.weight", "ffn/linear_0/weight"),
    ("fc1.bias", "ffn/linear_0/bias"),
    ("fc2.weight", "ffn/linear_1/weight"),
    ("fc2.bias", "ffn/linear_1/bias"),
)


class WhisperTeacher(nn.Module):
    """Features of Whisper's encoder; it never learns."""

    _filters_KM: Tensor
    _window_N: Tensor

    def __init__(self, encoder: WhisperEncoder) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        extractor = WhisperFeatureExtractor(feature_size=encoder.config.num_mel_bins)
        filters_KM = torch.from_numpy(np.asarray(extractor.mel_filters, dtype=np.float32))
        self.register_buffer("_filters_KM", filters_KM, persistent=False)
        self.register_buffer("_window_N", torch.hann_window(_WINDOW_SAMPLES), persistent=False)

    @property
    def width(self) -> int:
        """Size of a feature."""
        return int(self.encoder.config.d_model)

    @torch.no_grad()
    def forward(self, audio_BS: Tensor, num_samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, D)`` at 25 Hz of waveforms ``(B, S)`` float32 at 16 kHz, and how many each clip has."""
        stem_BUD, counts_B = self.stem(audio_BS, num_samples_B)
        keys_B11U = (torch.arange(stem_BUD.shape[1], device=audio_BS.device) < 2 * counts_B[:, None])[:, None, None]
        x_BUD = stem_BUD + self.encoder.embed_positions.weight[: stem_BUD.shape[1]]
        for layer in self.encoder.layers:
            x_BUD = layer(x_BUD, keys_B11U)
        return _pairs(self.encoder.layer_norm(x_BUD)), counts_B

    @torch.no_grad()
    def stem(self, audio_BS: Tensor, num_samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """What goes into the first block, without positions, ``(B, 2 T, D)`` at 50 Hz, and T of each clip."""
        with torch.autocast(audio_BS.device.type, enabled=False):
            mels = [self._log_mel(row[:size]) for row, size in zip(audio_BS, num_samples_B.tolist(), strict=True)]
        counts_B = torch.tensor([mel.shape[1] // FRAMES_PER_PATCH for mel in mels], device=audio_BS.device)
        mel_BMF = audio_BS.new_zeros(len(mels), mels[0].shape[0], FRAMES_PER_PATCH * int(counts_B.max()))
        for row, mel, count in zip(mel_BMF, mels, counts_B.tolist(), strict=True):
            row[:, : FRAMES_PER_PATCH * count] = mel[:, : FRAMES_PER_PATCH * count]
        gelu = nn.functional.gelu
        stem_BUD: Tensor = gelu(self.encoder.conv2(gelu(self.encoder.conv1(mel_BMF)))).transpose(1, 2)
        return stem_BUD, counts_B

    def _log_mel(self, audio_S: Tensor) -> Tensor:
        spectrum_KF = torch.stft(audio_S, _WINDOW_SAMPLES, HOP_SAMPLES, window=self._window_N, return_complex=True)[
            :, :-1
        ]
        mel_MF = (self._filters_KM.T @ spectrum_KF.abs().square()).clamp_min(_FLOOR).log10()
        scaled_MF: Tensor = (mel_MF.clamp_min(mel_MF.max() - _RANGE) + 4.0) / 4.0
        return scaled_MF


def _pairs(x_BUD: Tensor) -> Tensor:
    x_BTD: Tensor = x_BUD.unflatten(1, (-1, 2)).mean(2)
    return x_BTD


def load_whisper_teacher(path: str) -> WhisperTeacher:
    """The encoder of a Whisper model: a folder or hub id of transformers, or a ``model.bin`` of CTranslate2.

    Raises :class:`CheckpointError` for a file that is not one.
    """
    if Path(path).is_file():
        return WhisperTeacher(_from_ctranslate2(Path(path)))
    return WhisperTeacher(WhisperModel.from_pretrained(path, dtype=torch.float32, use_safetensors=True).encoder)


def _from_ctranslate2(path: Path) -> WhisperEncoder:
    tensors = read_ctranslate2(path)
    try:
        width, num_mels = tensors["encoder/conv1/weight"].shape[:2]
        config = WhisperConfig(
            d_model=width,
            num_mel_bins=num_mels,
            encoder_layers=sum(bool(_CT2_BLOCK.fullmatch(name)) for name in tensors),
            encoder_attention_heads=int(tensors["encoder/num_heads"]),
            encoder_ffn_dim=len(tensors["encoder/layer_0/ffn/linear_0/bias"]),
            attn_implementation="sdpa",
        )
        state = {ours: tensors[theirs] for ours, theirs in _ct2_names(config.encoder_layers)}
        for number in range(config.encoder_layers):
            for kind in ("weight", "bias"):
                joint = tensors[f"encoder/layer_{number}/self_attention/linear_0/{kind}"]
                for name, part in zip(("q_proj", "k_proj", "v_proj"), np.split(joint, 3), strict=True):
                    state[f"layers.{number}.self_attn.{name}.{kind}"] = part
            del state[f"layers.{number}.self_attn.k_proj.bias"]  # zeros: Whisper's keys have none
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not a Whisper model of CTranslate2 ({error})") from error
    encoder = WhisperEncoder(config)
    encoder.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in state.items()})
    return encoder


def _ct2_names(depth: int) -> list[tuple[str, str]]:
    """Our names and CTranslate2's of all that is one tensor in both."""
    names = [(f"{conv}.{kind}", f"encoder/{conv}/{kind}") for conv in ("conv1", "conv2") for kind in ("weight", "bias")]
    names += [
        ("embed_positions.weight", "encoder/position_encodings/encodings"),
        ("layer_norm.weight", "encoder/layer_norm/gamma"),
        ("layer_norm.bias", "encoder/layer_norm/beta"),
    ]
    for number in range(depth):
        names += [(f"layers.{number}.{ours}", f"encoder/layer_{number}/{theirs}") for ours, theirs in _CT2_NAMES]
    return names


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """Tensors by name of a ``model.bin`` of CTranslate2 (format 6): a list of names, shapes, types and bytes.

    Raises :class:`CheckpointError` for a file of another form.
    """
    content, place = path.read_bytes(), 0

    def take(form: str) -> int:
        nonlocal place
        [value] = struct.unpack_from(f"<{form}", content, place)
        place += struct.calcsize(form)
        return int(value)

    def take_text() -> str:
        nonlocal place
        size = take("H")
        text = content[place : place + size].rstrip(b"\0").decode()
        place += size
        return text

    found = {}
    try:
        version = take("I")
        if version != _CT2_FORMAT:
            raise CheckpointError(f"{path}: format {version} of CTranslate2 is not known, only {_CT2_FORMAT}")
        take_text(), take("I")  # what kind of model, and its revision
        for _ in range(take("I")):
            name = take_text()
            shape = [take("I") for _ in range(take("B"))]
            kind, size = np.dtype(_CT2_TYPES[take("B")]), take("I")
            found[name] = np.frombuffer(content, kind, size // kind.itemsize, place).reshape(shape)
            place += size
    except (struct.error, UnicodeDecodeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not a model of CTranslate2, or damaged ({error})") from error
    return found


@torch.no_grad()
def start_from(encoder: DashengEncoder, teacher: WhisperTeacher, clips: Sequence[np.ndarray]) -> float:
    """Give ``encoder`` the teacher's blocks, last norm and positions, and fit its patches to the teacher's stem.

    The patch embedding is the ridge regression from the patches of ``clips`` (waveforms float32 at 16 kHz) to what
    goes into the teacher's first block. Returns the share of its variance that it explains. Raises
    :class:`ConfigError` when the sizes differ.
    """
    whisper = teacher.encoder
    wanted = whisper.config.d_model, whisper.config.encoder_layers, whisper.config.encoder_attention_heads
    config = encoder.config
    if (config.embed_dim, config.depth, config.num_heads) != wanted:
        raise ConfigError(
            "encoder_dim, encoder_depth and encoder_heads are {}, {} and {}; to start from this teacher they must be "
            "{}, {} and {}".format(config.embed_dim, config.depth, config.num_heads, *wanted)
        )
    for block, layer in zip(encoder.blocks, whisper.layers, strict=True):
        assert isinstance(block, Block)
        attention, keys = layer.self_attn, layer.self_attn.k_proj.weight
        parts = (attention.q_proj.bias, torch.zeros(len(keys)), attention.v_proj.bias)
        block.attn.qkv.weight.copy_(torch.cat([attention.q_proj.weight, keys, attention.v_proj.weight]))
        block.attn.qkv.bias.copy_(torch.cat(parts))
        for ours, theirs in (
            (block.norm1, layer.self_attn_layer_norm),
            (block.attn.proj, attention.out_proj),
            (block.norm2, layer.final_layer_norm),
            (block.mlp.fc1, layer.fc1),
            (block.mlp.fc2, layer.fc2),
        ):
            ours.load_state_dict(theirs.state_dict())
    encoder.norm.load_state_dict(whisper.layer_norm.state_dict())
    num_patches = encoder.time_pos_embed.shape[3]
    positions_TD = _pairs(whisper.embed_positions.weight[None, : 2 * num_patches])[0]
    encoder.time_pos_embed.copy_(positions_TD.T[None, :, None])
    encoder.freq_pos_embed.zero_()
    return _fit_patches(encoder, teacher, clips)


def _fit_patches(encoder: DashengEncoder, teacher: WhisperTeacher, clips: Sequence[np.ndarray]) -> float:
    log_mel, bn = LogMel(), encoder.init_bn
    size = NUM_MELS * FRAMES_PER_PATCH
    squares, products = torch.zeros(size + 1, size + 1).double(), torch.zeros(size + 1, teacher.width).double()
    sums, energy, count = torch.zeros(teacher.width).double(), torch.zeros(()).double(), 0
    for clip in clips:
        audio_1S, length_1 = torch.from_numpy(clip)[None], torch.tensor([len(clip)])
        mel_MF = nn.functional.batch_norm(log_mel(audio_1S), bn.running_mean, bn.running_var)[0]
        patches_TX = mel_MF.unfold(1, FRAMES_PER_PATCH, FRAMES_PER_PATCH).transpose(0, 1).flatten(1)
        stem_TD = _pairs(teacher.stem(audio_1S, length_1)[0])[0].double()
        x_TX = torch.cat([patches_TX[: len(stem_TD)], torch.ones(len(stem_TD), 1)], 1).double()
        squares, products = squares + x_TX.T @ x_TX, products + x_TX.T @ stem_TD
        sums, energy, count = sums + stem_TD.sum(0), energy + stem_TD.square().sum(), count + len(stem_TD)
    fitted = torch.linalg.solve(squares + _RIDGE * count * torch.eye(size + 1).double(), products)
    proj = encoder.patch_embed.proj
    proj.weight.copy_(fitted[:size].T.reshape(proj.weight.shape))
    assert proj.bias is not None
    proj.bias.copy_(fitted[size])
    left = energy - 2 * (fitted * products).sum() + (fitted * (squares @ fitted)).sum()
    return float(1 - left / (energy - sums.square().sum() / count))
