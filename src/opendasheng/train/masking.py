"""Learning from sound alone: an encoder as a masked auto-encoder, on crops of any clip (SPEC 9; stage ``mae``)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from opendasheng.data.batching import BatchPlan
from opendasheng.data.crops import Crop, Crops
from opendasheng.data.mixture import MixtureConfig
from opendasheng.data.shards import ShardReader
from opendasheng.errors import ConfigError
from opendasheng.files import replacing_folder
from opendasheng.lengths import FRAMES_PER_PATCH, HOP_SAMPLES, SAMPLE_RATE_HZ, num_patches
from opendasheng.model import LogMel
from opendasheng.model.loading import load_dasheng_encoder, save_dasheng_encoder
from opendasheng.model.pretraining import MaskedAutoencoder
from opendasheng.train.config import RunConfig
from opendasheng.train.evaluation import dev_batches, mixture_of
from opendasheng.train.learner import Batch, Learner, TellClip
from opendasheng.train.reading import open_corpus, read_batch, telling
from opendasheng.train.starting import new_encoder, own_memory

ENCODER, DECODER = "model.safetensors", "decoder.safetensors"


class MaskLearner(Learner[Crop]):
    """An encoder and the decoder that teaches it. ``model/`` of a finished run holds both, the encoder in a file that
    :func:`opendasheng.model.load_dasheng_encoder` and the stage *align* take."""

    model: MaskedAutoencoder

    def __init__(self, config: RunConfig, initial: Path, catalogue: Collection[str] = ()) -> None:
        """``initial`` holds the model of step 0, or is where it is kept for a resumed run; ``catalogue`` as in
        :func:`open_corpus`."""
        self.config = config
        self.reader, mixture = open_corpus(config.data, catalogue)
        self.clips = self.reader.clips
        self.model = self._load(initial)
        longest = self.model.encoder.config.patches_per_chunk
        if num_patches(round(config.data.crop_seconds * SAMPLE_RATE_HZ)) > longest:
            raise ConfigError(
                f"data.crop_seconds is {config.data.crop_seconds}: this encoder hears at most "
                f"{longest * FRAMES_PER_PATCH * HOP_SAMPLES / SAMPLE_RATE_HZ:g} s at once"
            )
        self.plan = self._plan(self.reader, mixture)
        self._log_mel = LogMel()
        self._dev = ShardReader(config.data.corpus, split="dev")
        self._dev_batches = dev_batches(
            self._dev.clips,
            lambda: self._plan(self._dev, mixture_of(mixture, self._dev.clips)),
            config.loop.eval_batches,
        )

    def _plan(self, reader: ShardReader, mixture: MixtureConfig) -> BatchPlan[Crop]:
        data = self.config.data
        crops = Crops(reader.clips, seconds=data.crop_seconds, repeats=mixture.repeats, seed=self.config.seed)
        return BatchPlan(crops, batch_seconds=data.batch_seconds, batch_clips=data.batch_clips)

    def _load(self, initial: Path) -> MaskedAutoencoder:
        config = self.config.model
        if (initial / ENCODER).is_file():
            encoder = load_dasheng_encoder(initial / ENCODER)
        else:
            torch.manual_seed(self.config.seed)
            encoder = new_encoder(self.config, self.reader)
        torch.manual_seed(self.config.seed + 1)
        model = MaskedAutoencoder(encoder, self.config.mae, start=not config.encoder and not initial.exists())
        if (initial / DECODER).is_file():
            model.decoder.load_state_dict(load_file(initial / DECODER))
        else:
            self.model = model
            self.keep_initial(initial)
        own_memory(model)
        return model.train()

    def collate(self, draws: Sequence[Crop]) -> Batch:
        """``audio`` float32 ``(B, S)``, all cut to the shortest and to whole groups of patches, and ``noise`` float32
        ``(B, G)``, a number for each group, from the seeds of the crops."""
        return self._batch(self.reader, draws)

    def _batch(self, reader: ShardReader, draws: Sequence[Crop]) -> Batch:
        group = self.config.mae.group_size
        num_groups = num_patches(min(draw.num_samples for draw in draws)) // group
        size = (num_groups * group * FRAMES_PER_PATCH - 1) * HOP_SAMPLES
        audio = np.zeros((len(draws), size), dtype=np.float32)
        noise = np.empty((len(draws), num_groups), dtype=np.float32)
        for row, draw in enumerate(draws):
            heard = reader.audio(draw.index)[draw.start_samples : draw.start_samples + size]
            audio[row, : len(heard)] = heard
            noise[row] = np.random.default_rng(draw.seed).random(num_groups, dtype=np.float32)
        return {"audio": torch.from_numpy(audio), "noise": torch.from_numpy(noise)}

    def num_items(self, batch: Batch) -> int:
        """Removed patches."""
        num_clips, num_groups = batch["noise"].shape
        per_clip = num_groups * self.config.mae.group_size
        return num_clips * (per_clip - self.config.mae.num_kept(per_clip))

    def loss(self, batch: Batch, num_items: int) -> Tensor:
        """Squared error of the removed patches."""
        found = self.model(self._log_mel(batch["audio"]), batch["noise"])
        loss: Tensor = found.loss * (self.num_items(batch) / num_items)
        return loss

    def sizes(self, batch: Batch) -> tuple[int, int]:
        """Nothing is padded."""
        return batch["audio"].numel(), batch["audio"].numel()

    def describe(self, draw: Crop) -> dict[str, Any]:
        """The clip, where in it, and what decides on the patches that are removed."""
        row = asdict(draw)
        return {"id": self.clips[row.pop("index")].id, **row}

    def validate(self, tell: TellClip) -> Mapping[str, object]:
        """``dev_loss`` of the same crops of the dev split, with the same patches removed, at every call."""
        total, count = 0.0, 0
        self.model.eval()
        for draws in self._dev_batches:
            _, batch = read_batch(partial(self._batch, self._dev), draws, telling(self._dev.clips, tell))
            if batch is not None:
                with torch.inference_mode(), self.computing():
                    total += self.loss(self.placed(batch), 1).item()
                count += self.num_items(batch)
        self.model.train()
        return {"dev_loss": total / count} if count else {}

    def save(self, folder: Path) -> None:
        """Encoder and decoder, each in a file of its own."""
        decoder = {name: tensor.detach().contiguous() for name, tensor in self.model.decoder.state_dict().items()}
        with replacing_folder(folder) as temporary:
            save_dasheng_encoder(self.model.encoder, temporary / ENCODER)
            save_file(decoder, temporary / DECODER, metadata={"format": "pt"})

    def finish(self) -> dict[str, Any]:
        """A reconstruction has no score of its own; probes of the encoder tell what it is worth (``eval xares``)."""
        return {"test": []}
