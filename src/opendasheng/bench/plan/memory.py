"""Bytes on each GPU, and bytes that each sends: a whole model on every GPU, or one spread by ``fully_shard``.

Weights are float32, those that learn and those that do not, as in ``train/``. Spread, a GPU holds its part of weights,
gradients and optimiser, and gathers a unit when it is needed: each block is one, given back after use, and all that
lies outside the blocks is another, held from its first use to the end of the step.
"""

from dataclasses import dataclass
from typing import Final

from opendasheng.bench.plan.activations import FP32, PRECISIONS, Batch, Kept, kept
from opendasheng.bench.plan.assumptions import GPUS_A_MACHINE, Machine, Way
from opendasheng.bench.plan.shapes import Learning, ModelShape

# Two moments: float32, or a byte each with a float32 scale for every 256.
_STATE_BYTES: Final = {"fp32": 8.0, "8bit": 2 * (1 + FP32 / 256)}


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU. ``gathered`` are weights of units that are whole for a while, ``in_flight`` their gradients on
    the way, ``loss`` what the gradient of the logits takes beside what is ``kept``. ``peak`` is the most at one
    ``moment``."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    in_flight: int
    loss: int
    kept: Kept
    moment: str
    peak: int


@dataclass(frozen=True)
class Units:
    """Parameters of what is gathered together: a block of the encoder, a layer of the decoder, and all outside of both;
    and those of a layer and outside that learn. An encoder learns in full."""

    block: int
    layer: int
    layer_learning: int
    rest: int
    rest_learning: int

    @classmethod
    def of(cls, shape: ModelShape, learns: Learning) -> "Units":
        """Those of a model whose blocks are units."""
        block, plain = shape.encoder_block_parameters(), shape.decoder_layer_parameters()
        adapters = learns.layer_adapters()
        layer, layer_learning = plain + adapters, (plain if learns.decoder_in_full else 0) + adapters
        blocks, depth = shape.encoder.depth * block, shape.decoder.depth
        return cls(
            block=block,
            layer=layer,
            layer_learning=layer_learning,
            rest=learns.parameters(shape) - blocks - depth * layer,
            rest_learning=learns.learning(shape) - blocks - depth * layer_learning,
        )


def memory(shape: ModelShape, learns: Learning, batch: Batch, way: Way, gpus: int) -> Memory:
    """What one of ``gpus`` GPUs holds in a step.

    While gradients come, what is kept goes: the most is taken of the moments between which both change evenly. The
    gradients of what lies outside the blocks are sent last, when its weights are given back.
    """
    numbers = PRECISIONS[way.precision]
    saved = kept(shape, learns, batch, numbers, checkpointing=way.checkpointing)
    units, learning = Units.of(shape, learns), learns.learning(shape)
    share = way.spread_over(gpus)
    weights, gradients = FP32 * learns.parameters(shape) // share, FP32 * learning // share
    state = int(_STATE_BYTES[way.optimizer] * learning) // share
    loss = 2 * FP32 * shape.decoder.vocabulary * batch.scored
    head = shape.embedding_parameters() if learns.decoder_in_full else 0
    if way.layout == "whole":
        rest = block = layer = sent_block = sent_layer = sent_first = sent_rest = 0
        first = FP32 * head
    else:
        rest, block, layer = (numbers.weight * each for each in (units.rest, 2 * units.block, 2 * units.layer))
        # Gradients of a block, and two of them as float32: one that is sent, and one before it that may still be.
        sent_block, sent_layer = ((numbers.weight + 2 * FP32) * each for each in (units.block, units.layer_learning))
        sent_first = (numbers.weight + FP32) * units.layer_learning  # none before it
        sent_rest = (numbers.weight + FP32) * units.rest_learning
        first = numbers.weight * head
    held = weights + state + (gradients if way.accumulate > 1 else 0)
    moments = {
        "loss": held + rest + layer + saved.total + saved.cached + loss,
        "last block": held
        + rest
        + layer
        + saved.total
        - saved.logits
        + first
        + sent_first
        + saved.decoder_layer
        + saved.decoder_working,
        "first block": weights
        + state
        + gradients
        + rest
        + block
        + first
        + sent_block
        + saved.encoder_block
        + saved.encoder_working,
        "the rest": weights + state + gradients + sent_rest,
        "exchange": weights + state + gradients * (2 if way.layout == "whole" and gpus > 1 else 1),
    }
    moment = max(moments, key=lambda name: moments[name])
    return Memory(
        weights=weights,
        gradients=gradients,
        optimizer=state,
        gathered=rest + max(block, layer),
        in_flight=max(sent_block, sent_layer, sent_rest),
        loss=loss,
        kept=saved,
        moment=moment,
        peak=moments[moment],
    )


@dataclass(frozen=True)
class Traffic:
    """Bytes that each GPU sends in a step: ``meanwhile``, beside the multiplications, and ``afterwards``, when all
    gradients are there; each ``within`` a machine or not."""

    meanwhile: int
    meanwhile_within: bool
    afterwards: int
    afterwards_within: bool

    def seconds(self, machine: Machine) -> tuple[float, float]:
        """Of both."""
        return (
            self.meanwhile / machine.bytes_a_second(within=self.meanwhile_within),
            self.afterwards / machine.bytes_a_second(within=self.afterwards_within),
        )


def traffic(shape: ModelShape, learns: Learning, way: Way, gpus: int) -> Traffic:
    """Spread, a GPU sends its parts of the weights before the forward pass and again before the gradients of a block,
    and gradients in float32; machines that each hold all add up their gradients afterwards, each GPU its part."""
    numbers, units = PRECISIONS[way.precision], Units.of(shape, learns)
    share, learning = way.spread_over(gpus), learns.learning(shape)
    gathers = numbers.weight * (2 * learns.parameters(shape) - units.rest) if share > 1 else 0
    spread = way.accumulate * (gathers + FP32 * learning) * (share - 1) / share
    copies = gpus // share
    summed = 2 * FP32 * (learning / share) * (copies - 1) / copies
    return Traffic(int(spread), share <= GPUS_A_MACHINE, int(summed), gpus <= GPUS_A_MACHINE)
