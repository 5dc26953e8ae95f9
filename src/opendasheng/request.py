"""What is asked of a model, what it answers, and requests made ready: clips opened, text tokenised, batches formed."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from opendasheng import prompts
from opendasheng.audio import AudioSource, describe, load_audio
from opendasheng.errors import AudioError, ConfigError
from opendasheng.lengths import MIN_MEL_SAMPLES, MIN_TOKEN_SAMPLES, PADDED_SAMPLES, SAMPLE_RATE_HZ, seconds
from opendasheng.model.conversation import Conversation, Message, as_conversations, clips_of
from opendasheng.model.generation import Prompts
from opendasheng.model.processing import MiDashengLMProcessor

FinishReason: TypeAlias = Literal["stop", "length", "choice"]

# A clip: what load_audio takes, where an array without a rate is at 16 kHz, or an array and its rate in Hz.
Clip: TypeAlias = AudioSource | tuple[Any, int]


@dataclass(frozen=True)
class Request:
    """One conversation to answer, its clips not yet opened.

    ``messages`` are as for the chat template. With ``choices`` the answer is the likeliest of them.
    ``name`` is put in front of errors about clips that have no name of their own.
    """

    messages: Conversation
    choices: tuple[str, ...] | None = None
    name: str | None = None

    @classmethod
    def ask(
        cls,
        audio: Clip,
        prompt: str | None,
        *,
        system: str | None = None,
        context: str | Iterable[str] | None = None,
        choices: Sequence[str] | None = None,
        name: str | None = None,
    ) -> "Request":
        """One question about one clip. ``context`` holds names and terms to expect.

        Raises :class:`ConfigError` for a prompt that is no text, and for choices that are empty or repeated.
        """
        if prompt is not None and not isinstance(prompt, str):
            raise ConfigError(f"a prompt is a string, not {prompt!r}")
        text = prompts.with_context(prompt, context) if prompt else prompt
        messages = prompts.conversation(text, audio, system=system)
        return cls(messages, None if choices is None else checked_choices(choices), name)


@dataclass(frozen=True)
class Timings:
    """Seconds spent on opening the request's clips, and on prefill and decoding of the batch that it was part of."""

    load_seconds: float
    prefill_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Result:
    """An answer. ``text`` has no special tokens and no space around it.

    Prompt tokens count every position, audio included; new tokens do not count the one that ends an answer.
    ``finish_reason`` is "stop" when the model ended the answer, "length" when it ran out of tokens,
    "choice" when it had choices. ``audio_seconds`` is of the clips as given.
    """

    text: str
    num_audio_tokens: int
    num_prompt_tokens: int
    num_new_tokens: int
    finish_reason: FinishReason
    audio_seconds: float
    timings: Timings


def checked_choices(choices: Sequence[str]) -> tuple[str, ...]:
    """``choices`` as a tuple; :class:`ConfigError` unless they are distinct texts, at least one."""
    if isinstance(choices, str) or not choices:
        raise ConfigError(f"choices are a list of at least one text, not {choices!r}")
    for number, choice in enumerate(choices):
        if not isinstance(choice, str) or not choice.strip():
            raise ConfigError(f"choice {number} is {choice!r}; a choice is a text that is not blank")
        if choice in choices[:number]:
            raise ConfigError(f"choice {number} repeats {choice!r}; give each choice once")
    return tuple(choices)


@dataclass(frozen=True)
class Prepared:
    """A request that the model can take: ``input_ids`` with placeholders, and waveforms float32 ``(S,)``, 16 kHz."""

    index: int
    input_ids: list[int]
    waves: list[NDArray[np.float32]]
    audio_seconds: float
    choices: tuple[str, ...] | None
    load_seconds: float

    @property
    def num_samples(self) -> int:
        """Samples of all clips together."""
        return sum(map(len, self.waves))


