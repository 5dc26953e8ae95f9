"""Bytes that a forward pass keeps for its gradients, from shapes: what autograd saves, parameters left out.

Each term is a tensor that torch saves (read off ``torch.autograd.graph.saved_tensors_hooks``, which the tests compare
with). The loss is what ``train/answering.py`` computes: logits of the answers and the position before each, whose
log-softmax is kept in float32.
"""

from dataclasses import dataclass
from typing import Final

from opendasheng.bench.plan.shapes import PATCH_VALUES, Learning, ModelShape
from opendasheng.lengths import (
    FRAMES_PER_PATCH,
    PATCHES_PER_TOKEN,
    SAMPLE_RATE_HZ,
    chunk_lengths,
    num_attended_patches,
    num_audio_tokens,
    num_frames,
    num_patches,
)

FP32: Final = 4
_TRAINING_PADDING = 0.2  # as in model/encoder.py: chunks shorter by at most this run together in training


@dataclass(frozen=True)
class Numbers:
    """Bytes of a number: ``compute`` of matrix products, ``stream`` of what runs from block to block, ``weight`` of the
    weights a block computes with. Where ``copies``, every product rounds its own copy of its input and of its weight
    (torch's autocast)."""

    compute: int
    stream: int
    weight: int
    copies: bool = False


PRECISIONS: Final = {
    "fp32": Numbers(4, 4, 4),
    "bf16": Numbers(2, 2, 2),
    "autocast": Numbers(2, 4, 4, copies=True),
}
"""``bf16`` casts the weights when they are gathered (``fully_shard`` with a mixed precision policy); ``autocast`` is
what ``Learner.computing`` does."""


@dataclass(frozen=True)
class Batch:
    """``clips`` equally long clips that one GPU takes at once, each with a prompt and an answer.

    ``masked``: rows are of unequal length, as nearly always, so that the decoder gets a mask and repeats its keys and
    values for all heads. ``on_gpu``: dropout keeps a byte for each number, elsewhere a whole number.
    """

    clips: int
    clip_seconds: float = 10.0
    prompt_tokens: int = 30
    answer_tokens: int = 30
    masked: bool = True
    on_gpu: bool = True

    @property
    def samples(self) -> int:
        """Of one clip."""
        return round(self.clip_seconds * SAMPLE_RATE_HZ)

    @property
    def audio_seconds(self) -> float:
        """Of all clips."""
        return self.clips * self.clip_seconds

    @property
    def patches(self) -> int:
        """Of all clips."""
        return self.clips * num_patches(self.samples)

    @property
    def audio_tokens(self) -> int:
        """Of all clips."""
        return self.clips * num_audio_tokens(self.samples)

    @property
    def row(self) -> int:
        """Positions of one conversation."""
        return num_audio_tokens(self.samples) + self.prompt_tokens + self.answer_tokens

    @property
    def positions(self) -> int:
        """Of all conversations."""
        return self.clips * self.row

    @property
    def scored(self) -> int:
        """Positions with logits: the answers, and the one before each."""
        return self.clips * (self.answer_tokens + 1)

    def chunks(self, patches_per_chunk: int) -> list[tuple[int, bool]]:
        """The chunks of one clip as the encoder runs them: their length with padding, and whether under a mask."""
        lengths = chunk_lengths(num_patches(self.samples), patches_per_chunk)
        joins = lengths[-1] >= (1 - _TRAINING_PADDING) * lengths[0]
        hidden = num_attended_patches(self.samples) < num_patches(self.samples) or (joins and lengths[-1] < lengths[0])
        full, last = lengths[:-1], lengths[-1]
        return [(length, hidden and joins) for length in full] + [(lengths[0] if joins else last, hidden)]


@dataclass(frozen=True)
class Kept:
    """Bytes kept by the pieces of a model. ``weight_copies`` are weights that autocast rounded; ``cached`` are others
    that no gradient needs, but that autocast holds until the forward pass is done. Beside these a block that is
    computed again holds ``encoder_block`` or ``decoder_layer`` while its gradients come, and any block
    ``encoder_working`` or ``decoder_working`` for the gradients of its widest rows."""

    encoder: int
    projector: int
    decoder: int
    logits: int
    weight_copies: int
    cached: int
    encoder_block: int
    decoder_layer: int
    encoder_working: int
    decoder_working: int

    @property
    def total(self) -> int:
        """Of all that autograd saves."""
        return self.encoder + self.projector + self.decoder + self.logits + self.weight_copies


def kept(shape: ModelShape, learns: Learning, batch: Batch, numbers: Numbers, *, checkpointing: bool) -> Kept:
    """What a forward pass keeps; with ``checkpointing`` each block of encoder and decoder its input alone."""
    encoder_block = _encoder_block(shape, batch, numbers)
    decoder_layer = _decoder_layer(shape, learns, batch, numbers)
    computed = batch.clips * sum(length for length, _ in batch.chunks(shape.encoder.patches_per_chunk))
    if checkpointing:
        blocks = shape.encoder.depth * numbers.stream * shape.encoder.width * computed
        layers = shape.decoder.depth * numbers.stream * shape.decoder.width * batch.positions
    else:
        blocks, layers = shape.encoder.depth * encoder_block, shape.decoder.depth * decoder_layer
    copies, cached = _weight_copies(shape, learns, numbers, checkpointing=checkpointing)
    return Kept(
        encoder=blocks + _around_blocks(shape, batch, numbers),
        projector=_projector(shape, batch, numbers),
        decoder=layers + _around_layers(shape, learns, batch, numbers),
        logits=batch.scored * (FP32 * shape.decoder.vocabulary + 8),
        weight_copies=copies,
        cached=cached,
        encoder_block=encoder_block if checkpointing else 0,
        decoder_layer=decoder_layer if checkpointing else 0,
        encoder_working=2 * numbers.compute * computed * shape.encoder.width * shape.encoder.mlp_ratio,
        decoder_working=2 * numbers.compute * batch.positions * shape.decoder.hidden,
    )


