"""Masked auto-encoding of log-mels: Dasheng learns from sound alone (SPEC 9.1; Dinkel et al., Interspeech 2024).

Most patches of a clip are removed, in pairs of neighbours. The encoder sees the others; a small decoder, which is
thrown away afterwards, has to tell what the removed ones held.

Shapes: B clips, M mel bands, F mel frames, L patches of a clip, K patches that are kept, G groups of neighbours,
P values of a patch (256), D width of the encoder, W width of the decoder.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from opendasheng.errors import ConfigError
from opendasheng.lengths import FRAMES_PER_PATCH
from opendasheng.model.configuration import NUM_MELS, DashengConfig
from opendasheng.model.encoder import Block, DashengEncoder
from opendasheng.options import require

PATCH_VALUES = NUM_MELS * FRAMES_PER_PATCH
_EPS = 1e-6


@dataclass(frozen=True)
class MAEConfig:
    """How much is hidden, and what has to find it: the published values.

    ``group_size`` neighbours are removed or kept together. ``target`` says how a patch is levelled before it is
    compared: by its own mean and deviation (``patch``), by those of all patches of the batch (``batch``), or not at
    all (``none``).
    """

    mask_ratio: float = 0.75
    group_size: int = 2
    decoder_dim: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    target: Literal["patch", "batch", "none"] = "patch"

    def __post_init__(self) -> None:
        if not 0 < self.mask_ratio < 1:
            raise ConfigError(f"mae.mask_ratio is {self.mask_ratio}; it is a share between 0 and 1")
        require(self, "mae", at_least_1=("group_size", "decoder_dim", "decoder_depth", "decoder_heads"))
        if self.decoder_dim % self.decoder_heads:
            raise ConfigError(
                f"mae.decoder_heads is {self.decoder_heads}; it divides mae.decoder_dim {self.decoder_dim}"
            )

    def num_kept(self, num_patches: int) -> int:
        """How many of a clip's patches stay."""
        return int(num_patches * (1 - self.mask_ratio))


class Mask(NamedTuple):
    """What is hidden: ``kept_BK`` numbers of the patches that stay, in the order in which the encoder sees them;
    ``restore_BL`` where each patch stands in the order kept, then removed; ``removed_BL`` 1.0 for a removed patch."""

    kept_BK: Tensor
    restore_BL: Tensor
    removed_BL: Tensor


class Reconstruction(NamedTuple):
    """``loss`` of the removed patches, a float32 scalar; ``predicted_BLP`` of all, ``latent_BKD`` of kept patches."""

    loss: Tensor
    predicted_BLP: Tensor
    latent_BKD: Tensor
    mask: Mask


class MaskedAutoencoder(nn.Module):
    """An encoder with what teaches it. After training only ``encoder`` is of use."""

    def __init__(self, encoder: DashengEncoder, config: MAEConfig, *, start: bool = True) -> None:
        """``start`` gives the encoder first random weights too, in place of those that it has."""
        super().__init__()
        self.encoder = encoder
        self.config = config
        self.decoder = Decoder(encoder.config, config)
        _first_weights(self if start else self.decoder)

    def forward(self, mel_BMF: Tensor, noise_BG: Tensor) -> Reconstruction:
        """Hide patches of clips of equal length, all of them whole, and find them again.

        ``mel_BMF`` is float32 ``(B, 64, F)`` in dB, ``noise_BG`` a number for each group: those of the smallest stay.
        Raises :class:`ValueError` for a number of patches that groups do not fill, or that is more than a chunk.
        """
        patches_BPL = as_patches(mel_BMF)
        mask = hide(noise_BG, patches_BPL.shape[1], self.config)
        embedded_BLD = self.encoder.embed(mel_BMF)
        latent_BKD = self.encoder.run(_pick(embedded_BLD, mask.kept_BK))
        predicted_BLP = self.decoder(latent_BKD, mask.restore_BL)
        with torch.autocast(mel_BMF.device.type, enabled=False):
            error_BL = (predicted_BLP.float() - level(patches_BPL.float(), self.config.target)).square().mean(dim=-1)
            loss = (error_BL * mask.removed_BL).sum() / mask.removed_BL.sum()
        return Reconstruction(loss, predicted_BLP, latent_BKD, mask)