class Preparer:
    """Requests -> :class:`Prepared`, for one processor and one decoder.

    ``max_positions`` is the decoder's limit on prompt and answer together, None where it states none.
    """

    def __init__(self, processor: MiDashengLMProcessor, max_positions: int | None) -> None:
        self.processor = processor
        self.max_positions = max_positions

    def __call__(self, request: Request, index: int, max_seconds: float | None) -> Prepared:
        """Open the clips of a request and tokenise it.

        Clips of 257 to 3039 samples (below 0.19 s) are zero-padded to 3200, the least that the model hears
        (SPEC 1.3). Raises :class:`AudioError` for a clip that cannot be heard, is shorter, or longer than
        ``max_seconds``; :class:`ConfigError` for messages of another form, or more than the decoder can
        hold.
        """
        began = time.perf_counter()
        conversations = as_conversations(request.messages)
        if len(conversations) != 1:
            raise ConfigError(f"a request is one conversation, not {len(conversations)}; ask them one by one")
        [messages] = conversations
        heard = [self._hear(clip, request.name, max_seconds) for clip in clips_of([messages])]
        waves = [np.pad(wave, (0, max(0, PADDED_SAMPLES - len(wave)))) if _is_short(wave) else wave for wave in heard]
        inputs = self.processor.apply_chat_template(
            _with_clips(messages, iter(waves)), add_generation_prompt=True, tokenize=True, return_dict=True
        )
        input_ids = inputs["input_ids"][0].tolist()
        self._require_room(len(input_ids), request)
        choices = None if request.choices is None else checked_choices(request.choices)
        length = seconds(sum(map(len, heard)))
        return Prepared(index, input_ids, waves, length, choices, time.perf_counter() - began)

    def _hear(self, clip: Any, name: str | None, max_seconds: float | None) -> NDArray[np.float32]:
        rate_hz: int | None = None
        if isinstance(clip, tuple) and len(clip) == 2:
            clip, rate_hz = clip
        elif not isinstance(clip, str | bytes) and (hasattr(clip, "shape") or hasattr(clip, "numpy")):
            rate_hz = SAMPLE_RATE_HZ
        prefix = f"{name}: " if name else ""
        try:
            wave = load_audio(clip, rate_hz, max_seconds=max_seconds)
        except AudioError as error:
            raise AudioError(f"{prefix}{error}") from error
        if len(wave) < MIN_MEL_SAMPLES:
            raise AudioError(
                f"{prefix}{describe(clip)}: it has {len(wave)} samples at 16 kHz ({seconds(len(wave)):.4f} s) and the "
                f"model needs {MIN_MEL_SAMPLES} ({seconds(MIN_MEL_SAMPLES):.4f} s); record more, or add silence"
            )
        return wave

    def _require_room(self, num_positions: int, request: Request) -> None:
        if self.max_positions is not None and num_positions >= self.max_positions:
            clips = clips_of([request.messages])
            name = request.name or (describe(clips[0]) if clips else "this conversation")
            raise ConfigError(
                f"{name}: the prompt takes {num_positions} positions of the decoder, audio included, which has "
                f"{self.max_positions}; give shorter or fewer clips, or less text"
            )


def _is_short(wave: NDArray[np.float32]) -> bool:
    return len(wave) < MIN_TOKEN_SAMPLES


def _with_clips(messages: Sequence[Message], waves: Iterator[NDArray[np.float32]]) -> list[Message]:
    """The messages with each clip replaced by its waveform."""
    return [
        {**message, "content": [_heard(item, waves) for item in message["content"]]}
        if isinstance(message.get("content"), list | tuple)
        else message
        for message in messages
    ]


def _heard(item: Message, waves: Iterator[NDArray[np.float32]]) -> Message:
    return {"type": "audio", "audio": next(waves)} if item["type"] == "audio" else item


def into_batches(prepared: Iterable[Prepared], batch_size: int, batch_seconds: float) -> Iterator[list[Prepared]]:
    """Batches of like length: at most ``batch_size`` requests, or ``batch_seconds`` of audio with its padding.

    A request that is longer than that on its own makes a batch of one. Requests with choices stay apart
    from others.
    """
    batch: list[Prepared] = []
    for item in sorted(prepared, key=lambda item: (item.choices is not None, len(item.input_ids), item.num_samples)):
        longest = max(map(len, (wave for one in [*batch, item] for wave in one.waves)), default=0)
        num_clips = sum(len(one.waves) for one in [*batch, item])
        if batch and (
            len(batch) >= batch_size
            or seconds(longest * num_clips) > batch_seconds
            or (batch[0].choices is None) != (item.choices is None)
        ):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def collate(batch: Sequence[Prepared], pad_id: int, device: torch.device) -> Prompts:
    """One batch for the model: ids padded on the left, waveforms on the right with zeros."""
    width = max(len(item.input_ids) for item in batch)
    input_ids = [[pad_id] * (width - len(item.input_ids)) + item.input_ids for item in batch]
    mask = [[0] * (width - len(item.input_ids)) + [1] * len(item.input_ids) for item in batch]
    ids, attended = torch.tensor(input_ids, device=device), torch.tensor(mask, device=device)
    waves = [torch.from_numpy(wave) for item in batch for wave in item.waves]
    if not waves:
        return Prompts(ids, attended)
    padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    return Prompts(ids, attended, padded.to(device), torch.tensor([len(wave) for wave in waves]))