def _encoder_block(shape: ModelShape, batch: Batch, numbers: Numbers) -> int:
    """Two norms keep their inputs and two statistics; then the inputs of the four products, q, k, v, the sums of the
    softmax, and what GELU took."""
    width, compute = shape.encoder.width, numbers.compute
    patch = width * (2 * numbers.stream + compute * (6 + 2 * shape.encoder.mlp_ratio))
    patch += 4 * FP32 + FP32 * shape.encoder.num_heads
    chunks = batch.chunks(shape.encoder.patches_per_chunk)
    return batch.clips * sum(length * (patch + (compute if masked else 0)) for length, masked in chunks)


def _around_blocks(shape: ModelShape, batch: Batch, numbers: Numbers) -> int:
    """Log-mels before and after their batch norm, and the last norm."""
    mels = batch.clips * num_frames(batch.samples) * PATCH_VALUES // FRAMES_PER_PATCH
    last = batch.patches * (numbers.stream * shape.encoder.width + 2 * FP32)
    return mels * (numbers.stream + numbers.compute) + last


def _projector(shape: ModelShape, batch: Batch, numbers: Numbers) -> int:
    """The inputs of both products, and what GELU took."""
    # Without copies one tensor, with the patches that fill no token.
    grouped = batch.audio_tokens * PATCHES_PER_TOKEN if numbers.copies else batch.patches
    return numbers.compute * (grouped * shape.encoder.width + 2 * batch.audio_tokens * shape.decoder.width)


def _decoder_layer(shape: ModelShape, learns: Learning, batch: Batch, numbers: Numbers) -> int:
    decoder, full, compute = shape.decoder, learns.decoder_in_full, numbers.compute
    norms = 2 * (FP32 * decoder.width + FP32 + (numbers.stream * decoder.width if full else 0))
    if shape.head_norms:
        normed = shape.queries + shape.keys
        norms += FP32 * (normed + decoder.num_heads + decoder.num_kv_heads) + (compute * normed if full else 0)
    heard = 2 * (shape.queries if batch.masked else shape.keys)
    attention = compute * (2 * shape.queries + heard) + FP32 * decoder.num_heads
    read = 5 if numbers.copies else 2  # by q, k, v, and by the two that gate
    inputs = compute * (read * decoder.width + decoder.hidden) if full else 0
    gated = 3 * compute * decoder.hidden
    position = norms + attention + inputs + gated + _adapters(learns, batch, numbers)
    mask = batch.clips * batch.row**2 * compute if batch.masked else 0
    return batch.positions * position + mask


def _adapters(learns: Learning, batch: Batch, numbers: Numbers) -> int:
    """Of one position: each adapter keeps what its dropout drew and left, and what its first matrix gave."""
    total = 0
    for linear in learns.adapted:
        inner = linear.name.endswith(("o_proj", "down_proj"))  # fed by products, the others by norms
        drawn = 1 if batch.on_gpu else numbers.compute if inner else numbers.stream
        total += linear.inputs * (drawn + numbers.compute) + learns.rank * numbers.compute
    return total


def _around_layers(shape: ModelShape, learns: Learning, batch: Batch, numbers: Numbers) -> int:
    """The last norm and the input of the head, rotary angles, and where audio goes among the text."""
    width = shape.decoder.width
    position = FP32 * width + FP32 + 1 + 2 * numbers.stream * shape.decoder.head_size
    if not learns.decoder_in_full:
        return batch.positions * position
    # The end of a single row is a view of all of it, of several rows a copy.
    of_head = batch.scored if batch.clips > 1 or numbers.copies else batch.positions
    return batch.positions * (position + numbers.stream * width + 8) + of_head * numbers.compute * width


def _weight_copies(shape: ModelShape, learns: Learning, numbers: Numbers, *, checkpointing: bool) -> tuple[int, int]:
    """Those kept until the gradients are done, with checkpointing of what lies outside the blocks alone; and those of
    blocks that learn, which are held all the same while the forward pass runs."""
    if not numbers.copies:
        return 0, 0
    width, depth = shape.encoder.width, shape.decoder.depth
    blocks = shape.encoder.depth * width * width * (4 + 2 * shape.encoder.mlp_ratio)
    layers, adapters = depth * sum(linear.weights for linear in shape.linears()), depth * learns.layer_adapters()
    every = shape.linear_weights() + adapters
    if not checkpointing:
        return numbers.compute * every, 0
    learning = blocks + adapters + (layers if learns.decoder_in_full else 0)
    return numbers.compute * (every - blocks - layers - adapters), numbers.compute * learning