class Decoder(nn.Module):
    """Latents of the kept patches ``(B, K, D)`` -> values of all patches ``(B, L, 256)``."""

    def __init__(self, encoder: DashengConfig, config: MAEConfig) -> None:
        super().__init__()
        width = config.decoder_dim
        sizes = DashengConfig(embed_dim=width, depth=config.decoder_depth, num_heads=config.decoder_heads)
        self.input_proj = nn.Linear(encoder.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, encoder.patches_per_chunk + 1, width))
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.outputlayer = nn.Linear(width, PATCH_VALUES)

    def forward(self, latent_BKD: Tensor, restore_BL: Tensor) -> Tensor:
        """See the class; ``restore_BL`` is that of the mask."""
        shown_BKW = self.input_proj(latent_BKD)
        num_removed = restore_BL.shape[1] - shown_BKW.shape[1]
        hidden_BNW = self.mask_token.expand(len(shown_BKW), num_removed, -1).to(shown_BKW.dtype)
        x_BLW = _pick(torch.cat([shown_BKW, hidden_BNW], dim=1), restore_BL)
        x_BLW = x_BLW + self.pos_embed[:, : x_BLW.shape[1]]
        for block in self.blocks:
            x_BLW = block(x_BLW, None)
        out: Tensor = self.outputlayer(self.norm(x_BLW))
        return out


def _first_weights(model: nn.Module) -> None:
    """As the original starts: small random matrices and positions, no biases (SPEC 9.1)."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name.endswith("mask_token"):
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("pos_embed"):
            nn.init.trunc_normal_(parameter, std=0.02)


def hide(noise_BG: Tensor, num_patches: int, config: MAEConfig) -> Mask:
    """Which patches of a clip are removed: groups in the order of their noise, the first of them stay."""
    if noise_BG.shape[1] * config.group_size != num_patches:
        raise ValueError(f"{num_patches} patches are not {noise_BG.shape[1]} groups of {config.group_size}")
    order_BG = noise_BG.argsort(dim=1)
    inside = torch.arange(config.group_size, device=noise_BG.device)
    order_BL = (order_BG[..., None] * config.group_size + inside).flatten(1)
    restore_BL = order_BL.argsort(dim=1)
    num_kept = config.num_kept(num_patches)
    return Mask(order_BL[:, :num_kept], restore_BL, (restore_BL >= num_kept).float())


def as_patches(mel_BMF: Tensor) -> Tensor:
    """The patches of log-mels, ``(B, L, 256)``: 64 bands of 4 frames, band by band; frames left over are dropped."""
    whole_BMF = mel_BMF[..., : mel_BMF.shape[2] // FRAMES_PER_PATCH * FRAMES_PER_PATCH]
    return whole_BMF.unfold(2, FRAMES_PER_PATCH, FRAMES_PER_PATCH).transpose(1, 2).flatten(2)


def level(patches_BLP: Tensor, target: str) -> Tensor:
    """Patches as they are to be predicted, see :class:`MAEConfig`. Variances are unbiased, as published."""
    if target == "none":
        return patches_BLP
    dims = (-1,) if target == "patch" else (0, 1, 2)
    mean = patches_BLP.mean(dim=dims, keepdim=True)
    return (patches_BLP - mean) / (patches_BLP.var(dim=dims, keepdim=True) + _EPS).sqrt()


def _pick(x_BLD: Tensor, which_BK: Tensor) -> Tensor:
    return x_BLD.gather(1, which_BK[..., None].expand(-1, -1, x_BLD.shape[2]))
