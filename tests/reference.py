"""The golden data: numbers that the reference computed from tiny random weights, and the signal they belong to."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent / "golden"
META = json.loads((FOLDER / "meta.json").read_text())
LENGTHS: dict[str, int] = META["lens"]


@cache
def tensors(name: str) -> dict[str, Tensor]:
    """All tensors of ``NAME.safetensors``."""
    return load_file(FOLDER / f"{name}.safetensors")


@cache
def signal() -> Tensor:
    """31 s at 16 kHz, ``(496000,)`` float32: silence, tones, a sweep, noise."""
    pcm = np.load(FOLDER / "waveform_master_int16.npz")["pcm"]
    return torch.from_numpy(pcm.astype(np.float32) / 32768)


def clips(num_samples: list[int]) -> tuple[Tensor, Tensor]:
    """The first ``n`` samples of the signal for each n, padded together as the processor pads, and their lengths."""
    audio = torch.zeros(len(num_samples), max(num_samples))
    for row, samples in zip(audio, num_samples, strict=True):
        row[:samples] = signal()[:samples]
    return audio, torch.tensor(num_samples)


def config(decoder: str = "q25") -> dict[str, object]:
    """config.json of a golden model: ``q25`` as in the 7B release, ``q3`` with a tied Qwen3 head."""
    model_type = {"q25": "qwen2_5_omni_text", "q3": "qwen3"}[decoder]
    return {
        "model_type": "midashenglm",
        "architectures": ["MiDashengLMModel"],
        "audio_encoder_config": META["cfg_encoder"],
        "text_config": META[f"decoder_{decoder}"] | {"model_type": model_type},
        "subsample_factor": 5,
        "audio_token_id": META["token_ids"]["AUDIO"],
        "dtype": "float32",
    }


def weights(decoder: str = "q25") -> dict[str, Tensor]:
    """All tensors of a golden model under the released names."""
    name = {"q25": "tiny_decoder_qwen25omni", "q3": "tiny_decoder_qwen3"}[decoder]
    return tensors("tiny_audio_weights") | tensors(name)
