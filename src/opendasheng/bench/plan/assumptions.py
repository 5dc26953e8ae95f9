"""What a plan takes as given: the paper's hours and batches, and figures of machines that are assumed, not measured."""

from dataclasses import dataclass
from typing import Final, Literal

PLANNED: Final = ("align", "pretrain", "sft")

HOURS: Final = {"align": 3 * 38_000, "pretrain": 1.4 * 1_100_000, "sft": 352_000}
"""Hours that a stage hears, all epochs together (paper 3.2)."""

CLIPS: Final = {"align": 32, "pretrain": 10, "sft": 8}
"""Clips of a batch on one GPU: 256 on 8 GPUs (paper 4), and Table 4 read as a figure for each GPU (SPEC 9.5)."""

Precision = Literal["bf16", "autocast", "fp32"]
Optimizer = Literal["fp32", "8bit"]
Layout = Literal["sharded", "hybrid", "whole"]

GPUS_A_MACHINE: Final = 8


@dataclass(frozen=True)
class Machine:
    """``gpus`` GPUs. ``share`` is the part of ``peak_tflops`` (dense, 16 bit) that the multiplications of a step reach,
    recomputed ones too; ``gigabytes_a_second`` is what a GPU sends while all exchange, and 0 stands for 300 within a
    machine of eight and 40 between machines; ``reserve_gib`` is for what is not counted: the runtime, buffers of the
    network, what kernels take while they run, and gaps of the allocator."""

    gpus: int = 8
    memory_gib: float = 78.0
    reserve_gib: float = 6.0
    peak_tflops: float = 989.0
    share: float = 0.4
    gigabytes_a_second: float = 0.0

    def bytes_a_second(self, *, within: bool) -> float:
        """What a GPU sends in a second, ``within`` its machine or to others."""
        return 1e9 * (self.gigabytes_a_second or (300.0 if within else 40.0))


@dataclass(frozen=True)
class Way:
    """How a step is made. ``layout``: parameters, gradients and optimiser are spread by ``fully_shard`` over all GPUs
    (``sharded``) or over those of each machine (``hybrid``), a unit for each block and one for the rest; or each GPU
    holds all (``whole``). ``accumulate`` batches on each GPU a step."""

    layout: Layout = "sharded"
    checkpointing: bool = False
    precision: Precision = "bf16"
    optimizer: Optimizer = "fp32"
    accumulate: int = 1

    def spread_over(self, gpus: int) -> int:
        """GPUs that together hold a model once."""
        return {"sharded": gpus, "hybrid": min(gpus, GPUS_A_MACHINE), "whole": 1}[self.layout]
