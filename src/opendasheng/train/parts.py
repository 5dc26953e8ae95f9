"""A whole model again of adapters and what they belong to (see ``opendasheng export --as-adapters``)."""

import logging
from pathlib import Path

import torch

from opendasheng.errors import CheckpointError
from opendasheng.model import MiDashengLMModel, MiDashengLMProcessor
from opendasheng.model.parts import Parts, digest_of_decoder, digest_of_encoder
from opendasheng.train import lora, starting
from opendasheng.train.config import ModelConfig

log = logging.getLogger(__name__)


def put_together(folder: Path, decoder: str) -> tuple[MiDashengLMModel, MiDashengLMProcessor]:
    """The model of which ``folder`` holds the adapters, float32 and in evaluation mode, and its processor.

    ``decoder`` is where the text decoder lies that ``parts.json`` names: a ``.gguf`` file, a folder or a hub id.

    Raises :class:`CheckpointError` where a part is missing, damaged, or another than the adapters were trained on.
    """
    parts = Parts.read(folder)
    place = Path(decoder).expanduser()
    if place.exists() and digest_of_decoder(place) != parts.decoder_sha256:
        raise CheckpointError(f"{decoder}: it is not the {parts.decoder} that {folder} belongs to (another sha256)")
    torch.manual_seed(parts.seed)
    model, processor = starting.join(ModelConfig(encoder=parts.encoder, decoder=decoder))
    if digest_of_encoder(model.audio_encoder) != parts.encoder_sha256:
        raise CheckpointError(f"{parts.encoder}: its encoder is not the one that {folder} belongs to (another sha256)")
    for name in parts.adapters:
        model = lora.merge_adapter(model, folder / name)
    return model.eval(), processor
