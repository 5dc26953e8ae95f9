"""The models that the paper compares with, by the classes that transformers has for them, and their own prompts.

Qwen2.5-Omni answers here with its thinker; transformers has no Kimi-Audio, which is asked behind a server. One clip is
answered at a time, so that an answer cannot depend on others; for many clips a server is quicker.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from opendasheng import hub
from opendasheng.devices import pick_device
from opendasheng.engine import quiet_transformers
from opendasheng.errors import AudioError, CheckpointError, ConfigError, EvaluationError
from opendasheng.evaluate.answerers import (
    MAX_SECONDS,
    Outcome,
    Reply,
    display_name,
    full_options,
    heard,
    seconds_limit,
)
from opendasheng.evaluate.asking import Question
from opendasheng.lengths import SAMPLE_RATE_HZ, seconds
from opendasheng.model.loading import compute_dtype

QWEN_TYPES = ("qwen2_5_omni", "qwen2_5_omni_thinker")
_ENDS = ("<|im_end|>", "<|endoftext|>")
_BEGIN, _AUDIO, _END = "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"


def require_class(model_type: str, name: str) -> None:
    """Raise :class:`ConfigError` with the way out for a model that transformers has no class for."""
    if model_type not in QWEN_TYPES:
        raise ConfigError(
            f"{name}: transformers has no class for a {model_type!r} model; serve it with vLLM "
            f"(vllm serve {name} --trust-remote-code) and name the server with --endpoint"
        )


class QwenOmniAnswerer:
    """A Qwen2.5-Omni, whole or its thinker alone; loaded when the first question comes.

    Audio and text are prepared as transformers' processor for it does, whose other half needs packages for pictures.
    """

    family = "qwen2.5-omni"

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        offline: bool | None = None,
        device: str = "auto",
        dtype: str = "auto",
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """``name`` is a folder or a hub id. Raises :class:`CheckpointError` where there is no such model."""
        self._folder = Path(name) if Path(name).is_dir() else hub.download(name, revision, offline)
        self._name = name
        require_class(str(hub.read_config(self._folder, self._name).get("model_type")), self._name)
        self._device, self._dtype = device, dtype
        self._limit = seconds_limit(max_seconds)
        self._parts: _Parts | None = None
        self.model_name = display_name(self._name, self.family)
        self.fingerprint = f"transformers {hub.fingerprint(self._folder)} {dtype}"

    def generation(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All of the engine's options; transformers has each of them."""
        return full_options(options)

    def answers(self, questions: Iterable[Question], generation: Mapping[str, Any]) -> Iterator[tuple[int, Outcome]]:
        """See :class:`opendasheng.evaluate.answerers.Answerer`; one after the other, in order."""
        if self._parts is None:
            self._parts = _Parts(self._folder, self._name, self._device, self._dtype)
        for number, question in enumerate(questions):
            yield number, heard(question, partial(self._answer, self._parts, question, generation), self._limit)

    @staticmethod
    def _answer(
        parts: "_Parts", question: Question, generation: Mapping[str, Any], audio: NDArray[np.float32]
    ) -> Reply:
        text, was_cut = parts.write(parts.inputs(question, audio), generation)
        return Reply(text, seconds(len(audio)), "length" if was_cut else "stop")


