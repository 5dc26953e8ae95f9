"""The real model under the real ``fully_shard``, on tensors without data: what one of many GPUs would hold in a step.

Every operation of a forward and a backward pass runs, with the shapes of the whole model, on torch's fake tensors and
its fake process group. So the peak is one of tensors; kernels, the network and the allocator take no part.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from opendasheng.bench.plan.activations import Batch
from opendasheng.bench.plan.assumptions import Way
from opendasheng.bench.plan.measure import PeakBytes, prepared
from opendasheng.bench.plan.shapes import Learning
from opendasheng.lengths import num_frames
from opendasheng.model import MiDashengLMConfig, MiDashengLMModel
from opendasheng.model.configuration import NUM_MELS
from opendasheng.train.memory import blocks


def traced_peak(config: MiDashengLMConfig, learns: Learning, batch: Batch, way: Way, gpus: int) -> int:
    """The most bytes of one of ``gpus`` GPUs over which the model is spread, its optimiser left out.

    Raises :class:`RuntimeError` where this process has joined others already.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore  # torch has no other way to it

    if dist.is_initialized():
        raise RuntimeError("a step cannot be traced in a process of a group")
    dist.init_process_group("fake", rank=0, world_size=gpus, store=FakeStore())
    try:
        with torch.device("meta"):
            model = prepared(MiDashengLMModel(config).train(), learns.stage, checkpointing=way.checkpointing).float()
        whole, mesh = _Whole(model, batch), init_device_mesh("cpu", (gpus,))
        with torch.inference_mode(False), torch.enable_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            return _peak(whole, way, mesh)
    finally:
        dist.destroy_process_group()


def _peak(whole: "_Whole", way: Way, mesh: DeviceMesh) -> int:
    in_bf16 = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    policy = in_bf16 if way.precision == "bf16" else MixedPrecisionPolicy()
    for _, block in blocks(whole):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(whole, mesh=mesh, mp_policy=policy)
    whole.to_empty(device="cpu")
    parts: list[Any] = list(whole.parameters())
    tracked = PeakBytes([part.to_local() for part in parts])
    with tracked:
        with torch.autocast("cpu", torch.bfloat16, enabled=way.precision == "autocast"):
            loss = whole()
        loss.backward()
    return tracked.peak


class _Lengths:
    """Lengths of clips, which are read while tensors have no data."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def tolist(self) -> list[int]:
        """In samples."""
        return [self._batch.samples] * self._batch.clips


class _Whole(nn.Module):
    """A model and its loss on a batch: what depends on data (where audio goes, which positions are padding) is put in
    its place, of the same shape."""

    def __init__(self, model: MiDashengLMModel, batch: Batch) -> None:
        super().__init__()
        self.model = model
        self._batch = batch

    def forward(self) -> Tensor:
        """The loss."""
        model, batch = self.model, self._batch
        clips, row, scored = batch.clips, batch.row, batch.scored // batch.clips
        lengths: Any = _Lengths(batch)
        x_ATD, mask_AT = model.audio_encoder(torch.zeros(clips, NUM_MELS, num_frames(batch.samples)), lengths)
        tokens_ANH, _ = model.audio_projector(x_ATD, mask_AT)
        zeros_AP = torch.zeros(clips, row, dtype=torch.long)
        text_APH = model.get_input_embeddings()(zeros_AP)
        embeds_APH = text_APH.masked_scatter(zeros_AP[..., None] > 0, tokens_ANH.flatten(0, 1).to(text_APH.dtype))
        seen_A1PP = torch.ones(row, row).tril()[None, None].expand(clips, 1, row, row) > 0
        loss: Tensor = model.decoder(
            inputs_embeds=embeds_APH,
            attention_mask={"full_attention": seen_A1PP if batch.masked else None},
            position_ids=zeros_AP,
            labels=zeros_AP[:, -scored:],
            logits_to_keep=scored,
            num_items_in_batch=batch.clips * batch.answer_tokens,
            use_cache=False,
        ).loss
        return loss
