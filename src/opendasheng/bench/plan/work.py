"""Multiply-accumulates of a training step, from shapes: what ``bench/macs.py`` counts, for gradients too.

A product whose weight learns costs as much again for the gradient of its input and as much again for that of its
weight; a frozen one only the first. Attention, whose both factors are computed, costs twice its forward pass. With
checkpointing each block is computed again up to its last product, whose result no gradient needs.
"""

from dataclasses import dataclass

from opendasheng.bench.plan.activations import Batch
from opendasheng.bench.plan.shapes import PATCH_VALUES, Learning, ModelShape
from opendasheng.lengths import PATCHES_PER_TOKEN


@dataclass(frozen=True)
class Work:
    """MACs of one batch."""

    forward: int
    backward: int
    recomputed: int

    @property
    def total(self) -> int:
        """Of a step over the batch."""
        return self.forward + self.backward + self.recomputed


def batch_macs(shape: ModelShape, learns: Learning, batch: Batch, *, checkpointing: bool) -> Work:
    """What one batch costs. Counted for the encoder are its patches with their padding; of the decoder all positions
    and all keys, hidden or not; of its head the answers and the position before each."""
    encoder, decoder = shape.encoder, shape.decoder
    lengths = [length for length, _ in batch.chunks(encoder.patches_per_chunk)]
    computed, pairs = batch.clips * sum(lengths), batch.clips * sum(length * length for length in lengths)
    square = encoder.width * encoder.width
    block = computed * square * (4 + 2 * encoder.mlp_ratio) + 2 * pairs * encoder.width
    embed = batch.patches * PATCH_VALUES * encoder.width
    projector = batch.audio_tokens * (PATCHES_PER_TOKEN * encoder.width * decoder.width + decoder.width * decoder.width)
    attention = 2 * batch.clips * batch.row**2 * shape.queries
    linear = batch.positions * sum(each.weights for each in shape.linears())
    adapters = batch.positions * learns.layer_adapters()
    head = batch.scored * shape.embedding_parameters()
    heard = embed + encoder.depth * block + projector
    forward = heard + decoder.depth * (attention + linear + adapters) + head
    of_frozen = 2 if learns.decoder_in_full else 1
    backward = 2 * heard + of_frozen * head
    backward += decoder.depth * (2 * attention + of_frozen * linear + 2 * adapters)
    recomputed = 0
    if checkpointing:
        last = computed * square * encoder.mlp_ratio
        recomputed = encoder.depth * (block - last)
        recomputed += decoder.depth * (attention + linear + adapters - _last(shape, learns, batch))
    return Work(forward, backward, recomputed)


def _last(shape: ModelShape, learns: Learning, batch: Batch) -> int:
    """The last product of a decoder layer: that of its MLP, or of the adapter beside it."""
    down = shape.linears()[-1]
    if down in learns.adapted:
        return batch.positions * learns.rank * down.outputs
    return batch.positions * down.weights