class _Parts:
    """The thinker with its tokenizer, feature extractor and chat template."""

    def __init__(self, folder: Path, name: str, device: str, dtype: str) -> None:
        from transformers import (
            AutoTokenizer,
            GenerationConfig,
            Qwen2_5OmniThinkerForConditionalGeneration,
            WhisperFeatureExtractor,
        )

        where = pick_device(device)
        try:
            with quiet_transformers():
                self.model = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
                    folder, dtype=compute_dtype(dtype, where)
                )
                self.tokenizer = AutoTokenizer.from_pretrained(folder)
                self.features = WhisperFeatureExtractor.from_pretrained(folder)
        except Exception as error:  # transformers has many kinds for a damaged file
            words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise CheckpointError(f"{name}: the model cannot be loaded ({words}); fetch it again") from error
        self.model = self.model.to(where).eval()
        self.model.generation_config = GenerationConfig()  # else its file would fill in what we leave open
        self._template = _chat_template(folder) or self.tokenizer.chat_template
        if not self._template:
            raise CheckpointError(f"{name}: it has no chat template (chat_template.json or .jinja); fetch it again")
        known = (self.tokenizer.convert_tokens_to_ids(token) for token in _ENDS)
        self._ends = [end for end in known if end is not None and end != self.tokenizer.unk_token_id]

    def inputs(self, question: Question, audio: NDArray[np.float32]) -> dict[str, Any]:
        """What the model takes for one question. Raises :class:`AudioError` for a clip beyond what it hears."""
        most = self.features.n_samples
        if len(audio) > most:
            raise AudioError(
                f"it is {seconds(len(audio)):.2f} s long and the model hears {seconds(most):g} s; shorten it"
            )
        heard = self.features(
            audio,
            sampling_rate=SAMPLE_RATE_HZ,
            padding="max_length",
            return_attention_mask=True,
            return_tensors="pt",
        )
        num_tokens = self.num_audio_tokens(int(heard["attention_mask"].sum()))
        if num_tokens < 1:
            raise AudioError(f"it has {len(audio)} samples at 16 kHz, too few for the model; record more")
        marked = f"{_BEGIN}{_AUDIO}{_END}"
        system = [{"role": "system", "content": [{"type": "text", "text": question.system}]}] if question.system else []
        content = [{"type": "text", "text": question.prompt}, {"type": "audio", "audio": "clip"}]
        text = self.tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": content}],
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
        )
        if text.count(marked) != 1 or text.count(_AUDIO) != 1:
            raise EvaluationError(f"the conversation has {text.count(_AUDIO)} {_AUDIO}, not 1; ask without such words")
        tokens = self.tokenizer(text.replace(marked, f"{_BEGIN}{_AUDIO * num_tokens}{_END}"), return_tensors="pt")
        return {
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            "input_features": heard["input_features"].to(self.model.dtype),
            "feature_attention_mask": heard["attention_mask"],
        }

    @staticmethod
    def num_audio_tokens(num_frames: int) -> int:
        """Tokens for mel frames: a convolution of stride 2, then a mean of two."""
        halved = (num_frames - 1) // 2 + 1
        return (halved - 2) // 2 + 1

    def write(self, inputs: Mapping[str, Any], generation: Mapping[str, Any]) -> tuple[str, bool]:
        """The answer, and whether it was cut at ``max_new_tokens``."""
        from transformers import GenerationConfig

        options = dict(generation)
        seed = options.pop("seed")
        sampling = {name: options.pop(name) for name in ("temperature", "top_k", "top_p")}
        draws = sampling["temperature"] > 0
        config = GenerationConfig(
            **options,
            do_sample=draws,
            **({name: value for name, value in sampling.items() if value is not None} if draws else {}),
            **({"top_k": 0} if draws and sampling["top_k"] is None else {}),
            eos_token_id=self._ends,
            pad_token_id=self._ends[-1],
        )
        if seed is not None:
            torch.manual_seed(seed)
        placed = {name: value.to(self.model.device) for name, value in inputs.items()}
        with torch.inference_mode(), quiet_transformers():
            written = self.model.generate(**placed, generation_config=config)
        new = written[0, placed["input_ids"].shape[1] :].tolist()
        text = self.tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).strip(), not (new and new[-1] in self._ends)


def _chat_template(folder: Path) -> str | None:
    """The template that processors of transformers 4 kept in a file of its own."""
    path = folder / "chat_template.json"
    if not path.is_file():
        return None
    try:
        template = json.loads(path.read_text(encoding="utf-8"))["chat_template"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: it holds no chat template ({error}); fetch it again") from error
    return str(template)
