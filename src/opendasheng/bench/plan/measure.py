"""A real training step on this machine, measured: bytes kept for gradients, the most bytes at once, MACs, seconds.

The model has random weights and hears noise; its shapes, its adapters and its loss are those of training.
"""

import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from opendasheng.bench.plan.activations import Batch
from opendasheng.bench.plan.shapes import Learning
from opendasheng.lengths import num_frames
from opendasheng.model import MiDashengLMConfig, MiDashengLMModel
from opendasheng.model.configuration import NUM_MELS
from opendasheng.model.mel import NUM_BINS
from opendasheng.train import lora
from opendasheng.train.answering import next_token_loss
from opendasheng.train.config import STAGES, LoraConfig
from opendasheng.train.memory import checkpoint_activations

_SMALL_BYTES: Final = 2**16  # storages below are not looked at again


@dataclass(frozen=True)
class Measured:
    """Of one step: bytes that autograd saved, the most bytes that tensors held at once, MACs, and median seconds."""

    kept: int
    peak: int
    macs: int
    seconds: float


class Step:
    """A model of a stage that takes steps over one batch, in float32 on the CPU."""

    def __init__(self, config: MiDashengLMConfig, learns: Learning, batch: Batch, *, checkpointing: bool) -> None:
        torch.manual_seed(0)
        self.model = prepared(MiDashengLMModel(config).float().train(), learns.stage, checkpointing=checkpointing)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)
        self._batch = batch
        self._inputs = _inputs(config, batch)

    def loss(self) -> Tensor:
        """The loss as training computes it."""
        audio_AS, lengths_A, ids_AP, mask_AP, labels_AP = self._inputs
        audio = self.model.embed_audio(audio_AS, lengths_A)
        batch = {"input_ids": ids_AP, "attention_mask": mask_AP, "labels": labels_AP}
        return next_token_loss(self.model, audio, batch, int((labels_AP >= 0).sum()))

    def __call__(self) -> None:
        """One step."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def measured(self, num_runs: int = 3) -> Measured:
        """Measure; the first step, which makes the optimiser's state, is not counted."""
        self()
        kept, macs, peak = kept_bytes(self.model, self.loss), self.macs(), self._peak()
        seconds = []
        for _ in range(num_runs):
            start = time.perf_counter()
            self()
            seconds.append(time.perf_counter() - start)
        return Measured(kept, peak, macs, median(seconds))

    def macs(self) -> int:
        """Of a step, without those of the log-mel, which no plan counts."""
        log_mel: int = self._batch.clips * num_frames(self._batch.samples) * NUM_BINS * NUM_MELS
        macs: int = counted(lambda: self.loss().backward()) - log_mel
        return macs

    def _peak(self) -> int:
        self.optimizer.zero_grad(set_to_none=True)
        states = [value for state in self.optimizer.state.values() for value in state.values()]
        tracked = PeakBytes([*self.model.parameters(), *self.model.buffers(), *self._inputs, *states])
        with tracked:
            self()
        return tracked.peak


def prepared(model: Any, stage: str, *, checkpointing: bool) -> Any:
    """``model`` with the adapters of ``stage``, and with nothing learning but what that stage trains."""
    values = STAGES[stage]
    if values.get("adapters"):
        lora.add_adapters(model, LoraConfig(targets=tuple(values["adapters"])))
    lora.freeze(model, values["trains"])
    if checkpointing:
        checkpoint_activations(model)
    return model


def _inputs(config: MiDashengLMConfig, batch: Batch) -> tuple[Tensor, ...]:
    """Noise and conversations; where the batch is masked, the first row begins with a position of padding."""
    audio_AS = 0.1 * torch.randn(batch.clips, batch.samples)
    num_audio = batch.audio_tokens // batch.clips
    row = [1] * batch.prompt_tokens + [config.audio_token_id] * num_audio + [1] * batch.answer_tokens
    ids_AP = torch.tensor([row] * batch.clips)
    mask_AP, labels_AP = torch.ones_like(ids_AP), ids_AP.clone()
    labels_AP[:, : batch.row - batch.answer_tokens] = -100
    if batch.masked:
        mask_AP[0, 0] = 0
    return audio_AS, torch.full((batch.clips,), batch.samples), ids_AP, mask_AP, labels_AP


def kept_bytes(model: torch.nn.Module, work: Callable[[], object]) -> int:
    """Bytes of the storages that autograd saves in ``work``, each once, without those of parameters."""
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    found: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage._cdata] = storage  # held, so that no other can take its place
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = work()
    del result
    return sum(storage.nbytes() for key, storage in found.items() if key not in own)


def counted(work: Callable[[], object]) -> int:
    """The MACs that torch counts in ``work``; its counter knows plain products only, so attention is made of them."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops()) // 2


class PeakBytes(TorchDispatchMode):
    """The most bytes that tensors hold at once while it is entered: ``held`` and all that is made within.

    What a kernel takes for itself while it runs is not seen. Storages that are emptied and filled again, as
    ``fully_shard`` does with what it gathers, count as what they are.
    """

    def __init__(self, held: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live: dict[int, weakref.ref[Any]] = {}
        self._small: dict[int, int] = {}
        self.peak = 0
        for tensor in held:
            self._add(tensor)

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._live or key in self._small:
            return
        if size < _SMALL_BYTES:
            self._small[key] = size
            weakref.finalize(storage, self._small.pop, key)
        else:
            self._live[key] = weakref.ref(storage, lambda _: self._live.pop(key, None))

    def now(self) -> int:
        """Bytes that are held."""
        storages = [reference() for reference in list(self._live.values())]
        large: int = sum(storage.nbytes() for storage in storages if storage is not None)
        return large + sum(self._small.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count the tensors that it gives."""
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self._add(value)
        self.peak = max(self.peak, self.now())
        return out
