"""The Dasheng encoder: log-mel -> features at 25 Hz (SPEC 1.4, 1.5, 2).

Shapes: B clips, F mel frames, M mel bands, T patches of the longest clip, P patches of all clips, C chunks of a group,
L patches of the longest chunk in a group, D embed_dim, H heads, E head size.

Clips never meet: patches of all clips are kept in one packed row, cut into chunks of at most 252, and chunks of equal
length run as one batch, so that neither batch mates nor padding change a result.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_layers import GradientCheckpointingLayer

from opendasheng.lengths import FRAMES_PER_PATCH, chunk_lengths, num_attended_patches, num_frames, num_patches
from opendasheng.model.configuration import NUM_MELS, DashengConfig

# Chunks run together: enough to fill a GPU, few enough that an hour of audio does not need an hour's activations.
_MAX_CHUNKS = 32
# In training, a chunk joins the group of a longer one when at most this share of the longer one would be padding.
# Otherwise only chunks of equal length run together: even masked padding moves the last digits of float32.
_TRAINING_PADDING = 0.2


class Chunk(NamedTuple):
    """A stretch of one clip that attends to itself alone."""

    start: int  # in the packed patches of all clips
    length: int
    attended: int  # patches that may be attended to: length, one less, or none at all


class DashengEncoder(nn.Module):
    """Log-mel ``(B, 64, F)`` in dB -> ``(B, T, D)``, each clip as if it were alone."""

    def __init__(self, config: DashengConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        self.init_bn = nn.BatchNorm2d(NUM_MELS, momentum=0.01)
        self.patch_embed = PatchEmbed(width)
        self.time_pos_embed = nn.Parameter(torch.zeros(1, width, 1, config.patches_per_chunk))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, mel_BMF: Tensor, num_samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, T, D)`` and a mask ``(B, T)``, True for patches wholly inside their clip.

        ``num_samples_B`` are the clips' lengths in samples, from which frames and patches follow. A clip has
        ``num_patches`` rows; where the mask is False in the last of them the row is still a feature (SPEC 1.5,
        point 1), and rows past them are 0.
        """
        num_samples = [int(n) for n in num_samples_B.tolist()]
        if int(num_frames(max(num_samples))) != mel_BMF.shape[2]:
            raise ValueError(
                f"a mel of {mel_BMF.shape[2]} frames does not fit clips of at most {max(num_samples)} samples"
            )
        patches_PD = self._embed(mel_BMF, num_samples)
        chunks = _cut_into_chunks(num_samples, self.config.patches_per_chunk)
        pieces: dict[int, Tensor] = {}
        for group in _group_chunks(chunks, _TRAINING_PADDING if self.training else 0.0):
            x_CLD = self._run_group(patches_PD, group)
            for x_LD, chunk in zip(x_CLD, group, strict=True):
                pieces[chunk.start] = x_LD[: chunk.length]
        packed_PD = self.norm(torch.cat([pieces[start] for start in sorted(pieces)]) if pieces else patches_PD)
        x_BTD = pad_sequence(packed_PD.split([num_patches(n) for n in num_samples]), batch_first=True)
        attended_B1 = torch.tensor([[num_attended_patches(n)] for n in num_samples], device=x_BTD.device)
        return x_BTD, torch.arange(x_BTD.shape[1], device=x_BTD.device) < attended_B1

    def embed(self, mel_BMF: Tensor) -> Tensor:
        """Patches at their positions, ``(B, F // 4, D)``, of clips of equal length and at most one chunk."""
        x_BTD = self._patches(mel_BMF)
        return x_BTD + self._positions(x_BTD.shape[1])

    def run(self, x_BLD: Tensor) -> Tensor:
        """The blocks and the last norm over any patches with their positions; all of a row attend to each other."""
        for block in self.blocks:
            x_BLD = block(x_BLD, None)
        out: Tensor = self.norm(x_BLD)
        return out

    def _embed(self, mel_BMF: Tensor, num_samples: list[int]) -> Tensor:
        """Patches of all clips, one after the other: ``(P, D)``."""
        if mel_BMF.shape[2] < FRAMES_PER_PATCH:  # too short for a single patch: a convolution would refuse
            return mel_BMF.new_zeros(0, self.config.embed_dim)
        x_BTD = self._patches(mel_BMF)
        return torch.cat([x_TD[: num_patches(n)] for x_TD, n in zip(x_BTD, num_samples, strict=True)])

    def _patches(self, mel_BMF: Tensor) -> Tensor:
        """Patches without positions: ``(B, F // 4, D)``. Statistics of init_bn are fixed (SPEC 1.1)."""
        bn = self.init_bn
        normal_BMF = nn.functional.batch_norm(
            mel_BMF.to(self.time_pos_embed.dtype),
            bn.running_mean,
            bn.running_var,
            bn.weight,
            bn.bias,
            training=False,
            eps=bn.eps,
        )
        x_BTD: Tensor = self.patch_embed(normal_BMF)
        return x_BTD

    def _positions(self, length: int) -> Tensor:
        """What is added to patches for where they stand: ``(L, D)``."""
        return (self.time_pos_embed + self.freq_pos_embed)[0, :, 0, :length].T

    def _run_group(self, patches_PD: Tensor, group: list[Chunk]) -> Tensor:
        """One batch through the blocks: ``(C, L, D)``. Rows past a chunk's length hold nothing of meaning."""
        rows = [patches_PD[chunk.start : chunk.start + chunk.length] for chunk in group]
        x_CLD = pad_sequence(rows, batch_first=True)
        x_CLD = x_CLD + self._positions(x_CLD.shape[1])
        keys = _key_mask(group, x_CLD)
        for block in self.blocks:
            x_CLD = block(x_CLD, keys)
        return x_CLD


