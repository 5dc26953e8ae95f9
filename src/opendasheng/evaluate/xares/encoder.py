"""An audio encoder as X-ARES wants it: frozen, from waveforms to features every 40 ms.

Shapes: B clips, S samples, T patches, D embed_dim.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from opendasheng import hub
from opendasheng.errors import CheckpointError
from opendasheng.lengths import (
    FRAMES_PER_PATCH,
    HOP_SAMPLES,
    MIN_TOKEN_SAMPLES,
    PADDED_SAMPLES,
    SAMPLE_RATE_HZ,
    num_patches,
)
from opendasheng.model.configuration import DashengConfig, MiDashengLMConfig
from opendasheng.model.encoder import DashengEncoder, LayerScale
from opendasheng.model.loading import load_dasheng_encoder, rename_dasheng
from opendasheng.model.mel import LogMel

HOP_MILLISECONDS: Final = 1000 * HOP_SAMPLES * FRAMES_PER_PATCH // SAMPLE_RATE_HZ
_RANDOM: Final = re.compile(r"random(?:-(\d+))?:(.+)")
_PREFIX: Final = "audio_encoder."
_ALONE: Final = "model.safetensors"  # what an exported Dasheng checkpoint is called in its folder


class XaresEncoder(nn.Module):
    """A frozen encoder with what the package asks of one: ``sampling_rate``, ``output_dim``, ``hop_size_in_ms``.

    A batch of ``S`` samples has ``T = (1 + S // 160) // 4`` frames; audio shorter than 3040 samples (0.19 s) is first
    padded with silence to 3200, as the engine does, and so has 5. X-ARES pads the clips of a batch with silence and
    does not tell their lengths, so :meth:`forward` hears the padding, and a clip's features depend on the longest clip
    beside it; :meth:`encode` knows the lengths, and there they do not.
    """

    sampling_rate = SAMPLE_RATE_HZ
    hop_size_in_ms = HOP_MILLISECONDS

    def __init__(self, encoder: DashengEncoder) -> None:
        super().__init__()
        self.output_dim = int(encoder.config.embed_dim)
        self.fingerprint = fingerprint(encoder)
        self.log_mel = LogMel()
        self.encoder = encoder.requires_grad_(False)
        self.train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.time_pos_embed.device

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay as in evaluation, whatever a trainer asks for."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, audio_BS: Tensor) -> Tensor:
        """Waveforms float ``(B, S)`` at 16 kHz, every sample taken as audio -> features ``(B, T, D)``."""
        return torch.stack(self.encode(audio_BS, [audio_BS.shape[1]] * len(audio_BS)))

    @torch.no_grad()
    def encode(self, audio_BS: Tensor, num_samples: Sequence[int]) -> list[Tensor]:
        """The features of each clip as if it were alone: B tensors ``(T, D)``.

        ``audio_BS`` is padded on the right, ``num_samples`` are the true lengths.
        """
        lengths = [n if n >= MIN_TOKEN_SAMPLES else PADDED_SAMPLES for n in num_samples]
        clips = zip(audio_BS, num_samples, strict=True)
        heard_BS = audio_BS.new_zeros(len(audio_BS), max(lengths))
        for row_S, (clip_S, samples) in zip(heard_BS, clips, strict=True):
            row_S[:samples] = clip_S[:samples]
        lengths_B = torch.tensor(lengths, device=audio_BS.device)
        x_BTD, _ = self.encoder(self.log_mel(heard_BS, lengths_B), lengths_B)
        return [x_TD[: num_patches(n)] for x_TD, n in zip(x_BTD, lengths, strict=True)]


def load_encoder(name: str) -> XaresEncoder:
    """The encoder of a model: ``"mini"``, a model folder, a hub id, or a Dasheng encoder alone (file or folder).

    ``"random:NAME"`` and ``"random-SEED:NAME"`` have the shape of that encoder, and its input statistics, which are
    measured rather than learned; all else is as before training. Float32, on the CPU.

    The class of what is returned carries the encoder's fingerprint in its name, because X-ARES files embeddings,
    heads and scores by class name alone, and takes what it finds for its own.

    Raises :class:`CheckpointError` where there is no such model or its weights do not fit.
    """
    random = _RANDOM.fullmatch(name)
    encoder = _trained(random[2] if random else name)
    if random:
        encoder = randomised(encoder, int(random[1] or 0))
    found = XaresEncoder(encoder)
    found.__class__ = type(f"OpenDasheng{found.fingerprint[:12].capitalize()}Encoder", (XaresEncoder,), {})
    return found


def _trained(name: str) -> DashengEncoder:
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "config.json").exists() and (path / _ALONE).is_file():
        path = path / _ALONE
    if path.suffix == ".safetensors":
        return load_dasheng_encoder(path)
    folder = hub.resolve(name)
    values = hub.read_config(folder, name).get("audio_encoder_config")
    config = MiDashengLMConfig(audio_encoder_config=values).audio_encoder_config
    encoder = DashengEncoder(config).eval()
    tensors = rename_dasheng(_encoder_tensors(folder))
    # A counter of training that some files lack.
    tensors.setdefault("init_bn.num_batches_tracked", torch.tensor(0))
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        words = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{name}: the audio encoder does not fit config.json ({words})") from error
    return encoder.float()


def _encoder_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of the audio encoder alone: a decoder may be thirty times as large."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise CheckpointError(
            f"{folder}: no *.safetensors file; a pickle is converted with `opendasheng export --from-pickle`"
        )
    tensors = {}
    for path in paths:
        try:
            with safe_open(path, "pt") as file:
                names = [name for name in file.keys() if name.startswith(_PREFIX)]  # noqa: SIM118
                tensors.update({name: file.get_tensor(name) for name in names})
        except SafetensorError as error:
            raise CheckpointError(f"{path}: not a safetensors file, or a damaged one ({error})") from error
    return tensors


def randomised(encoder: DashengEncoder, seed: int) -> DashengEncoder:
    """A new encoder of the same config as training begins with, but for ``init_bn``, which is a copy.

    Drawn by numpy, so that a seed means the same encoder under any torch.
    """
    config: DashengConfig = encoder.config
    random = np.random.default_rng(seed)
    fresh = DashengEncoder(config).eval()

    def draw(weight: Tensor) -> None:
        values = random.standard_normal(tuple(weight.shape), dtype=np.float32)
        weight.copy_(torch.from_numpy(values * np.float32(config.initializer_range)))

    with torch.no_grad():
        for module in fresh.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                draw(module.weight)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, LayerScale):
                module.gamma.fill_(float(config.init_values or 1.0))
        for position in (fresh.time_pos_embed, fresh.freq_pos_embed):
            draw(position)
    fresh.init_bn.load_state_dict(encoder.init_bn.state_dict())
    return fresh


def fingerprint(encoder: DashengEncoder) -> str:
    """16 hex digits of every weight and of the heads, so that embeddings are never taken for another encoder's."""
    digest = hashlib.sha256(f"heads {encoder.config.num_heads}".encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        if name == "init_bn.num_batches_tracked":
            continue
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
