"""A whole model again of adapters and what they belong to (see ``opendasheng export --as-adapters``)."""

import logging
from pathlib import Path

import torch

from opendasheng import hub
from opendasheng.errors import CheckpointError
from opendasheng.model import MiDashengLMModel, MiDashengLMProcessor
from opendasheng.model.parts import ENCODER, Parts, digest_of_decoder, digest_of_encoder
from opendasheng.train import lora, starting
from opendasheng.train.config import ModelConfig

log = logging.getLogger(__name__)


def put_together(
    folder: Path, decoder: str, encoder: str | None = None
) -> tuple[MiDashengLMModel, MiDashengLMProcessor]:
    """The model of which ``folder`` holds the adapters, float32 and in evaluation mode, and its processor.

    ``decoder`` and ``encoder`` are where the parts lie that ``parts.json`` names: of the decoder a ``.gguf`` file, a
    folder or a hub id, of the encoder a file, a model folder, a hub id or ``mini``, by default what its name says.

    Raises :class:`CheckpointError` where a part is missing, damaged, or another than the adapters were trained on.
    """
    parts = Parts.read(folder)
    if encoder is None and parts.encoder == ENCODER:
        if not (folder / ENCODER).is_file():
            raise CheckpointError(f"{folder}: no {ENCODER}, which comes with its adapters; get it again")
        encoder = str(folder / ENCODER)
    if encoder is None and parts.encoder != hub.BUNDLED and "/" not in parts.encoder:
        raise CheckpointError(f"{folder}: its encoder is that of {parts.encoder!r}; say where it is by --encoder")
    encoder = encoder or parts.encoder
    place = hub.place(decoder)
    if digest_of_decoder(place) != parts.decoder_sha256:
        raise CheckpointError(f"{decoder}: it is not the {parts.decoder} that {folder} belongs to (another sha256)")
    torch.manual_seed(parts.seed)
    model, processor = starting.join(ModelConfig(encoder=encoder, decoder=str(place)))
    if digest_of_encoder(model.audio_encoder) != parts.encoder_sha256:
        raise CheckpointError(f"{encoder}: its encoder is not the one that {folder} belongs to (another sha256)")
    for name in parts.adapters:
        model = lora.merge_adapter(model, folder / name)
    return model.eval(), processor
