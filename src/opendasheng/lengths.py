"""Samples -> mel frames -> encoder patches -> audio tokens: the only place with that arithmetic (SPEC 1.2).

Rates: audio 16 000 Hz, mel frames 100 Hz, patches 25 Hz, audio tokens 5 Hz. Every function takes and returns plain
integers (or arrays of them: only ``//``, ``+`` and comparisons are used, so numpy arrays and tensors work too).
"""

from typing import Final, TypeVar

SAMPLE_RATE_HZ: Final = 16_000
HOP_SAMPLES: Final = 160
FRAMES_PER_PATCH: Final = 4
PATCHES_PER_TOKEN: Final = 5
PATCHES_PER_CHUNK: Final = 252  # 10.08 s: the learned time positions of the encoder

# Half an STFT window: reflecting this many samples needs at least one sample more than that.
REFLECT_SAMPLES: Final = 256
MIN_MEL_SAMPLES: Final = REFLECT_SAMPLES + 1
# The shortest clip that yields a token (3040), and what shorter ones are zero-padded to before the model hears them.
MIN_TOKEN_SAMPLES: Final = (FRAMES_PER_PATCH * PATCHES_PER_TOKEN - 1) * HOP_SAMPLES
PADDED_SAMPLES: Final = FRAMES_PER_PATCH * PATCHES_PER_TOKEN * HOP_SAMPLES

Count = TypeVar("Count")


def num_frames(num_samples: Count) -> Count:
    """Mel frames of a clip: the STFT is centred, so a clip of no whole hop still has one frame."""
    return 1 + num_samples // HOP_SAMPLES  # type: ignore[operator,return-value]


def num_patches(num_samples: Count) -> Count:
    """Encoder patches: whole groups of four frames; the 1-3 frames left over are dropped."""
    return num_frames(num_samples) // FRAMES_PER_PATCH  # type: ignore[operator,return-value]


def num_attended_patches(num_samples: Count) -> Count:
    """Patches that others may attend to: those wholly inside the clip.

    One less than :func:`num_patches` when ``num_samples % 640 >= 480``: the last patch then still passes through the
    encoder, as a query, but no patch sees it (SPEC 1.5, point 1).
    """
    return num_samples // (HOP_SAMPLES * FRAMES_PER_PATCH)  # type: ignore[operator,return-value]


def num_audio_tokens(num_samples: Count) -> Count:
    """Audio tokens of a clip of ``num_samples`` samples at 16 kHz; 0 below 3040 samples (0.19 s).

    Groups of five patches are counted over the whole clip, across chunk borders (SPEC 1.2, 1.4).
    """
    return num_patches(num_samples) // PATCHES_PER_TOKEN  # type: ignore[operator,return-value]


def chunk_lengths(patches: int, patches_per_chunk: int = PATCHES_PER_CHUNK) -> list[int]:
    """Patches in each chunk of a clip: 252 in all but the last, which is as long as what remains (SPEC 1.2)."""
    full, rest = divmod(patches, patches_per_chunk)
    return [patches_per_chunk] * full + ([rest] if rest else [])


def seconds(num_samples: int) -> float:
    """Duration of a clip in seconds."""
    return num_samples / SAMPLE_RATE_HZ
