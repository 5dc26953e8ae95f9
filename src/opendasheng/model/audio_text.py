"""Audio and text in one space: GLAP (SPEC 10.1; arXiv 2506.11350), and small models of the same form.

Two towers, each behind Linear, ReLU, Linear, give vectors of length 1; the cosine of two of them tells how well a text
fits a clip.

Shapes: B clips, N texts, F mel frames, M mel bands, L tokens of the longest text, D width of a tower, E of the space.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from opendasheng.audio import Waveform
from opendasheng.lengths import PADDED_SAMPLES, num_frames, num_patches
from opendasheng.model.encoder import DashengEncoder
from opendasheng.model.mel import LogMel

ENGLISH = "eng_Latn"

Pooling = Literal["chunks", "patches"]
"""How a clip of several chunks of the encoder becomes one vector. ``chunks``: the mean of the means of chunks, the
last of which is filled up with zeros, as published. ``patches``: the mean of all patches, so that no chunk counts for
more."""


class Texts(Protocol):
    """Texts as a tower takes them."""

    def __call__(self, texts: Sequence[str], language: str = ENGLISH) -> tuple[Tensor, Tensor]:
        """Ids, int64 ``(N, L)``, and a mask ``(N, L)``, True for tokens; ``language`` is a code of FLORES-200."""
        ...


class AudioTextModel(nn.Module):
    """Both towers. ``text_encoder`` takes what :class:`Texts` gives, and gives ``(N, D)``."""

    def __init__(
        self, audio_encoder: DashengEncoder, text_encoder: nn.Module, text_dim: int, embed_size: int, pooling: Pooling
    ) -> None:
        super().__init__()
        self.audio_encoder = audio_encoder
        self.text_encoder = text_encoder
        self.embed_size = embed_size
        self.pooling = pooling
        self.audio_proj = _projection(audio_encoder.config.embed_dim, embed_size)
        self.text_proj = _projection(text_dim, embed_size)

    def embed_audio(self, mel_BMF: Tensor, num_samples_B: Tensor) -> Tensor:
        """``(B, E)`` of clips of ``num_samples_B`` samples, whose log-mels are in dB."""
        return normalize(self.audio_proj(self.pooled(mel_BMF, num_samples_B)), dim=-1)

    def pooled(self, mel_BMF: Tensor, num_samples_B: Tensor) -> Tensor:
        """What goes into the projection of audio, ``(B, D)``."""
        mean = self._mean_of_chunks if self.pooling == "chunks" else self._mean_of_patches
        return mean(mel_BMF, num_samples_B)

    def embed_texts(self, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
        """``(N, E)``."""
        return normalize(self.text_proj(self.text_encoder(ids_NL, mask_NL)), dim=-1)

    def _mean_of_patches(self, mel_BMF: Tensor, num_samples_B: Tensor) -> Tensor:
        x_BTD, _ = self.audio_encoder(mel_BMF, num_samples_B)
        counts_B1 = torch.tensor([[num_patches(int(samples))] for samples in num_samples_B], device=x_BTD.device)
        mean_BD: Tensor = x_BTD.sum(1) / counts_B1.clamp_min(1)  # rows past a clip's patches are 0
        return mean_BD

    def _mean_of_chunks(self, mel_BMF: Tensor, num_samples_B: Tensor) -> Tensor:
        frames = [int(num_frames(int(samples))) for samples in num_samples_B]
        return torch.stack([self._mean_of(mel_MF[:, :count]) for mel_MF, count in zip(mel_BMF, frames, strict=True)])

    def _mean_of(self, mel_MF: Tensor) -> Tensor:
        """``(D,)`` of one clip."""
        size = self.audio_encoder.config.target_length
        if mel_MF.shape[1] > size:
            # Published are zeros behind what init_bn gives; these values come out of it as zeros.
            fill_M1 = _zero_of(self.audio_encoder.init_bn)[:, None]
            mel_MF = pad(mel_MF - fill_M1, (0, -mel_MF.shape[1] % size)) + fill_M1
        chunks = torch.stack(mel_MF.split(size, dim=1))
        mean_D: Tensor = self.audio_encoder.run(self.audio_encoder.embed(chunks)).mean(1).mean(0)
        return mean_D


class AudioTextScorer:
    """Scores of clips and texts with a model in evaluation mode."""

    def __init__(self, model: AudioTextModel, texts: Texts, device: torch.device | str = "cpu") -> None:
        self.model = model.eval().to(device)
        self._texts = texts
        self._device = torch.device(device)
        self._log_mel = LogMel().to(device)

    @torch.inference_mode()
    def encode_audio(self, clips: Sequence[Waveform]) -> np.ndarray:
        """float32 ``(B, E)``, of length 1 each; a clip is float32 ``(S,)`` at 16 kHz, shorter ones than 0.2 s are
        filled up with zeros."""
        if not clips:
            return np.zeros((0, self.model.embed_size), dtype=np.float32)
        counts = [max(len(clip), PADDED_SAMPLES) for clip in clips]
        values = torch.zeros(len(clips), max(counts))
        for row, clip in zip(values, clips, strict=True):
            row[: len(clip)] = torch.from_numpy(np.ascontiguousarray(clip, dtype=np.float32))
        lengths = torch.tensor(counts)
        mel_BMF = self._log_mel(values.to(self._device), lengths.to(self._device))
        return _to_numpy(self.model.embed_audio(mel_BMF, lengths))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], language: str = ENGLISH) -> np.ndarray:
        """float32 ``(N, E)``, of length 1 each."""
        if not texts:
            return np.zeros((0, self.model.embed_size), dtype=np.float32)
        ids_NL, mask_NL = self._texts(texts, language)
        return _to_numpy(self.model.embed_texts(ids_NL.to(self._device), mask_NL.to(self._device)))

    def score(self, clips: Sequence[Waveform], texts: Sequence[str], language: str = ENGLISH) -> np.ndarray:
        """How well each text fits each clip: float32 ``(B, N)``, 100 times the cosine, as published."""
        found: np.ndarray = 100 * self.encode_audio(clips) @ self.encode_texts(texts, language).T
        return found


def auc(matched: Sequence[float], others: Sequence[float]) -> float:
    """How often a score of ``matched`` is above one of ``others``, ties counting a half: the area under the ROC
    curve."""
    ordered = np.sort(np.asarray(others, dtype=np.float64))
    below = np.searchsorted(ordered, matched, side="left") + np.searchsorted(ordered, matched, side="right")
    return float(below.mean() / (2 * len(ordered)))


def _projection(width: int, embed_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, embed_size), nn.ReLU(), nn.Linear(embed_size, embed_size))


def _zero_of(bn: nn.BatchNorm2d) -> Tensor:
    """What a normalisation makes 0 of, ``(M,)``."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    return bn.running_mean - bn.bias * (bn.running_var + bn.eps).sqrt() / bn.weight


def _to_numpy(embedded: Tensor) -> np.ndarray:
    found: np.ndarray = embedded.float().cpu().numpy()
    return found
