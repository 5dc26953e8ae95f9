"""What a run starts from: a model of a recipe's sizes with its processor, and the statistics of its input."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader
from opendasheng.data.tasks import examples
from opendasheng.engine import quiet_transformers
from opendasheng.errors import ConfigError, CorpusError, TrainingError
from opendasheng.hub import resolve
from opendasheng.lengths import MIN_MEL_SAMPLES
from opendasheng.model import (
    DashengConfig,
    DashengEncoder,
    LogMel,
    MiDashengLMConfig,
    MiDashengLMModel,
    MiDashengLMProcessor,
)
from opendasheng.model.assembling import assemble, load_encoder
from opendasheng.model.configuration import NUM_MELS
from opendasheng.train.config import ModelConfig, RunConfig
from opendasheng.train.decoder import load_decoder, require_causal
from opendasheng.train.tokenizer import train_tokenizer

log = logging.getLogger(__name__)

# Clips whose mel bands set the fixed statistics of init_bn: their mean settles to about 0.1 dB.
_CALIBRATION_CLIPS = 512


def start(config: RunConfig, reader: ShardReader) -> tuple[MiDashengLMModel, MiDashengLMProcessor]:
    """Model (float32, training mode) and processor at step 0 of a run.

    With ``model.init`` it goes on from that folder. With ``model.decoder`` a pretrained decoder brings its tokenizer,
    ``model.encoder`` the encoder, and the projector between them is random (from ``seed``). Otherwise all weights are,
    the tokenizer is learnt from the texts of the training split, and the input statistics are measured on its audio.
    Raises :class:`ConfigError` for a decoder that is not causal.
    """
    torch.manual_seed(config.seed)
    model, processor = _start(config, reader)
    require_causal(model.decoder)
    return model, processor


def _start(config: RunConfig, reader: ShardReader) -> tuple[MiDashengLMModel, MiDashengLMProcessor]:
    if config.model.init:
        return load(resolve(config.model.init))
    if config.model.decoder:
        return join(config.model)
    processor = MiDashengLMProcessor(tokenizer=train_tokenizer(texts(reader.clips), config.model.vocab_size))
    model = MiDashengLMModel(model_config(config.model, processor))
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    if config.model.encoder:
        _take_encoder(model, config.model.encoder)
    else:
        calibrate(model.audio_encoder, reader, config.seed)
    return model.train(), processor


def join(config: ModelConfig) -> tuple[MiDashengLMModel, MiDashengLMProcessor]:
    """An encoder that has heard, a decoder that has read, and a projector of random weights; see :func:`start`."""
    if not config.encoder:
        raise ConfigError("model.decoder needs model.encoder: a file of an encoder, a model folder, a hub id or 'mini'")
    encoder = named_encoder(config.encoder)
    decoder, processor = load_decoder(config.decoder)
    log.info("the encoder of %s (%d wide) hears for %s", config.encoder, encoder.config.embed_dim, config.decoder)
    model = assemble(encoder, decoder, processor.audio_token_id)
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model.train(), processor


def named_encoder(name: str) -> DashengEncoder:
    """The encoder of ``model.encoder``: of its own file, or of a whole model's folder, hub id or ``mini``."""
    path = Path(name).expanduser()
    return load_encoder(path if path.is_file() else resolve(name))


def load(folder: str | Path) -> tuple[MiDashengLMModel, MiDashengLMProcessor]:
    """The model of a folder or hub id, float32 and in training mode, and its processor."""
    with quiet_transformers():
        model = MiDashengLMModel.from_pretrained(folder, dtype=torch.float32)
    own_memory(model)
    return model.train(), MiDashengLMProcessor.from_pretrained(folder)


def own_memory(model: nn.Module) -> None:
    """Give loaded tensors memory of their own: they lie in that of their file, at any address, and some matrix kernels
    round by alignment (law 6)."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def new_encoder(config: RunConfig, reader: ShardReader) -> DashengEncoder:
    """The encoder that ``model.encoder`` names, or one of the recipe's sizes with random weights (torch's generator)
    and statistics of the training audio."""
    if config.model.encoder:
        return named_encoder(config.model.encoder)
    model = config.model
    sizes = DashengConfig(embed_dim=model.encoder_dim, depth=model.encoder_depth, num_heads=model.encoder_heads)
    encoder = DashengEncoder(sizes)
    calibrate(encoder, reader, config.seed)
    return encoder


def _take_encoder(model: MiDashengLMModel, name: str) -> None:
    """Put an encoder in its place in a model of the same sizes."""
    encoder = named_encoder(name)
    found, wanted = encoder.config, model.audio_encoder.config
    for size in ("embed_dim", "depth", "num_heads"):
        if getattr(found, size) != getattr(wanted, size):
            raise ConfigError(
                f"{name}: its encoder has {size} {getattr(found, size)}, the recipe says {getattr(wanted, size)}"
            )
    model.audio_encoder.load_state_dict(encoder.state_dict())
    log.info("the encoder is that of %s", name)


def texts(clips: Sequence[Clip]) -> list[str]:
    """Everything that is asked or answered about the clips, for the tokenizer to learn from."""
    return [text for clip in clips for example in examples(clip) for text in (example.prompt, example.answer)]


def model_config(config: ModelConfig, processor: MiDashengLMProcessor) -> MiDashengLMConfig:
    """The released form of a recipe's sizes, with the ids of the tokenizer."""
    tokenizer = processor.tokenizer
    return MiDashengLMConfig(
        audio_encoder_config={
            "embed_dim": config.encoder_dim,
            "depth": config.encoder_depth,
            "num_heads": config.encoder_heads,
        },
        text_config={
            "model_type": config.decoder_type,
            "vocab_size": len(tokenizer),
            "hidden_size": config.decoder_dim,
            "intermediate_size": config.decoder_hidden,
            "num_hidden_layers": config.decoder_layers,
            "num_attention_heads": config.decoder_heads,
            "num_key_value_heads": config.decoder_kv_heads,
            "max_position_embeddings": config.max_positions,
            "tie_word_embeddings": True,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        audio_token_id=processor.audio_token_id,
    )


def calibrate(encoder: DashengEncoder, reader: ShardReader, seed: int) -> None:
    """Set the fixed mean and variance of each mel band (``init_bn``, SPEC 1.1) from a sample of the training audio."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(reader))[:_CALIBRATION_CLIPS]
    log_mel, total, squares, count = LogMel(), torch.zeros(NUM_MELS), torch.zeros(NUM_MELS), 0
    for index in chosen:
        try:
            audio = reader.audio(int(index))
        except CorpusError:  # the run will tell
            continue
        if len(audio) >= MIN_MEL_SAMPLES:
            mel_MF = log_mel(torch.from_numpy(audio)[None])[0]
            total, squares, count = (
                total + mel_MF.sum(1),
                squares + mel_MF.square().sum(1),
                count + mel_MF.shape[1],
            )
    if not count:
        raise TrainingError(f"{reader.folder}: of {len(chosen)} clips none can be read")
    bn = encoder.init_bn
    assert bn.running_mean is not None
    assert bn.running_var is not None
    bn.running_mean.copy_(total / count)
    bn.running_var.copy_(squares / count - (total / count).square())
    log.info("input statistics from %d frames of %d clips", count, len(chosen))