class KeyMask(NamedTuple):
    """Which patches may be attended to in a group, and which chunks have none at all."""

    mask_C11L: Tensor
    empty_C: Tensor | None


def _key_mask(group: list[Chunk], x_CLD: Tensor) -> KeyMask | None:
    """None when every patch of every chunk is a key, so that attention needs no mask at all."""
    length = x_CLD.shape[1]
    attended = torch.tensor([chunk.attended for chunk in group], device=x_CLD.device)
    if all(chunk.attended == length for chunk in group):
        return None
    mask_CL = torch.arange(length, device=x_CLD.device) < attended[:, None]
    empty_C = attended == 0
    if not any(chunk.attended == 0 for chunk in group):
        return KeyMask(mask_CL[:, None, None], None)
    # A softmax over no keys is NaN on some kernels. Attend to anything, then put in the zeros that torch's scaled
    # dot-product attention gives such a row (SPEC 1.5, point 3).
    return KeyMask((mask_CL | empty_C[:, None])[:, None, None], empty_C)


def _cut_into_chunks(num_samples: list[int], patches_per_chunk: int) -> list[Chunk]:
    chunks, start = [], 0
    for samples in num_samples:
        left = num_attended_patches(samples)
        for length in chunk_lengths(num_patches(samples), patches_per_chunk):
            chunks.append(Chunk(start, length, max(0, min(length, left))))
            start += length
            left -= length
    return chunks


def _group_chunks(chunks: list[Chunk], max_padding: float) -> list[list[Chunk]]:
    """Chunks that run together: of equal length, or shorter by at most a share of ``max_padding``, and at most 32."""
    groups: list[list[Chunk]] = []
    for chunk in sorted(chunks, key=lambda chunk: -chunk.length):
        longest = groups[-1][0].length if groups else 0
        if chunk.length < (1 - max_padding) * longest or not groups or len(groups[-1]) == _MAX_CHUNKS:
            groups.append([])
        groups[-1].append(chunk)
    return groups


class PatchEmbed(nn.Module):
    """64 bands x 4 frames -> D; the 1-3 frames left over are dropped."""

    def __init__(self, width: int) -> None:
        super().__init__()
        patch = (NUM_MELS, FRAMES_PER_PATCH)
        self.proj = nn.Conv2d(1, width, kernel_size=patch, stride=patch)

    def forward(self, mel_BMF: Tensor) -> Tensor:
        """``(B, 64, F)`` -> ``(B, F // 4, D)``."""
        # Patches do not overlap, so the convolution is one product. As a convolution it takes torch 7 times as long,
        # forward and backward (100 ms and 14 for 4 to 24 clips of 2 to 11 s, one core).
        length = mel_BMF.shape[2] // FRAMES_PER_PATCH
        x_BTMP = mel_BMF[..., : length * FRAMES_PER_PATCH].unflatten(2, (length, FRAMES_PER_PATCH)).transpose(1, 2)
        return nn.functional.linear(x_BTMP.flatten(2), self.proj.weight.flatten(1), self.proj.bias)


class Block(GradientCheckpointingLayer):  # type: ignore[misc]
    """Pre-norm transformer block; LayerScale only where ``init_values`` is set (not in released models)."""

    def __init__(self, config: DashengConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(config)
        self.ls1 = _layer_scale(config)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(width * config.mlp_ratio))
        self.ls2 = _layer_scale(config)

    def forward(self, x_CLD: Tensor, keys: KeyMask | None) -> Tensor:
        """``(C, L, D)`` -> ``(C, L, D)``."""
        x_CLD = x_CLD + self.ls1(self.attn(self.norm1(x_CLD), keys))
        out: Tensor = x_CLD + self.ls2(self.mlp(self.norm2(x_CLD)))
        return out


class Attention(nn.Module):
    """Bidirectional multi-head attention with a fused q, k, v projection."""

    def __init__(self, config: DashengConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim, bias=config.qkv_bias)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x_CLD: Tensor, keys: KeyMask | None) -> Tensor:
        """``(C, L, D)`` -> ``(C, L, D)``; a chunk without a single key attends to nothing and gets zeros."""
        qkv_3CHLE = self.qkv(x_CLD).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if keys is None else keys.mask_C11L
        q_CHLE, k_CHLE, v_CHLE = qkv_3CHLE.unbind(0)
        out_CHLE = nn.functional.scaled_dot_product_attention(q_CHLE, k_CHLE, v_CHLE, attn_mask=mask)
        if keys is not None and keys.empty_C is not None:
            out_CHLE = out_CHLE.masked_fill(keys.empty_C[:, None, None, None], 0.0)
        out: Tensor = self.proj(out_CHLE.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Linear, exact GELU, Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_CLD: Tensor) -> Tensor:
        """``(C, L, D)`` -> ``(C, L, D)``."""
        out: Tensor = self.fc2(nn.functional.gelu(self.fc1(x_CLD)))
        return out


class LayerScale(nn.Module):
    """A learned gain per channel."""

    def __init__(self, width: int, init_value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), init_value))

    def forward(self, x_CLD: Tensor) -> Tensor:
        """``(C, L, D)`` -> ``(C, L, D)``."""
        return x_CLD * self.gamma


def _layer_scale(config: DashengConfig) -> nn.Module:
    return nn.Identity() if config.init_values is None else LayerScale(config.embed_dim, config.init_values)
