"""Encoder features at 25 Hz -> decoder embeddings at 5 Hz (SPEC 3).

Shapes: B clips, T patches, D encoder width, N tokens (T // 5), H decoder width.
"""

from torch import Tensor, nn

from opendasheng.lengths import PATCHES_PER_TOKEN


class AudioProjector(nn.Module):
    """Five consecutive patches, side by side, through Linear, exact GELU, Linear."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(PATCHES_PER_TOKEN * in_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim))

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``(B, T // 5, H)`` and their mask, True where any of the five patches is.

        The ``T % 5`` patches left over are dropped. The mask can count one token too few or too many: how many rows
        of a clip are tokens is for ``lengths.num_audio_tokens`` alone to say (SPEC 1.5, point 4).
        """
        whole = x_BTD.shape[1] // PATCHES_PER_TOKEN * PATCHES_PER_TOKEN
        grouped_BNG = x_BTD[:, :whole].unflatten(1, (-1, PATCHES_PER_TOKEN)).flatten(2) if whole else x_BTD[:, :0]
        if not whole:
            grouped_BNG = x_BTD.new_zeros(len(x_BTD), 0, PATCHES_PER_TOKEN * x_BTD.shape[2])
        mask_BN = mask_BT[:, :whole].reshape(len(mask_BT), -1, PATCHES_PER_TOKEN).any(-1)
        return self.net(grouped_BNG), mask_BN
