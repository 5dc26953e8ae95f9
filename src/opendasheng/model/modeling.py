"""MiDashengLM: audio encoder, projector and text decoder as one transformers model (SPEC 4.3).

Shapes: B conversations, P positions of the decoder, A clips of all conversations in reading order, S samples,
T patches, N audio tokens of the longest clip, H decoder width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast

from opendasheng.errors import AudioError, ConfigError
from opendasheng.lengths import num_audio_tokens, num_patches
from opendasheng.model.configuration import MiDashengLMConfig
from opendasheng.model.encoder import DashengEncoder, LayerScale
from opendasheng.model.loading import strict_from_pretrained
from opendasheng.model.mel import LogMel
from opendasheng.model.projector import AudioProjector


class MiDashengLMModel(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Hears clips, reads text, and predicts text. Released tensors load by name; see :meth:`from_pretrained`."""

    config_class = MiDashengLMConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Block"]  # noqa: RUF012
    # 0804-fp32 stores the two constants of its front-end; ours are computed (SPEC 5.1). Counters of updates are
    # bookkeeping of training that some files lack.
    _keys_to_ignore_on_load_unexpected = [r"audio_encoder\.front_end\."]  # noqa: RUF012
    _keys_to_ignore_on_load_missing = [r"audio_encoder\.init_bn\.num_batches_tracked"]  # noqa: RUF012

    def __init__(self, config: MiDashengLMConfig) -> None:
        super().__init__(config)
        encoder, text = config.audio_encoder_config, config.text_config
        assert not isinstance(text, dict)
        self.log_mel = LogMel()
        self.audio_encoder = DashengEncoder(encoder)
        self.audio_projector = AudioProjector(encoder.embed_dim, text.hidden_size)
        self.decoder = AutoModelForCausalLM.from_config(text)
        self.post_init()

    @classmethod
    def from_pretrained(cls, folder_or_id: Any, *args: Any, **options: Any) -> Self:
        """Load a checkpoint in the released layout from a folder or a hub id, safetensors only, every tensor checked.

        Raises :class:`~opendasheng.errors.CheckpointError` that names the first tensors that are missing, unexpected
        or of another shape, and for pickled or damaged files.
        """
        return cast(Self, strict_from_pretrained(super().from_pretrained, folder_or_id, *args, **options))

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, DashengEncoder):
            init.trunc_normal_(module.time_pos_embed, std=0.02)
            init.trunc_normal_(module.freq_pos_embed, std=0.02)
        elif isinstance(module, LayerScale):
            init.constant_(module.gamma, self.config.audio_encoder_config.init_values)

    def get_input_embeddings(self) -> nn.Module:
        """The decoder's embedding of text tokens."""
        return cast(nn.Module, self.decoder.get_input_embeddings())

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's embedding of text tokens."""
        self.decoder.set_input_embeddings(value)

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's head."""
        self.decoder.set_output_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The decoder's head."""
        return cast(nn.Module, self.decoder.get_output_embeddings())

    def embed_audio(self, input_values: Tensor, audio_length: Tensor | None = None) -> list[Tensor]:
        """Each clip's audio tokens: A tensors ``(num_audio_tokens, H)`` in the model's dtype.

        ``input_values`` are waveforms ``(A, S)``, float, 16 kHz, zero-padded on the right; ``audio_length`` ``(A,)``
        their lengths in samples (all S when left out). A clip's tokens do not depend on the others.
        """
        if input_values.ndim != 2:
            raise AudioError(f"input_values must be (clips, samples), not {tuple(input_values.shape)}")
        if audio_length is None:
            audio_length = torch.full((len(input_values),), input_values.shape[1])
        mel_AMF = self.log_mel(input_values, audio_length)
        x_ATD, mask_AT = self.audio_encoder(mel_AMF, audio_length)
        if x_ATD.is_cuda:
            tokens_ANH, _ = self.audio_projector(x_ATD, mask_AT)
            sizes = [num_audio_tokens(int(samples)) for samples in audio_length.tolist()]
            return [tokens_NH[:size] for tokens_NH, size in zip(tokens_ANH, sizes, strict=True)]
        counts = [num_patches(int(samples)) for samples in audio_length.tolist()]
        # Clip by clip: as one padded batch, the projector alone would cost 1.4e-6 in the tiny golden models.
        return [
            self.audio_projector(x_TD[None, :count], mask_T[None, :count])[0][0]
            for x_TD, mask_T, count in zip(x_ATD, mask_AT, counts, strict=True)
        ]

    def embed(
        self, input_ids: Tensor, input_values: Tensor | None = None, audio_length: Tensor | None = None
    ) -> Tensor:
        """Embeddings ``(B, P, H)`` of text with the audio tokens written over the placeholders, in reading order.

        Raises :class:`AudioError` when the number of placeholders is not the number of audio tokens: every token
        after the first mismatch would otherwise be heard in the wrong place.
        """
        if input_values is None or len(input_values) == 0:
            return self.place_audio(input_ids, [])
        return self.place_audio(input_ids, self.embed_audio(input_values, audio_length))

    def place_audio(self, input_ids: Tensor, audio: Sequence[Tensor]) -> Tensor:
        """:meth:`embed` of the clips' audio tokens as :meth:`embed_audio` gives them."""
        embeds_BPH: Tensor = self.get_input_embeddings()(input_ids)
        if not audio:
            return embeds_BPH
        if self.config.audio_token_id is None:
            raise ConfigError(
                "config.json has no audio_token_id, so audio cannot be placed: set it to the id of <|AUDIO|>"
            )
        tokens_NH = torch.cat(list(audio)).to(embeds_BPH.dtype)
        places_BP = input_ids == self.config.audio_token_id
        num_places = int(places_BP.sum())
        if num_places != len(tokens_NH):
            raise AudioError(
                f"input_ids hold {num_places} audio placeholders, but the {len(audio)} clips yield "
                f"{len(tokens_NH)} audio tokens: let the processor expand the placeholders"
            )
        return embeds_BPH.masked_scatter(places_BP[..., None], tokens_NH)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        input_values: Tensor | None = None,
        audio_length: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Any = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> CausalLMOutputWithPast:
        """Logits ``(B, P, V)``, and the mean next-token loss over ``labels`` other than -100 where they are given.

        ``input_ids``, ``attention_mask``, ``labels`` are int64 ``(B, P)``, padded on the left; audio as in
        :meth:`embed_audio`. Positions count the attended tokens, so left padding does not change a result.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ConfigError("forward() needs input_ids or inputs_embeds")
            inputs_embeds = self.embed(input_ids, input_values, audio_length)
        alone = position_ids is None and past_key_values is None and labels is None and not options
        if alone and not self.training and attention_mask is not None and _is_left_padded(attention_mask):
            return self._forward_without_padding(inputs_embeds, attention_mask)
        if position_ids is None and attention_mask is not None and attention_mask.ndim == 2:
            position_ids = positions_from_mask(attention_mask)[:, -inputs_embeds.shape[1] :]
        return cast(
            CausalLMOutputWithPast,
            self.decoder(
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                labels=labels,
                **options,
            ),
        )

    def _forward_without_padding(self, embeds_BPH: Tensor, mask_BP: Tensor) -> CausalLMOutputWithPast:
        """Rows of equal length together, each as if it were alone; logits of padding are 0, and there is no cache.

        Padding on the left moves the terms of every sum over keys, which costs the last digits of float32: up to
        4e-5 in the logits of the tiny golden models, where rows without padding agree to 1.3e-5.
        """
        logits_BPV = embeds_BPH.new_zeros(*mask_BP.shape, self.config.text_config.vocab_size)
        lengths = mask_BP.sum(-1).tolist()
        for length in sorted(set(lengths)):
            rows = [row for row, other in enumerate(lengths) if other == length]
            out = self.decoder(inputs_embeds=embeds_BPH[rows, -length:], use_cache=False)
            logits_BPV[rows, -length:] = out.logits.to(logits_BPV.dtype)  # of another type under autocast
        return CausalLMOutputWithPast(logits=logits_BPV)

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        input_values: Tensor | None = None,
        audio_length: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """transformers' generation on top of the heard prompt; returns only the new tokens, as the release does."""
        if "inputs_embeds" not in options:
            if input_ids is None:
                raise ConfigError("generate() needs input_ids")
            options["inputs_embeds"] = self.embed(input_ids, input_values, audio_length)
        self.decoder.generation_config = self.generation_config
        return self.decoder.generate(attention_mask=attention_mask, **options)


def _is_left_padded(attention_mask: Tensor) -> bool:
    """Whether some rows begin with padding, and none has any elsewhere."""
    if attention_mask.ndim != 2:
        return False
    padded = attention_mask == 0
    return bool(padded.any() and not padded.all(-1).any() and not (padded[:, 1:] & ~padded[:, :-1]).any())


def positions_from_mask(attention_mask_BP: Tensor) -> Tensor:
    """Position of each token among the attended ones of its row, ``(B, P)`` int64; 0 on the padding at the left."""
    return (attention_mask_BP.long().cumsum(-1) - 1).clamp_min(0)
