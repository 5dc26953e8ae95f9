"""Multiply-accumulates (MACs) from shapes alone: what a result costs, whatever the machine.

Counted: matrix products, convolutions, and the two products of attention over all keys, hidden by a causal mask or not,
as torch's own counter does (a kernel may skip half of a prefill's: 1 % for a 7B decoder and 30 s). Not counted: norms,
activations, softmax, additions, tables of rotary angles, look-ups of embeddings, the log-mel, and padding that an
implementation adds. One MAC is two floating-point operations.

Shapes of released models: SPEC 2 (Dasheng), SPEC 4.1 (the 7B decoder), and the defaults of transformers'
``Qwen2_5OmniAudioEncoderConfig``, which are those of Qwen2.5-Omni-7B.
"""

from dataclasses import dataclass
from typing import Final

from opendasheng.lengths import (
    FRAMES_PER_PATCH,
    HOP_SAMPLES,
    PATCHES_PER_CHUNK,
    PATCHES_PER_TOKEN,
    SAMPLE_RATE_HZ,
    chunk_lengths,
    num_audio_tokens,
    num_patches,
)

_NUM_MELS: Final = 64


@dataclass(frozen=True)
class DashengShape:
    """A Dasheng encoder; its MLP is ``mlp_ratio`` times as wide as it is."""

    width: int
    depth: int
    num_heads: int
    mlp_ratio: int = 4
    patches_per_chunk: int = PATCHES_PER_CHUNK


@dataclass(frozen=True)
class OmniShape:
    """An audio encoder of Qwen2.5-Omni; ``window_frames`` mel frames (100 Hz) attend to one another."""

    width: int = 1280
    depth: int = 32
    num_heads: int = 20
    hidden: int = 5120
    output: int = 3584
    num_mels: int = 128
    window_frames: int = 200


@dataclass(frozen=True)
class DecoderShape:
    """A text decoder of the Qwen2 or Qwen3 kind: grouped-query attention and a gated MLP of three matrices."""

    width: int
    depth: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    hidden: int
    vocabulary: int


DASHENG: Final = {
    "tiny": DashengShape(32, 2, 2),
    "base": DashengShape(768, 12, 12),
    "0.6b": DashengShape(1280, 32, 16),
    "1.2b": DashengShape(1536, 40, 24),
}
OMNI_7B: Final = OmniShape()
OMNI_TINY: Final = OmniShape(width=32, depth=2, num_heads=2, hidden=128, output=64)
QWEN25_7B: Final = DecoderShape(3584, 28, 28, 4, 128, 18_944, 152_064)


def dasheng_macs(shape: DashengShape, num_samples: int) -> int:
    """The encoder on a clip of ``num_samples`` at 16 kHz, attention within chunks (SPEC 1.4)."""
    patches, width = num_patches(num_samples), shape.width
    embed = patches * _NUM_MELS * FRAMES_PER_PATCH * width
    linear = patches * width * width * (4 + 2 * shape.mlp_ratio)
    attention = sum(
        _attention_macs(length, length, width) for length in chunk_lengths(patches, shape.patches_per_chunk)
    )
    return embed + shape.depth * (linear + attention)


def projector_macs(in_width: int, out_width: int, num_samples: int) -> int:
    """The audio projector on a clip: five patches side by side, then two matrices (SPEC 3)."""
    return num_audio_tokens(num_samples) * (PATCHES_PER_TOKEN * in_width * out_width + out_width * out_width)


def omni_macs(shape: OmniShape, num_frames: int) -> int:
    """Qwen2.5-Omni's audio encoder on ``num_frames`` mel frames: two convolutions over windows of 2 s, the second of
    stride 2, attention within the window, the mean of every two steps, and a projection to 25 Hz."""
    windows = chunk_lengths(num_frames, shape.window_frames)
    lengths = [(frames + 1) // 2 for frames in windows]
    width, steps = shape.width, sum(lengths)
    convolutions = 3 * width * (num_frames * shape.num_mels + steps * width)
    linear = steps * (4 * width * width + 2 * width * shape.hidden)
    attention = sum(_attention_macs(length, length, width) for length in lengths)
    projection = (num_frames + 1) // 2 // 2 * width * shape.output
    return convolutions + shape.depth * (linear + attention) + projection


def prefill_macs(shape: DecoderShape, num_tokens: int) -> int:
    """The decoder on a prompt of ``num_tokens``, with logits of the last of them alone."""
    return _decoder_macs(shape, num_tokens, num_tokens)


def decode_macs(shape: DecoderShape, num_keys: int) -> int:
    """One further token, which sees ``num_keys`` tokens, itself included."""
    return _decoder_macs(shape, 1, num_keys)


def _decoder_macs(shape: DecoderShape, num_tokens: int, num_keys: int) -> int:
    queries, keys = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    linear = num_tokens * shape.width * (2 * queries + 2 * keys + 3 * shape.hidden)
    return shape.depth * (linear + _attention_macs(num_tokens, num_keys, queries)) + shape.width * shape.vocabulary


def _attention_macs(num_queries: int, num_keys: int, width: int) -> int:
    return 2 * num_queries * num_keys * width


@dataclass(frozen=True)
class Row:
    """MACs of one piece of work, by OpenDasheng's model and by Qwen2.5-Omni's."""

    work: str
    ours: int
    theirs: int


# Text around the audio: a prompt such as "Caption the audio." with its chat markers.
_TEXT_TOKENS: Final = 30
_OMNI_TOKEN_SAMPLES: Final = SAMPLE_RATE_HZ // 25


def table() -> list[Row]:
    """The released sizes side by side: Dasheng-0.6B and Qwen2.5-Omni's encoder, each with the same 7B decoder.

    Audio makes 5 tokens a second here and 25 there; 30 text tokens come with it.
    """
    shape, decoder = DASHENG["0.6b"], QWEN25_7B
    encoders = {
        seconds: (
            dasheng_macs(shape, seconds * SAMPLE_RATE_HZ),
            omni_macs(OMNI_7B, seconds * SAMPLE_RATE_HZ // HOP_SAMPLES),
        )
        for seconds in (1, 10, 30)
    }
    samples = 30 * SAMPLE_RATE_HZ
    tokens = num_audio_tokens(samples) + _TEXT_TOKENS, samples // _OMNI_TOKEN_SAMPLES + _TEXT_TOKENS
    prefill = prefill_macs(decoder, tokens[0]), prefill_macs(decoder, tokens[1])
    ours = encoders[30][0] + projector_macs(shape.width, decoder.width, samples) + prefill[0]
    return [
        *(Row(f"encoder, {seconds} s", *macs) for seconds, macs in encoders.items()),
        Row(f"7B prefill, 30 s ({tokens[0]} and {tokens[1]} tokens)", *prefill),
        Row("7B, one token after it", decode_macs(decoder, tokens[0] + 1), decode_macs(decoder, tokens[1] + 1)),
        Row("7B first token, 30 s", ours, encoders[30][1] + prefill[1]),
    ]
