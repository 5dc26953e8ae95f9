"""Waveform -> log-mel in decibels, in plain torch and always in float32 (SPEC 1.1).

Shapes: B clips, S samples, F mel frames (100 Hz), M mel bands (64), N samples of a window (512), K FFT bins (257).
"""

import math
from functools import lru_cache
from typing import Any, Final

import torch
from torch import Tensor, nn

from opendasheng.errors import AudioError
from opendasheng.lengths import HOP_SAMPLES, MIN_MEL_SAMPLES, REFLECT_SAMPLES, SAMPLE_RATE_HZ, num_frames
from opendasheng.model.configuration import NUM_MELS

WINDOW_SAMPLES: Final = 2 * REFLECT_SAMPLES
NUM_BINS: Final = WINDOW_SAMPLES // 2 + 1
MIN_POWER: Final = 1e-10
TOP_DB: Final = 120.0
# Frames transformed at a time: small enough for windows and spectra to stay in cache, and to keep hours of audio flat.
_BLOCK_FRAMES: Final = 512
# The same on a GPU, where memory is what bounds them: frames of all clips, a gigabyte with their spectra.
_FRAMES_AT_ONCE: Final = 2**17


class LogMel(nn.Module):
    """The front-end. It has no parameters and no buffers: its constants cannot be lost, cast or left on ``meta``."""

    def forward(self, audio_BS: Tensor, num_samples_B: Tensor | None = None) -> Tensor:
        """Log-mel of each clip as if it were alone, in dB: ``(B, 64, F)`` float32, F = frames of the longest.

        ``audio_BS`` is float ``(B, S)`` in [-1, 1] at 16 kHz, zero-padded on the right to the longest clip;
        ``num_samples_B`` holds the true lengths (all S when left out). Each clip is reflected at its own end and
        floored 120 dB below its own peak; frames past its end are 0. Raises :class:`AudioError` for a clip shorter
        than 257 samples, which cannot be reflected.
        """
        lengths = [audio_BS.shape[1]] * len(audio_BS) if num_samples_B is None else num_samples_B.tolist()
        for row, length in enumerate(lengths):
            if not MIN_MEL_SAMPLES <= length <= audio_BS.shape[1]:
                raise AudioError(
                    f"clip {row} of the batch has {length} samples of {audio_BS.shape[1]}; a log-mel needs "
                    f"{MIN_MEL_SAMPLES} or more: pad the clip with silence"
                )
        with torch.autocast(audio_BS.device.type, enabled=False):
            if audio_BS.is_cuda:
                return self._at_once(audio_BS.float(), lengths)
            mels_MF = [self._clip(audio_BS[row, :length].float()) for row, length in enumerate(lengths)]
        mel_BMF = audio_BS.new_zeros(len(lengths), NUM_MELS, num_frames(max(lengths)), dtype=torch.float32)
        for padded_MF, mel_MF in zip(mel_BMF, mels_MF, strict=True):
            padded_MF[:, : mel_MF.shape[1]] = mel_MF
        return mel_BMF

    def _clip(self, audio_S: Tensor) -> Tensor:
        window_N, filters_KM = _constants(audio_S.device)
        # Reflected by hand: torch's own reflection of a long row is four times slower.
        head_S, tail_S = audio_S[1:MIN_MEL_SAMPLES].flip(0), audio_S[-MIN_MEL_SAMPLES:-1].flip(0)
        frames_FN = torch.cat([head_S, audio_S, tail_S]).unfold(0, WINDOW_SAMPLES, HOP_SAMPLES)
        assert len(frames_FN) == num_frames(len(audio_S))
        blocks = []
        for block_FN in frames_FN.split(_BLOCK_FRAMES):
            blocks.append(_powers(block_FN, window_N, filters_KM))
        mel_FM = torch.cat(blocks).clamp_min(MIN_POWER).log10().mul(10.0)
        return mel_FM.clamp_min(mel_FM.max() - TOP_DB).T

    def _at_once(self, audio_BS: Tensor, lengths: list[int]) -> Tensor:
        """The same for all clips together, where many small steps would cost more than the padding."""
        window_N, filters_KM = _constants(audio_BS.device)
        longest, last_B1 = max(lengths), torch.tensor(lengths, device=audio_BS.device)[:, None] - 1
        places_BS = torch.arange(-REFLECT_SAMPLES, longest + REFLECT_SAMPLES, device=audio_BS.device).expand(
            len(lengths), -1
        )
        reflected_BS = torch.where(places_BS > last_B1, 2 * last_B1 - places_BS, places_BS).abs().clamp_max(longest - 1)
        frames_BFN = audio_BS.gather(1, reflected_BS).unfold(1, WINDOW_SAMPLES, HOP_SAMPLES)
        blocks = []
        for block_BFN in frames_BFN.split(max(1, _FRAMES_AT_ONCE // len(lengths)), dim=1):
            blocks.append(_powers(block_BFN, window_N, filters_KM))
        mel_BFM = torch.cat(blocks, dim=1).clamp_min(MIN_POWER).log10().mul(10.0)
        own_BF1 = (torch.arange(mel_BFM.shape[1], device=mel_BFM.device) < num_frames(last_B1 + 1))[..., None]
        peak_B11 = mel_BFM.masked_fill(~own_BF1, -torch.inf).amax((1, 2), keepdim=True)
        return (mel_BFM.maximum(peak_B11 - TOP_DB) * own_BF1).transpose(1, 2)


def _powers(frames_FN: Tensor, window_N: Tensor, filters_KM: Tensor) -> Tensor:
    """Mel powers ``(..., F, M)`` of frames ``(..., F, N)``."""
    parts_FK2 = torch.view_as_real(torch.fft.rfft(frames_FN * window_N)).square()
    # A sum over a last axis of two would take twice as long as all the rest together.
    return (parts_FK2[..., 0] + parts_FK2[..., 1]) @ filters_KM


@lru_cache(maxsize=16)
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Window ``(N,)`` and mel filters ``(K, M)``, float32 on ``device``, made once."""
    with torch.inference_mode(False):
        return hann_window().to(device), mel_filters().to(device)


# Type and device are spelled out below, so that no default of torch's can touch the constants: filters built under a
# bf16 default are off by up to 5.5 dB (SPEC 1.6), and tensors built under a meta default hold nothing. Steps are
# those of torchaudio, in float32 as there, so that the values are bit-equal to the reference's.
_EXACT: Final[dict[str, Any]] = {"dtype": torch.float32, "device": "cpu"}


def hann_window() -> Tensor:
    """Periodic Hann window, ``(512,)`` float32 on the CPU."""
    window_N: Tensor = torch.hann_window(WINDOW_SAMPLES, periodic=True, **_EXACT)
    return window_N


def mel_filters() -> Tensor:
    """Triangles on the HTK mel scale, 0 to 8000 Hz, not normalised by area: ``(257, 64)`` float32 on the CPU."""
    top_hz = SAMPLE_RATE_HZ // 2
    hz_K1 = torch.linspace(0, top_hz, NUM_BINS, **_EXACT)[:, None]
    corners_mel = torch.linspace(0, 2595.0 * math.log10(1.0 + top_hz / 700.0), NUM_MELS + 2, **_EXACT)
    corners_hz = 700.0 * (10.0 ** (corners_mel / 2595.0) - 1.0)
    widths_hz = corners_hz.diff()
    rising_KM = (hz_K1 - corners_hz[:-2]) / widths_hz[:-1]
    falling_KM = (corners_hz[2:] - hz_K1) / widths_hz[1:]
    return torch.minimum(rising_KM, falling_KM).clamp_min(0.0)
