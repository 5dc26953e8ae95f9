"""The sizes of a model, its parameters, and which of them a stage trains (SPEC 2 to 5, paper Table 4)."""

import fnmatch
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opendasheng.bench.macs import DASHENG, QWEN25_7B, DashengShape, DecoderShape
from opendasheng.bench.plan.assumptions import PLANNED
from opendasheng.errors import ConfigError
from opendasheng.hub import BUNDLED, bundled_folder
from opendasheng.lengths import FRAMES_PER_PATCH, PATCHES_PER_TOKEN
from opendasheng.model import MiDashengLMConfig
from opendasheng.model.configuration import NUM_MELS
from opendasheng.train.config import STAGES, LoraConfig

RELEASED: Final = "7b"
PATCH_VALUES: Final = NUM_MELS * FRAMES_PER_PATCH


@dataclass(frozen=True)
class Linear:
    """A linear layer of a decoder layer, called ``name`` there."""

    name: str
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """Of its matrix, and so the MACs of a position."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class ModelShape:
    """A whole model. ``head_norms``: queries and keys are normed (Qwen3); ``tied``: the head is the embedding."""

    encoder: DashengShape
    decoder: DecoderShape
    tied: bool
    attention_bias: bool
    head_norms: bool

    @property
    def queries(self) -> int:
        """Width of the queries of a position."""
        return self.decoder.num_heads * self.decoder.head_size

    @property
    def keys(self) -> int:
        """Width of its keys, and of its values."""
        return self.decoder.num_kv_heads * self.decoder.head_size

    def linears(self) -> tuple[Linear, ...]:
        """Those of one decoder layer."""
        width, hidden = self.decoder.width, self.decoder.hidden
        return (
            Linear("self_attn.q_proj", width, self.queries),
            Linear("self_attn.k_proj", width, self.keys),
            Linear("self_attn.v_proj", width, self.keys),
            Linear("self_attn.o_proj", self.queries, width),
            Linear("mlp.gate_proj", width, hidden),
            Linear("mlp.up_proj", width, hidden),
            Linear("mlp.down_proj", hidden, width),
        )

    def encoder_block_parameters(self) -> int:
        """Of one block: two norms, and four matrices with their biases."""
        width, hidden = self.encoder.width, self.encoder.width * self.encoder.mlp_ratio
        return 4 * width + 4 * width * width + 4 * width + 2 * width * hidden + hidden + width

    def encoder_parameters(self) -> int:
        """Of the whole encoder: statistics that are not learnt are no parameters."""
        width = self.encoder.width
        outside = 2 * NUM_MELS + PATCH_VALUES * width + width + width * (self.encoder.patches_per_chunk + 1) + 2 * width
        return outside + self.encoder.depth * self.encoder_block_parameters()

    def projector_parameters(self) -> int:
        """Of its two matrices with their biases."""
        width = self.decoder.width
        return (PATCHES_PER_TOKEN * self.encoder.width + 1) * width + (width + 1) * width

    def decoder_layer_parameters(self) -> int:
        """Of one layer, without adapters."""
        biases = self.queries + 2 * self.keys if self.attention_bias else 0
        norms = 2 * self.decoder.width + (2 * self.decoder.head_size if self.head_norms else 0)
        return sum(linear.weights for linear in self.linears()) + biases + norms

    def embedding_parameters(self) -> int:
        """Of the embedding of text; the head has as many, or is the same."""
        return self.decoder.vocabulary * self.decoder.width

    def decoder_parameters(self) -> int:
        """Of the whole decoder, without adapters."""
        tables = self.embedding_parameters() * (1 if self.tied else 2)
        return tables + self.decoder.width + self.decoder.depth * self.decoder_layer_parameters()

    def parameters(self) -> int:
        """Of all three parts, without adapters."""
        return self.encoder_parameters() + self.projector_parameters() + self.decoder_parameters()

    def linear_weights(self) -> int:
        """Of all matrices that multiply something: what mixed precision makes copies of."""
        encoder, width = self.encoder, self.decoder.width
        block = encoder.width * encoder.width * (4 + 2 * encoder.mlp_ratio)
        projector = PATCHES_PER_TOKEN * encoder.width * width + width * width
        layers = self.decoder.depth * sum(linear.weights for linear in self.linears())
        return PATCH_VALUES * encoder.width + encoder.depth * block + projector + layers + self.embedding_parameters()


@dataclass(frozen=True)
class Learning:
    """What a stage trains: encoder and projector in full always, and of the decoder all, or adapters of ``rank`` on
    ``adapted``, the linear layers of each decoder layer."""

    stage: str
    decoder_in_full: bool
    adapted: tuple[Linear, ...] = ()
    rank: int = LoraConfig.rank

    def layer_adapters(self) -> int:
        """Parameters of the adapters of one decoder layer."""
        return sum(self.rank * (linear.inputs + linear.outputs) for linear in self.adapted)

    def parameters(self, shape: ModelShape) -> int:
        """All that there are, adapters too."""
        return shape.parameters() + shape.decoder.depth * self.layer_adapters()

    def learning(self, shape: ModelShape) -> int:
        """Those that learn."""
        heard = shape.encoder_parameters() + shape.projector_parameters()
        in_full = shape.decoder_parameters() if self.decoder_in_full else 0
        return heard + in_full + shape.decoder.depth * self.layer_adapters()


def learning(shape: ModelShape, stage: str) -> Learning:
    """What ``stage`` trains of a model, by ``train/stages.toml``.

    Raises :class:`ConfigError` for a stage that trains other parts.
    """
    if stage not in PLANNED:
        raise ConfigError(f"stage {stage!r} cannot be planned; there are {', '.join(PLANNED)}")
    values = STAGES[stage]
    targets = tuple(values.get("adapters", ()))
    adapted = tuple(
        linear
        for linear in shape.linears()
        if any(fnmatch.fnmatchcase(f"decoder.model.layers.0.{linear.name}", target) for target in targets)
    )
    return Learning(stage, "decoder" in values["trains"], adapted)


def shape_of(config: MiDashengLMConfig) -> ModelShape:
    """The sizes in a config. Raises :class:`ConfigError` for what is not counted here: decoders other than Qwen2 and
    Qwen3, LayerScale, and an encoder whose MLP is no whole number of times as wide."""
    encoder, text = config.audio_encoder_config, config.text_config
    assert not isinstance(text, dict)
    if text.model_type not in ("qwen2", "qwen3"):
        raise ConfigError(f"a decoder of type {text.model_type!r} cannot be planned; there are qwen2 and qwen3")
    if encoder.init_values is not None or not encoder.qkv_bias or encoder.mlp_ratio != int(encoder.mlp_ratio):
        raise ConfigError(
            f"an encoder with init_values {encoder.init_values}, qkv_bias {encoder.qkv_bias} and mlp_ratio "
            f"{encoder.mlp_ratio} cannot be planned; released ones have null, true and 4.0"
        )
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return ModelShape(
        DashengShape(
            encoder.embed_dim, encoder.depth, encoder.num_heads, int(encoder.mlp_ratio), encoder.patches_per_chunk
        ),
        DecoderShape(
            text.hidden_size,
            text.num_hidden_layers,
            text.num_attention_heads,
            text.num_key_value_heads,
            head_size,
            text.intermediate_size,
            text.vocab_size,
        ),
        tied=bool(config.tie_word_embeddings),
        attention_bias=text.model_type == "qwen2" or bool(text.attention_bias),
        head_norms=text.model_type == "qwen3",
    )


def named_config(name: str) -> MiDashengLMConfig:
    """The config called ``7b`` (the released sizes), ``mini``, or the one in a model folder or a ``config.json``.

    Raises :class:`ConfigError` where there is none.
    """
    if name == RELEASED:
        return released_config()
    path = bundled_folder() if name == BUNDLED else Path(name).expanduser()
    path = path / "config.json" if path.is_dir() else path
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: no {RELEASED!r}, {BUNDLED!r}, model folder or config.json ({error})") from error
    if not isinstance(values, dict) or "text_config" not in values:
        raise ConfigError(f"{path}: not the config of a whole model: it has no text_config")
    return MiDashengLMConfig(**{key: value for key, value in values.items() if key != "model_type"})


def released_config() -> MiDashengLMConfig:
    """MiDashengLM-7B: Dasheng-0.6B and the text decoder of Qwen2.5-Omni-7B (SPEC 2, 4.1)."""
    encoder, text = DASHENG["0.6b"], QWEN25_7B
    return MiDashengLMConfig(
        {"embed_dim": encoder.width, "depth": encoder.depth, "num_heads": encoder.num_heads},
        {
            "model_type": "qwen2_5_omni_text",
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "intermediate_size": text.hidden,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.num_heads,
            "num_key_value_heads": text.num_kv_heads,
            "tie_word_embeddings": False,
        },
        audio_token_id=151_646,
    )
