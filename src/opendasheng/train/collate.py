"""Draws -> the tensors of one training batch.

Shapes: A clips (one a conversation), S samples of the longest, P positions of the longest conversation.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from opendasheng import prompts
from opendasheng.data.mixture import Draw
from opendasheng.data.shards import ShardReader
from opendasheng.errors import CorpusError
from opendasheng.lengths import PADDED_SAMPLES, SAMPLE_RATE_HZ, num_audio_tokens
from opendasheng.model.processing import MiDashengLMProcessor, expand_placeholders
from opendasheng.train.tokenizer import END_OF_TURN, START_OF_TURN

IGNORED = -100


class Collator:
    """Reads, mixes and pads audio, and writes out conversations with labels on the answer alone (paper 3.2)."""

    def __init__(
        self,
        reader: ShardReader,
        processor: MiDashengLMProcessor,
        *,
        with_transcripts: bool = False,
        max_answer_tokens: int | None = None,
        max_positions: int | None = None,
    ) -> None:
        """``with_transcripts`` adds those of the clips, whatever is asked about them. A batch with an answer of more
        than ``max_answer_tokens``, a conversation of more than ``max_positions``, or a text that holds a marker of
        audio or of turns, raises :class:`CorpusError`."""
        self.reader = reader
        self._with_transcripts, self._max_answer_tokens = with_transcripts, max_answer_tokens
        self._max_positions = max_positions
        self.processor = processor
        self.tokenizer = processor.tokenizer
        audio = processor.audio_token, processor.audio_bos_token, processor.audio_eos_token
        self._markers = (*audio, START_OF_TURN, END_OF_TURN)
        self._templates: dict[tuple[str, str], str] = {}
        self._question_tokens: dict[tuple[str, str], int] = {}
        self._answer_tokens: dict[str, int] = {}

    def __call__(self, draws: Sequence[Draw]) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask``, ``labels`` int64 ``(A, P)``, padded on the left; ``input_values`` float32
        ``(A, S)`` at 16 kHz; ``audio_length`` int64 ``(A,)``. Labels are -100 but on the answer and its end of turn.
        ``transcripts`` int64 ``(A, C)`` where they are wanted, -100 behind them."""
        waves = [waveform(self.reader, draw) for draw in draws]
        rows = [self._text(draw, len(wave)) for draw, wave in zip(draws, waves, strict=True)]
        width = max(len(ids) for ids, _ in rows)
        pad_id = self.tokenizer.pad_token_id
        input_values, audio_length = padded(waves)
        return {
            "input_ids": torch.tensor([[pad_id] * (width - len(ids)) + ids for ids, _ in rows]),
            "attention_mask": torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in rows]),
            "labels": torch.tensor(
                [[IGNORED] * (width - num_answer) + ids[len(ids) - num_answer :] for ids, num_answer in rows]
            ),
            "input_values": input_values,
            "audio_length": audio_length,
            **({"transcripts": self._transcripts(draws)} if self._with_transcripts else {}),
        }

    def _transcripts(self, draws: Sequence[Draw]) -> Tensor:
        texts = [draw.transcript(self.reader.clips) for draw in draws]
        for draw, text in zip(draws, texts, strict=True):
            self._refuse_markers(draw, transcript=text)
        ids = [torch.tensor(self.tokenizer(text)["input_ids"] if text else [], dtype=torch.long) for text in texts]
        return pad_sequence(ids, batch_first=True, padding_value=IGNORED)

    def num_positions(self, draw: Draw) -> int:
        """Tokens of the conversation of a draw, those of its audio reckoned from its duration."""
        example = draw.example
        asked = example.prompt, example.system
        if asked not in self._question_tokens:
            with_placeholder = self.tokenizer(self._template(*asked))["input_ids"]
            self._question_tokens[asked] = len(with_placeholder) - 1
        if example.answer not in self._answer_tokens:
            self._answer_tokens[example.answer] = len(self.tokenizer(example.answer + END_OF_TURN)["input_ids"])
        num_samples = max(PADDED_SAMPLES, round(draw.duration_seconds * SAMPLE_RATE_HZ))
        audio = int(num_audio_tokens(num_samples))
        return self._question_tokens[asked] + audio + self._answer_tokens[example.answer]

    def fits(self, draw: Draw) -> bool:
        """Whether the answer of a draw and its conversation are no longer than they may be."""
        positions, answer = self.num_positions(draw), self._answer_tokens[draw.example.answer]
        return answer <= (self._max_answer_tokens or answer) and positions <= (self._max_positions or positions)

    def _template(self, prompt: str, system: str) -> str:
        """The conversation up to the answer, with one placeholder of audio."""
        asked = prompt, system
        if asked not in self._templates:
            self._templates[asked] = self.processor.apply_chat_template(
                prompts.conversation(prompt, np.zeros(0), system=system or None),
                add_generation_prompt=True,
                tokenize=False,
            )
        return self._templates[asked]

    def _text(self, draw: Draw, num_samples: int) -> tuple[list[int], int]:
        """Token ids of the conversation, and how many of them, at the end, are the answer's."""
        prompt = draw.example.prompt
        self._refuse_markers(draw, prompt=prompt, system=draw.example.system, answer=draw.example.answer)
        [question] = expand_placeholders(
            [self._template(prompt, draw.example.system)],
            [num_samples],
            audio_token=self.processor.audio_token,
            audio_bos=self.processor.audio_bos_token,
            audio_eos=self.processor.audio_eos_token,
        )
        answer = self.tokenizer(draw.example.answer + END_OF_TURN)["input_ids"]
        if self._max_answer_tokens is not None and len(answer) > self._max_answer_tokens:
            raise CorpusError(
                f"{self.reader.where(draw.index)}: an answer of {len(answer)} tokens to {prompt!r}; "
                f"data.max_answer_tokens is {self._max_answer_tokens}"
            )
        ids = self.tokenizer(question)["input_ids"] + answer
        if self._max_positions is not None and len(ids) > self._max_positions:
            raise CorpusError(
                f"{self.reader.where(draw.index)}: a conversation of {len(ids)} tokens, audio among them, whose prompt "
                f"begins {prompt[:40]!r}; the decoder has {self._max_positions} positions (max_position_embeddings)"
            )
        return ids, len(answer)

    def _refuse_markers(self, draw: Draw, **texts: str) -> None:
        """What stands for audio, or ends a turn, must not be said."""
        for what, text in texts.items():
            for marker in self._markers:
                if marker in text:
                    index = self._clip_of(draw, marker)
                    # Of the clip itself only what is asked is at fault: asked otherwise it can be heard.
                    at_fault = self.reader.clips[index].id if index != draw.index or what == "transcript" else ""
                    raise CorpusError(
                        f"{self.reader.where(index)}: its {what} holds {marker}, which is a marker of conversations; "
                        "take it out of the text",
                        clip_id=at_fault,
                    )

    def _clip_of(self, draw: Draw, marker: str) -> int:
        """The clip that brought the marker: the one beneath has its captions and labels joined to the other's, those
        that follow their transcripts."""
        for follower in draw.followers:
            if marker in (self.reader.clips[follower.clip].transcript or ""):
                return follower.clip
        if draw.background is not None:
            under = self.reader.clips[draw.background]
            if any(marker in text for text in (*under.captions, *under.labels)):
                return draw.background
        return draw.index


