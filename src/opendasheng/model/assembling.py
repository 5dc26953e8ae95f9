"""A model of an encoder and a pretrained text decoder: what the paper's second stage starts from (3.2)."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import PreTrainedModel

from opendasheng.errors import CheckpointError
from opendasheng.model.configuration import MiDashengLMConfig
from opendasheng.model.encoder import DashengEncoder
from opendasheng.model.loading import check_folder, load_dasheng_encoder, rename_dasheng
from opendasheng.model.mel import LogMel
from opendasheng.model.modeling import MiDashengLMModel
from opendasheng.model.projector import AudioProjector

_ENCODER = "audio_encoder."


def assemble(encoder: DashengEncoder, decoder: PreTrainedModel, audio_token_id: int) -> MiDashengLMModel:
    """``encoder`` and ``decoder`` as they are, joined by a projector of random weights (torch's generator)."""
    text = decoder.config.to_dict()
    text.pop("quantization_config", None)  # of the file that it was read from
    config = MiDashengLMConfig(
        audio_encoder_config=encoder.config.to_dict(), text_config=text, audio_token_id=audio_token_id
    )
    with torch.device("meta"):  # else there would be two decoders for a while
        model = MiDashengLMModel(config)
    decoder.config = config.text_config
    projector = AudioProjector(encoder.config.embed_dim, decoder.config.hidden_size)
    for layer in projector.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=decoder.config.initializer_range)
            nn.init.zeros_(layer.bias)
    model.log_mel, model.audio_encoder, model.audio_projector, model.decoder = LogMel(), encoder, projector, decoder
    return model


def load_encoder(place: Path) -> DashengEncoder:
    """The encoder of a file of its own, or of the folder of a whole model in the released layout. Float32.

    Raises :class:`CheckpointError` where there is none, or it is damaged.
    """
    if not place.is_dir():
        return load_dasheng_encoder(place)
    check_folder(place)
    tensors: dict[str, torch.Tensor] = {}
    try:
        config = MiDashengLMConfig.from_pretrained(place)
        for path in sorted(place.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                names = [name for name in file.keys() if name.startswith(_ENCODER)]  # noqa: SIM118
                tensors |= {name: file.get_tensor(name).float() for name in names}
        encoder = DashengEncoder(config.audio_encoder_config)
        counters = {name: value for name, value in encoder.state_dict().items() if name.endswith("num_batches_tracked")}
        encoder.load_state_dict(counters | rename_dasheng(tensors))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{place}: no encoder can be read from this model folder ({words})") from error
    return encoder.eval()
