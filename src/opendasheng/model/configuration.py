"""Configurations of the released layout: a Dasheng audio encoder and any causal text decoder (SPEC 2, 4)."""

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from opendasheng.errors import ConfigError
from opendasheng.lengths import FRAMES_PER_PATCH, PATCHES_PER_CHUNK, PATCHES_PER_TOKEN

NUM_MELS = 64

# The front-end of every released checkpoint. A config may repeat these keys, never change them: the filters and the
# token arithmetic in lengths.py are made for these values.
FRONT_END = {
    "sample_rate": 16_000,
    "n_fft": 512,
    "win_length": 512,
    "hop_length": 160,
    "n_mels": NUM_MELS,
    "f_min": 0.0,
    "f_max": 8000.0,
    "center": True,
}

# Text decoders that carry another name in released configs but are, for text-style positions, plain Qwen2 (SPEC 4.1).
_QWEN2_ALIASES = ("qwen2_5_omni_text",)


class DashengConfig(PreTrainedConfig):  # type: ignore[misc]
    """Size of a Dasheng encoder. The defaults are the released 0.6B encoder (SPEC 2).

    Raises :class:`ConfigError` for a front-end or patch geometry other than the released one, and for heads that do
    not divide ``embed_dim``.
    """

    model_type = "midashenglm_dasheng_encoder"

    def __init__(
        self,
        embed_dim: int = 1280,
        depth: int = 32,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        init_values: float | None = None,
        target_length: int = PATCHES_PER_CHUNK * FRAMES_PER_PATCH,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        self.embed_dim = embed_dim
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.qkv_bias = qkv_bias
        self.init_values = init_values
        self.target_length = target_length
        self.initializer_range = initializer_range
        self._check(kwargs)
        super().__init__(**kwargs)

    def _check(self, others: dict[str, Any]) -> None:
        if self.embed_dim % self.num_heads:
            raise ConfigError(
                f"audio_encoder_config: num_heads {self.num_heads} does not divide embed_dim {self.embed_dim}"
            )
        for key, value in FRONT_END.items():
            if others.get(key, value) not in (value, None):
                raise ConfigError(
                    f"audio_encoder_config: {key} is {others[key]!r}, but every Dasheng front-end has {key}={value!r}"
                )
        for key in ("patch_size", "patch_stride"):
            patch = others.get(key, [NUM_MELS, FRAMES_PER_PATCH])
            if not isinstance(patch, list | tuple) or list(patch) != [NUM_MELS, FRAMES_PER_PATCH]:
                raise ConfigError(
                    f"audio_encoder_config: {key} is {others[key]!r}; there is only [{NUM_MELS}, {FRAMES_PER_PATCH}]"
                )
        if self.target_length % FRAMES_PER_PATCH or self.target_length <= 0:
            raise ConfigError(
                f"audio_encoder_config: target_length {self.target_length} is no multiple of {FRAMES_PER_PATCH}"
            )

    @property
    def patches_per_chunk(self) -> int:
        """Learned time positions, and so the longest stretch that attends to itself: 252 patches, 10.08 s."""
        return int(self.target_length) // FRAMES_PER_PATCH


class MiDashengLMConfig(PreTrainedConfig):  # type: ignore[misc]
    """The whole model: ``audio_encoder_config``, ``text_config``, ``subsample_factor``, ``audio_token_id`` (SPEC 4.6).

    ``text_config`` names any causal LM of transformers by its ``model_type``; ``qwen2_5_omni_text``, or none, means
    Qwen2. Its ``mrope_section`` is accepted and dropped: with text-style positions it equals plain RoPE (SPEC 4.1).
    Raises :class:`ConfigError` where a part is unusable.
    """

    model_type = "midashenglm"
    sub_configs = {"audio_encoder_config": DashengConfig, "text_config": AutoConfig}  # noqa: RUF012

    def __init__(
        self,
        audio_encoder_config: dict[str, Any] | DashengConfig | None = None,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        subsample_factor: int = PATCHES_PER_TOKEN,
        audio_token_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(audio_encoder_config, DashengConfig):
            audio_encoder_config = DashengConfig(**_without_model_type(audio_encoder_config))
        if not isinstance(text_config, PreTrainedConfig):
            text_config = decoder_config(text_config or {})
        if subsample_factor != PATCHES_PER_TOKEN:
            raise ConfigError(
                f"subsample_factor is {subsample_factor}; only {PATCHES_PER_TOKEN} patches a token (5 Hz) is supported"
            )
        self.audio_encoder_config = audio_encoder_config
        self.text_config = text_config
        self.subsample_factor = subsample_factor
        self.audio_token_id = audio_token_id
        # The head is tied inside the decoder or not at all, and transformers asks the outer config first.
        kwargs["tie_word_embeddings"] = bool(getattr(text_config, "tie_word_embeddings", False))
        super().__init__(**kwargs)

    def get_text_config(self, decoder: Any = None, encoder: Any = None) -> PreTrainedConfig:  # noqa: ARG002
        """The text decoder's config, whichever of the two transformers asks for."""
        return self.text_config


def decoder_config(text_config: dict[str, Any]) -> PreTrainedConfig:
    """The transformers config of the text decoder that a released ``text_config`` describes.

    Raises :class:`ConfigError` when ``model_type`` is no causal LM that this transformers knows.
    """
    values = {key: value for key, value in text_config.items() if key not in ("model_type", "architectures")}
    model_type = text_config.get("model_type") or _QWEN2_ALIASES[0]
    if model_type in _QWEN2_ALIASES:
        model_type = "qwen2"
        # What a shortened config of that class leaves out, Qwen2 would take for something else (SPEC 4.1).
        values.setdefault("tie_word_embeddings", False)
        if not _has_rope_base(values):
            values["rope_theta"] = 1_000_000.0
    for key in ("rope_scaling", "rope_parameters"):
        if isinstance(values.get(key), dict):
            values[key] = _plain_rope(values[key])
            if not values[key]:
                del values[key]
    try:
        return AutoConfig.for_model(model_type, **values)
    except ValueError as error:
        raise ConfigError(f"text_config: {str(error).splitlines()[0]}") from error


def _plain_rope(rope: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings without those of mrope, the old spelling ``type`` read as ``rope_type``; empty if all default."""
    kept = {key: value for key, value in rope.items() if key not in ("mrope_section", "type")}
    kind = rope.get("rope_type", rope.get("type", "default"))
    kept["rope_type"] = "default" if kind == "mrope" else kind
    return {} if kept == {"rope_type": "default"} else kept


def _has_rope_base(values: dict[str, Any]) -> bool:
    return "rope_theta" in values or "rope_theta" in (values.get("rope_parameters") or {})


def _without_model_type(values: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (values or {}).items() if key != "model_type"}