def waveform(reader: ShardReader, draw: Draw, *, degraded: bool = True) -> np.ndarray:
    """The waveform of a draw, ``(S,)`` float32: at its speed and gain, over its background, at least 3200 samples;
    through its telephone and with its noise where ``degraded``."""
    wave = _gain(draw.gain_db) * draw.change.retime(_in_a_row(reader, draw))
    if draw.background is not None:
        under = np.resize(reader.audio(draw.background), len(wave))  # repeated or cut to the foreground's length
        level = _rms(wave) / max(_rms(under), 1e-4) * _gain(draw.background_db)
        wave = wave + level * under
    if degraded:
        wave = draw.change.degrade(wave)
    peak = float(np.abs(wave).max(initial=0.0))
    wave = wave / max(1.0, peak)
    return np.pad(wave, (0, max(0, PADDED_SAMPLES - len(wave)))).astype(np.float32)


def _in_a_row(reader: ShardReader, draw: Draw) -> np.ndarray:
    """The clip of a draw and those that follow it, with silence between them."""
    parts = [reader.audio(draw.index)]
    for clip, pause_seconds in draw.followers:
        parts += [np.zeros(round(pause_seconds * SAMPLE_RATE_HZ), dtype=np.float32), reader.audio(clip)]
    return np.concatenate(parts)


def padded(waves: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Waveforms side by side, zeros behind the shorter ones: float32 ``(A, S)``, and their lengths, int64 ``(A,)``."""
    values = torch.zeros(len(waves), max(len(wave) for wave in waves))
    for row, wave in zip(values, waves, strict=True):
        row[: len(wave)] = torch.from_numpy(wave)
    return values, torch.tensor([len(wave) for wave in waves])


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave)))) if len(wave) else 0.0
