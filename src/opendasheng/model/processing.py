"""Text and audio -> what the model takes: token ids with audio placeholders, and padded waveforms (SPEC 6).

:class:`MiDashengLMProcessor` has the call signature, the settings and the outputs of the released processor.
"""

import difflib
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from jinja2 import TemplateError
from transformers import AutoTokenizer, BatchFeature, ProcessorMixin, Wav2Vec2FeatureExtractor
from transformers.utils import FEATURE_EXTRACTOR_NAME, cached_file

from opendasheng.audio import load_audio
from opendasheng.errors import AudioError, ConfigError
from opendasheng.lengths import PATCHES_PER_TOKEN, SAMPLE_RATE_HZ, num_audio_tokens
from opendasheng.model.conversation import (
    Conversation,
    as_conversations,
    clips_of,
    default_chat_template,
    is_batch,
)

# A clip: a mono waveform at 16 kHz, or something that load_audio opens (path, URL, the bytes of a file).
Clip: TypeAlias = np.ndarray[Any, Any] | torch.Tensor | str | os.PathLike[str] | bytes

# The markers where neither the settings nor the tokenizer name others (SPEC 4.4).
DEFAULT_TOKENS = {
    "audio_token": "<|AUDIO|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
SETTINGS = ("model_subsampling", "chat_template", *DEFAULT_TOKENS)

# What the encoder was trained on: 16 kHz, zeros on the right, the recorded level (the mel is in absolute dB).
FEATURE_EXTRACTOR = {
    "sampling_rate": SAMPLE_RATE_HZ,
    "padding_side": "right",
    "padding_value": 0.0,
    "do_normalize": False,
}

TEXT_DEFAULTS = {"padding": True, "padding_side": "left", "return_token_type_ids": False}
TEXT_OPTIONS = frozenset(
    {
        "add_special_tokens",
        "max_length",
        "pad_to_multiple_of",
        "padding",
        "padding_side",
        "return_attention_mask",
        "return_length",
        "return_offsets_mapping",
        "return_special_tokens_mask",
        "return_tensors",
        "return_token_type_ids",
        "truncation",
        "verbose",
    }
)
# The last two are the defaults of the released processor, and without them there would be no audio_length.
AUDIO_OPTIONS = frozenset({"sampling_rate", "pad_to_multiple_of", "padding", "return_attention_mask"})
GROUPED_OPTIONS = frozenset({"text_kwargs", "audio_kwargs", "common_kwargs"})
CALL_OPTIONS = TEXT_OPTIONS | AUDIO_OPTIONS | GROUPED_OPTIONS

_HUB_KEYS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


def expand_placeholders(
    texts: Iterable[str], audio_lengths: Sequence[int], *, audio_token: str, audio_bos: str, audio_eos: str
) -> list[str]:
    """Write out every placeholder as many times as its clip has audio tokens (SPEC 6).

    ``audio_lengths`` are in samples, one a clip, in reading order over all ``texts``. Begin and end markers
    are put around a placeholder only where both neighbours lack them; a lone one is not completed, as in the
    reference. A clip below 3040 samples has no token, so its placeholder vanishes. Raises
    :class:`ConfigError` where the number of placeholders is not the number of clips.
    """
    pieces_of_texts = [text.split(audio_token) for text in texts]
    num_placeholders = sum(len(pieces) - 1 for pieces in pieces_of_texts)
    if num_placeholders != len(audio_lengths):
        raise ConfigError(
            f"the text holds {num_placeholders} {audio_token} placeholders but {len(audio_lengths)} clips "
            "were given; write one placeholder for each clip"
        )
    lengths = iter(audio_lengths)
    expanded = []
    for pieces in pieces_of_texts:
        text = pieces[0]
        for before, after in itertools.pairwise(pieces):
            tokens = audio_token * num_audio_tokens(next(lengths))
            marked = before.endswith(audio_bos) or after.startswith(audio_eos)
            text += (tokens if marked else audio_bos + tokens + audio_eos) + after
        expanded.append(text)
    return expanded


class MiDashengLMProcessor(ProcessorMixin):  # type: ignore[misc]
    """Turns text with placeholders, and the clips they stand for, into the inputs of the model.

    ``feature_extractor`` pads waveforms (None: 16 kHz, zeros on the right, no normalisation), ``tokenizer``
    is any fast tokenizer that knows the three audio markers as single tokens. ``audio_token``,
    ``audio_bos_token`` and ``audio_eos_token`` default to what the tokenizer calls so, else to the released
    strings; ``chat_template`` to the tokenizer's, else to the packaged one. All settings are kept in
    ``processor_config.json``.

    Raises :class:`ConfigError` where one of the parts cannot serve the model.
    """

    def __init__(
        self,
        feature_extractor: Any = None,
        tokenizer: Any = None,
        model_subsampling: int = PATCHES_PER_TOKEN,
        chat_template: str | dict[str, str] | None = None,
        audio_token: str | None = None,
        audio_bos_token: str | None = None,
        audio_eos_token: str | None = None,
    ) -> None:
        if tokenizer is None:
            raise ConfigError("a processor needs a tokenizer: MiDashengLMProcessor(tokenizer=...)")
        if model_subsampling != PATCHES_PER_TOKEN:
            raise ConfigError(
                f"model_subsampling is {model_subsampling}; "
                f"only {PATCHES_PER_TOKEN} patches a token (5 Hz) is supported"
            )
        if feature_extractor is None:
            feature_extractor = Wav2Vec2FeatureExtractor(**FEATURE_EXTRACTOR, return_attention_mask=True)
        for name, needed in FEATURE_EXTRACTOR.items():
            if (given := getattr(feature_extractor, name, None)) != needed:
                raise ConfigError(f"feature extractor: {name} is {given!r}, but the encoder needs {needed!r}")
        self.model_subsampling = model_subsampling
        self.audio_token = audio_token or _marker(tokenizer, "audio_token")
        self.audio_bos_token = audio_bos_token or _marker(tokenizer, "audio_bos_token")
        self.audio_eos_token = audio_eos_token or _marker(tokenizer, "audio_eos_token")
        self.audio_token_id = _single_token_id(tokenizer, "audio_token", self.audio_token)
        self.audio_bos_token_id = _single_token_id(tokenizer, "audio_bos_token", self.audio_bos_token)
        self.audio_eos_token_id = _single_token_id(tokenizer, "audio_eos_token", self.audio_eos_token)
        template = chat_template or tokenizer.chat_template or default_chat_template()
        super().__init__(feature_extractor, tokenizer, chat_template=template)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> "MiDashengLMProcessor":
        """Load from a folder in the released layout, or from the hub by name; code found there is never run.

        Takes the hub options of transformers (``cache_dir``, ``revision``, ...); the settings of the class
        override those of the folder; other options go to the tokenizer. A folder without
        ``preprocessor_config.json`` gets the default feature extractor. Raises :class:`ConfigError` as the
        class does, OSError where files are missing.
        """
        source = str(pretrained_model_name_or_path)
        # Remote code that the folder names (auto_map) is what this class stands in for.
        for unused in ("trust_remote_code", "_from_auto"):
            kwargs.pop(unused, None)
        hub = {name: kwargs.pop(name) for name in _HUB_KEYS if name in kwargs}
        saved, _ = cls.get_processor_dict(source, **hub)
        chosen = {name: saved[name] for name in SETTINGS if saved.get(name) is not None}
        chosen |= {name: kwargs.pop(name) for name in SETTINGS if name in kwargs}
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **hub, **kwargs)
        tokenizer.init_kwargs.pop("auto_map", None)
        return cls(_load_feature_extractor(source, saved, hub), tokenizer, **chosen)

    @property
    def model_input_names(self) -> list[str]:
        """The keys of a call with audio, in order."""
        return ["input_ids", "attention_mask", "input_values", "audio_length"]

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        audio: Clip | Sequence[Clip] | None = None,
        *,
        images: None = None,
        videos: None = None,
        **options: Any,
    ) -> BatchFeature:
        """Tokenize ``text`` and pad ``audio``; each placeholder stands for one clip, in reading order.

        ``text`` is one string or a batch, ``audio`` one clip or a flat list over the batch: float waveforms
        ``(S,)`` at 16 kHz (numpy or torch), or paths, URLs and file bytes for
        :func:`opendasheng.audio.load_audio`.

        Options of the tokenizer are taken as they are or inside ``text_kwargs`` (``padding=True`` and
        ``padding_side="left"`` unless told otherwise), ``sampling_rate`` and ``audio_kwargs`` for the audio,
        and ``return_tensors`` "pt" (as released), "np" or None.

        Returns ``input_ids`` and ``attention_mask`` int64 ``(B, T)``; with audio also ``input_values``
        float32 ``(num_clips, S)``, zeros on the right, and ``audio_length`` int64 ``(num_clips,)`` in
        samples.

        Raises :class:`ConfigError` for images, videos, another sampling rate, an unknown option, placeholders
        that do not match the clips or that truncation cut off; :class:`AudioError` for a clip that cannot be
        heard.
        """
        if images is not None or videos is not None:
            raise ConfigError("images and videos cannot be processed: this model takes text and audio")
        texts = _as_texts(text)
        text_options, audio_options = _split_options(options)
        return_tensors = text_options.pop("return_tensors", "pt")
        heard = self._pad_audio(_as_waveforms(audio), audio_options)
        expanded = expand_placeholders(
            texts,
            heard.get("audio_length", np.zeros(0, dtype=np.int64)).tolist(),
            audio_token=self.audio_token,
            audio_bos=self.audio_bos_token,
            audio_eos=self.audio_eos_token,
        )
        encoded = self.tokenizer(expanded, **text_options)
        self._check_untruncated(expanded, encoded["input_ids"])
        return BatchFeature({**encoded, **heard}, tensor_type=return_tensors)

    def apply_chat_template(
        self,
        conversation: Conversation | Sequence[Conversation],
        chat_template: str | None = None,
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Render one conversation or a batch with the chat template; with ``tokenize`` also process it.

        A message has a ``role`` and a ``content``: a string, or a list of ``{"type": "text", "text": ...}``
        and ``{"type": "audio", "audio" | "path" | "url": ...}``, where a clip is whatever a call takes as
        one. ``chat_template`` is a template, or the name of one of several that the checkpoint has. Options
        of a call go in ``processor_kwargs`` or are named directly; all other keywords are seen by the
        template.

        Returns the rendered string (a list for a batch), placeholders not yet expanded; with ``tokenize`` the
        ``input_ids``, with ``return_dict`` too everything that a call returns, always as a batch.

        Raises :class:`ConfigError` for messages or options of another form, and what a call raises.
        """
        _refuse_unsupported(kwargs)
        options = {**(processor_kwargs or {}), **{k: kwargs.pop(k) for k in CALL_OPTIONS & kwargs.keys()}}
        conversations = as_conversations(conversation)
        variables = {name: getattr(self, name) for name in DEFAULT_TOKENS} | kwargs
        try:
            prompts: list[str] = self.tokenizer.apply_chat_template(
                conversations,
                chat_template=self._find_template(chat_template),
                add_generation_prompt=add_generation_prompt,
                tokenize=False,
                **variables,
            )
        except TemplateError as error:
            raise ConfigError(f"the chat template refuses these messages: {error}") from error
        if not tokenize:
            return prompts if is_batch(conversation) else prompts[0]
        bos = self.tokenizer.bos_token
        if bos and prompts[0].startswith(bos):
            # The template has written the token that the tokenizer would put in front once more.
            options["add_special_tokens"] = False
        inputs = self(text=prompts, audio=clips_of(conversations), **options)
        return inputs if return_dict else inputs["input_ids"]

    def _find_template(self, wanted: str | None) -> str:
        templates = self.chat_template
        if isinstance(templates, str):
            return wanted or templates
        if (wanted or "default") in templates:
            return str(templates[wanted or "default"])
        if wanted is not None and "{" in wanted:
            return wanted
        raise ConfigError(f"no chat template is named {wanted or 'default'!r}; there are {sorted(templates)}")

    def _pad_audio(self, waveforms: list[Any], options: dict[str, Any]) -> dict[str, Any]:
        """Waveforms -> ``input_values`` float32 (num_clips, S) and ``audio_length``; nothing for no clips."""
        if not waveforms:
            return {}
        padded = self.feature_extractor(
            waveforms,
            sampling_rate=SAMPLE_RATE_HZ,
            padding=True,
            return_attention_mask=True,
            return_tensors="np",
            **options,
        )
        return {
            "input_values": padded["input_values"],
            "audio_length": padded["attention_mask"].sum(-1, dtype=np.int64),
        }

    def _check_untruncated(self, texts: list[str], input_ids: list[list[int]]) -> None:
        for index, (text, ids) in enumerate(zip(texts, input_ids, strict=True)):
            wanted, kept = text.count(self.audio_token), list(ids).count(self.audio_token_id)
            if kept != wanted:
                raise ConfigError(
                    f"text {index}: {kept} of {wanted} audio tokens are left after truncation; "
                    "raise max_length, or give a shorter clip"
                )


def _marker(tokenizer: Any, name: str) -> str:
    """What the tokenizer itself calls ``audio_token`` and so on, else the released string."""
    return getattr(tokenizer, name, None) or DEFAULT_TOKENS[name]


def _single_token_id(tokenizer: Any, name: str, token: str) -> int:
    ids = tokenizer.encode(token, add_special_tokens=False)
    if len(ids) != 1:
        raise ConfigError(
            f"{name} {token!r} is {len(ids)} tokens to this tokenizer, not one; add it as a special token, "
            f"or set {name} to one that it has"
        )
    return int(ids[0])


def _load_feature_extractor(source: str, saved: Mapping[str, Any], hub: dict[str, Any]) -> Any:
    """From ``processor_config.json`` (transformers 5) or ``preprocessor_config.json``; None without both."""
    if not saved.keys() & {"feature_extractor", "audio_processor"}:
        name = FEATURE_EXTRACTOR_NAME
        if cached_file(source, name, _raise_exceptions_for_missing_entries=False, **hub) is None:
            return None
    settings, _ = Wav2Vec2FeatureExtractor.get_feature_extractor_dict(source, **hub)
    kind = settings.get("feature_extractor_type", Wav2Vec2FeatureExtractor.__name__)
    if kind != Wav2Vec2FeatureExtractor.__name__:
        raise ConfigError(f"{source}: feature_extractor_type is {kind!r}; only Wav2Vec2FeatureExtractor is supported")
    # auto_map would be saved again, pointing at code that the new folder does not hold.
    settings = {key: value for key, value in settings.items() if key != "auto_map"}
    return Wav2Vec2FeatureExtractor(**(FEATURE_EXTRACTOR | settings))


def _as_texts(text: str | Sequence[str] | None) -> list[str]:
    texts = [text] if isinstance(text, str) else list(text or [])
    if not texts or not all(isinstance(one, str) for one in texts):
        raise ConfigError(f"text must be a string or a list of strings, not {text!r}")
    return texts


def _as_waveforms(audio: Clip | Sequence[Clip] | None) -> list[Any]:
    """One clip or a list of them -> float32 waveforms (S,) at 16 kHz."""
    if audio is None:
        return []
    clips = list(audio) if isinstance(audio, list | tuple) else [audio]
    waveforms = []
    for index, clip in enumerate(clips):
        try:
            waveforms.append(_as_waveform(clip))
        except AudioError as error:
            raise AudioError(f"clip {index} of {len(clips)}: {error}") from error
    return waveforms


def _as_waveform(clip: Any) -> Any:
    if isinstance(clip, str | os.PathLike | bytes):
        return load_audio(clip)
    if isinstance(clip, torch.Tensor):
        # numpy has no bfloat16.
        clip = clip.detach().cpu()
        clip = (clip.float() if clip.is_floating_point() else clip).numpy()
    if not isinstance(clip, np.ndarray):
        raise AudioError(f"a clip is a waveform (numpy or torch), a path, a URL or bytes, not {type(clip).__name__}")
    if clip.ndim != 1:
        raise AudioError(f"a waveform must be one-dimensional, not {clip.shape}; give several clips as a list")
    return load_audio(clip, sampling_rate=SAMPLE_RATE_HZ)


def _split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a call -> those of the tokenizer, over our defaults, and those of the audio."""
    groups = {name: dict(options.get(name) or {}) for name in GROUPED_OPTIONS}
    direct = groups["common_kwargs"] | {k: v for k, v in options.items() if k not in GROUPED_OPTIONS}
    audio = groups["audio_kwargs"]
    # Named directly, only the rate is for the audio: max_length=512 with truncation must not cut samples.
    if "sampling_rate" in direct:
        audio["sampling_rate"] = direct.pop("sampling_rate")
    text = {**TEXT_DEFAULTS, **groups["text_kwargs"], **direct}
    for chosen, known in ((text, TEXT_OPTIONS), (audio, AUDIO_OPTIONS)):
        if unknown := sorted(chosen.keys() - known):
            nearest = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(sorted(known))}"
            raise ConfigError(f"unknown processor option {unknown[0]!r}; {hint}")
    rate = audio.pop("sampling_rate", None)
    if rate not in (None, SAMPLE_RATE_HZ):
        raise ConfigError(
            f"sampling_rate is {rate}, but waveforms must be at {SAMPLE_RATE_HZ} Hz; "
            "resample them with opendasheng.audio.load_audio(waveform, sampling_rate=...)"
        )
    for name in ("padding", "return_attention_mask"):
        if audio.pop(name, True) is not True:
            raise ConfigError(f"audio_kwargs: {name} can only be True; the model needs padded clips and their lengths")
    return text, audio


def _refuse_unsupported(options: dict[str, Any]) -> None:
    """Drop the options of transformers that are switched off, refuse them switched on."""
    for name in ("return_assistant_tokens_mask", "load_audio_from_video", "sanitize_control_tokens"):
        if options.pop(name, False):
            raise ConfigError(f"{name} is not supported by this processor; leave it out")
