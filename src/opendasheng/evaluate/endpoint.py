"""Models behind an OpenAI-compatible server: asked about clips over HTTP, many questions at a time."""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from opendasheng.audio import load_audio
from opendasheng.chat import ChatServers, Patience, UnreachableError, in_parallel
from opendasheng.errors import AudioError, ConfigError, DashengError, EvaluationError
from opendasheng.evaluate.answerers import (
    DISPLAY,
    MAX_SECONDS,
    Outcome,
    Reply,
    display_name,
    family_of,
    full_options,
    opened,
    seconds_limit,
)
from opendasheng.evaluate.asking import Question
from opendasheng.lengths import SAMPLE_RATE_HZ, seconds

if TYPE_CHECKING:
    import httpx

AUDIO_FORMS = ("input_audio", "audio_url")
# After so many questions in a row without an answer from any server a run ends, instead of failing every row.
_MOST_UNREACHABLE = 20


class EndpointAnswerer:
    """A model that servers offer under ``/v1/chat/completions``; several are asked in turn."""

    def __init__(
        self,
        urls: Sequence[str],
        model: str | None = None,
        *,
        family: str | None = None,
        api_key: str | None = None,
        concurrency: int = 8,
        patience: Patience | None = None,
        audio_form: str = "input_audio",
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        """``model`` is the name that the servers give it; None takes the only one that the first server has.

        ``family`` says whose prompts are asked, where the name does not tell. ``concurrency`` questions are under way
        at each server. Raises what :class:`ChatServers` does, and :class:`ConfigError` for options that there are not.
        """
        if audio_form not in AUDIO_FORMS:
            raise ConfigError(f"audio_form is {audio_form!r}; it is {' or '.join(AUDIO_FORMS)}")
        self._limit = seconds_limit(max_seconds)
        self._servers = ChatServers(urls, model, api_key=api_key, patience=patience)
        self._concurrency = concurrency * len(self._servers.bases)
        self._form = audio_form
        name = self._servers.model
        found = family or family_of(name)
        if found is None:
            raise ConfigError(
                f"{name}: its name does not tell whose prompts it knows; say --prompts {'|'.join(DISPLAY)}"
            )
        self.family = found
        self.model_name = display_name(name, family_of(name) or found)
        self.fingerprint = f"endpoint {name}"

    def generation(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent; options at their default that OpenAI's interface lacks are left out."""
        full = full_options(options)
        sent = {"max_tokens": full["max_new_tokens"], "temperature": full["temperature"]}
        extra = {name: full[name] for name in ("top_p", "seed", "top_k") if full[name] is not None}
        penalty = {"repetition_penalty": full["repetition_penalty"]} if full["repetition_penalty"] != 1.0 else {}
        return sent | extra | penalty

    def answers(self, questions: Iterable[Question], generation: Mapping[str, Any]) -> Iterator[tuple[int, Outcome]]:
        """See :class:`Answerer`. Raises :class:`EvaluationError` once no server has answered for a while."""
        silent = 0
        with self._servers.client(self._concurrency) as client:

            def ask(number: int, question: Question) -> Outcome:
                return self._ask(client, number, question, generation)

            for number, outcome in in_parallel(ask, questions, self._concurrency):
                silent = silent + 1 if isinstance(outcome, UnreachableError) else 0
                if silent >= max(_MOST_UNREACHABLE, 2 * self._concurrency):
                    raise EvaluationError(f"{silent} questions in a row got no answer; the last: {outcome}")
                yield number, outcome

    def _ask(self, client: "httpx.Client", number: int, question: Question, generation: Mapping[str, Any]) -> Outcome:
        try:
            audio = self._audio(question)
            messages = self._messages(question, audio)
            found = self._servers.complete(client, question.name, messages, generation, first=number)
        except DashengError as error:
            return error
        return Reply(found.text, seconds(len(audio)), found.finish)

    def _audio(self, question: Question) -> NDArray[np.float32]:
        clip = opened(question)
        if isinstance(clip, DashengError):
            raise clip
        source, rate_hz = clip if isinstance(clip, tuple) else (clip, None)
        try:
            return load_audio(source, rate_hz, max_seconds=self._limit)
        except AudioError as error:
            raise AudioError(f"{question.name}: {error}") from error

    def _messages(self, question: Question, audio: NDArray[np.float32]) -> list[dict[str, Any]]:
        data = base64.b64encode(wav(audio)).decode()
        if self._form == "input_audio":
            clip: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        else:
            clip = {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{data}"}}
        system = [{"role": "system", "content": question.system}] if question.system else []
        return [*system, {"role": "user", "content": [{"type": "text", "text": question.prompt}, clip]}]


def wav(audio: NDArray[np.float32]) -> bytes:
    """float32 ``(S,)`` at 16 kHz as a WAV file: of 16 bits where these hold every sample exactly, else of floats.

    What was recorded at 16 kHz and 16 bits is then the same to the server as to our own engine, and so is the rest.
    """
    scaled = audio.astype(np.float64) * 32768.0
    exact = bool(
        np.all(scaled == np.rint(scaled)) and scaled.min(initial=0) >= -32768 and scaled.max(initial=0) <= 32767
    )
    buffer = io.BytesIO()
    samples = scaled.astype(np.int16) if exact else audio
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16" if exact else "FLOAT")
    return buffer.getvalue()
