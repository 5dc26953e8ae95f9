"""Questions to a real server in a process of its own, which is busy, hangs, talks nonsense or is gone."""

import io
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from chat_servers import Server
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tasks import a_manifest, a_task, lines_of, noise

from opendasheng.chat import Patience, base_url
from opendasheng.data.records import Sound
from opendasheng.errors import ConfigError, EndpointError, EvaluationError
from opendasheng.evaluate.answerers import Outcome, Reply
from opendasheng.evaluate.asking import Question
from opendasheng.evaluate.datasets import TaskData
from opendasheng.evaluate.endpoint import EndpointAnswerer, wav
from opendasheng.evaluate.predict import predict_task

QUICK = Patience(timeout_seconds=10, attempts=4, backoff_seconds=0.01)
GREEDY = {"max_tokens": 6, "temperature": 0.0}


def questions(count: int, prompt: str = "Listen.") -> list[Question]:
    def sound(number: int) -> Sound:
        return Sound(f"{number}.wav", lambda: (noise(number).astype(np.float32), 16_000))

    return [Question(f"{number}.wav", sound(number), f"{prompt} {number}") for number in range(count)]


def an_answerer(*servers: Server, **more: Any) -> EndpointAnswerer:
    given_options = {"patience": QUICK, "concurrency": 4, **more}
    return EndpointAnswerer([server.url for server in servers], "org/MiDashengLM-7b", **given_options)


def ask(answerer: EndpointAnswerer, asked: list[Question], generation: dict[str, Any] = GREEDY) -> list[Outcome]:
    outcomes = dict(answerer.answers(iter(asked), generation))
    assert sorted(outcomes) == list(range(len(asked)))
    return [outcomes[number] for number in range(len(asked))]


def expected(count: int) -> list[Reply]:
    return [Reply(f"Listen. {n} {len(noise(n))} at 16000", len(noise(n)) / 16_000) for n in range(count)]


# What is sent and what comes back


@pytest.mark.parametrize("form", ["input_audio", "audio_url"])
def test_a_server_hears_the_clip_and_the_prompt(form: str, serve: Callable[..., Server]) -> None:
    server = serve()
    answerer = an_answerer(server, audio_form=form, api_key="secret")
    assert ask(answerer, questions(9)) == expected(9)
    assert all(request["authorization"] == "Bearer secret" for request in server.requests)
    body = server.requests[0]["body"]
    assert {name: body[name] for name in ("model", "max_tokens", "temperature")} == {
        "model": "org/MiDashengLM-7b",
        "max_tokens": 6,
        "temperature": 0.0,
    }
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert [part["type"] for part in body["messages"][0]["content"]] == ["text", form]


def test_system_messages_and_sampling_are_sent(serve: Callable[..., Server]) -> None:
    server = serve("length", "half")
    answerer = an_answerer(server, concurrency=1)
    sampling = answerer.generation(
        {"max_new_tokens": 3, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "seed": 1, "repetition_penalty": 1.1}
    )
    [one, two] = questions(2)
    first, second = ask(answerer, [Question("a", one.sound, "P", "S"), two], sampling)
    body = server.requests[0]["body"]
    assert body["messages"][0] == {"role": "system", "content": "S"}
    wanted = {"max_tokens": 3, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "seed": 1, "repetition_penalty": 1.1}
    assert {name: body[name] for name in wanted} == wanted
    assert isinstance(first, Reply)
    assert first.finish_reason == "length"
    assert isinstance(second, Reply)
    assert second.text.encode().endswith(b"alone")  # half a character is none
    assert answerer.generation({}) == {"max_tokens": 256, "temperature": 0.0}


def test_the_only_model_of_a_server_is_taken(serve: Callable[..., Server]) -> None:
    server = serve()
    answerer = EndpointAnswerer([server.url], patience=QUICK)
    assert (answerer.model_name, answerer.family) == ("MiDashengLM-7b", "midashenglm")
    assert answerer.fingerprint == "endpoint org/MiDashengLM-7b"
    with pytest.raises(EndpointError, match="has no model; name one with --model"):
        EndpointAnswerer([f"{server.url}/other/v1"], patience=QUICK)
    with pytest.raises(EndpointError, match="it does not say which models there are"):
        EndpointAnswerer(["http://127.0.0.1:1"], patience=QUICK)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("deep", "it does not say which models there are (RecursionError: "),
        ("gone", "(ValueError: status 404: no such page); name one with --model"),
        ("drip", "(ValueError: no answer within 0.5 s (ReadTimeout)); name one with --model"),
        ("many", "it has model 0, model 1, "),
        ("http://" + 99 * "h", "(ValueError: no connection (UnicodeError: "),
    ],
)
def test_a_server_that_does_not_say_its_model_is_an_error(
    place: str, reason: str, serve: Callable[..., Server]
) -> None:
    url = place if place.startswith("http") else f"{serve().url}/{place}"
    with pytest.raises(EndpointError) as raised:
        EndpointAnswerer([f"{url}/v1"], patience=Patience(timeout_seconds=0.5))
    assert reason in str(raised.value)
    assert len(str(raised.value)) < 400


def test_half_a_character_in_a_name_is_none(serve: Callable[..., Server]) -> None:
    taken = EndpointAnswerer([f"{serve().url}/half/v1"], patience=QUICK)
    given_names = [taken.model_name, taken.fingerprint, EndpointAnswerer(["http://x"], "midashenglm \udcff").model_name]
    assert given_names == ["MiDashengLM ?", "endpoint midashenglm ?", "MiDashengLM ?"]


@pytest.mark.parametrize("key", ["schl\u00fcssel", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match="look at the variable of --api-key-env") as raised:
        EndpointAnswerer(["http://x"], "midashenglm", api_key=key)
    assert key not in str(raised.value)


def test_the_name_tells_whose_prompts_are_asked() -> None:
    def of(name: str, family: str | None = None) -> tuple[str, str]:
        answerer = EndpointAnswerer(["http://x"], name, family=family)
        return answerer.family, answerer.model_name

    assert of("Qwen/Qwen2.5-Omni-7B") == ("qwen2.5-omni", "Qwen2.5-Omni-7B")
    assert of("/models/qwen2_5_omni_3b") == ("qwen2.5-omni", "Qwen2.5-Omni_3b")
    assert of("moonshotai/Kimi-Audio-7B-Instruct") == ("kimi-audio", "Kimi-Audio-7B-Instruct")
    assert of("mispeech/midashenglm-7b") == ("midashenglm", "MiDashengLM-7b")
    assert of("my-model", "kimi-audio") == ("kimi-audio", "Kimi-Audio (my-model)")
    assert of("Qwen2.5-Omni-7B", "midashenglm") == ("midashenglm", "Qwen2.5-Omni-7B")
    with pytest.raises(ConfigError, match=r"gpt-audio: its name does not tell .* say --prompts midashenglm\|"):
        of("gpt-audio")


def test_addresses_may_be_short_or_long() -> None:
    for url in ("http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/chat/completions"):
        assert base_url(url) == "http://h:1/v1"
    assert base_url("https://h/api/v2") == "https://h/api/v2"
    for url in ("h:1", "ftp://h", "http://", ""):
        with pytest.raises(ConfigError, match="is no address such as"):
            base_url(url)
    with pytest.raises(ConfigError, match="audio_form is 'mp3'"):
        EndpointAnswerer(["http://h"], "midashenglm", audio_form="mp3")


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(st.integers(-32768, 32767).map(lambda n: n / 32768), st.floats(-1.5, 1.5, width=32)), max_size=20
    )
)
def test_a_wav_file_holds_exactly_the_clip(samples: list[float]) -> None:
    audio = np.array(samples, dtype=np.float32)
    content = wav(audio)
    read, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
    assert rate_hz == 16_000
    assert np.array_equal(read, audio)
    is_short = all(float(sample * 32768).is_integer() and -1 <= sample < 1 for sample in audio)
    assert soundfile.info(io.BytesIO(content)).subtype == ("PCM_16" if is_short else "FLOAT")


# Servers in trouble


@pytest.mark.parametrize("trouble", ["429", "500", "503", "drop", "garbage", "empty", "408"])
def test_a_question_is_asked_again(trouble: str, serve: Callable[..., Server]) -> None:
    server = serve(trouble, "ok", trouble, trouble, "ok")
    assert ask(an_answerer(server, concurrency=1), questions(2)) == expected(2)
    assert [request["action"] for request in server.requests] == [trouble, "ok", trouble, trouble, "ok"]


def test_a_server_that_asks_for_time_gets_it(serve: Callable[..., Server]) -> None:
    server = serve("429-after-0.4", "429-after-Wed, 21 Oct 2015 07:28:00 GMT", "ok")
    assert ask(an_answerer(server, concurrency=1), questions(1)) == expected(1)
    first, second, third = (request["at"] for request in server.requests)
    assert second - first >= 0.4
    assert third - second < 5


def test_a_server_that_hangs_is_left(serve: Callable[..., Server]) -> None:
    server = serve("hang")
    began = time.monotonic()
    patience = Patience(timeout_seconds=0.5, attempts=3, backoff_seconds=0.01)
    assert ask(an_answerer(server, patience=patience), questions(3)) == expected(3)
    assert time.monotonic() - began < 20


def test_a_server_that_never_ends_is_left(serve: Callable[..., Server]) -> None:
    """A limit on the wait for each part alone would let it go on for ever."""
    server = serve("drip", "ok", "drip")
    began = time.monotonic()
    patience = Patience(timeout_seconds=0.5, attempts=1)
    [one, two, three] = ask(an_answerer(server, patience=patience, concurrency=1), questions(3))
    assert time.monotonic() - began < 10
    assert two == expected(2)[1]
    for failed in (one, three):
        assert str(failed).endswith("no answer within 0.5 s (ReadTimeout) (1 attempts)")


def test_patience_may_be_endless(serve: Callable[..., Server]) -> None:
    answerer = an_answerer(serve(), patience=Patience(timeout_seconds=math.inf, attempts=1))
    assert ask(answerer, questions(1)) == expected(1)


def test_another_server_steps_in(serve: Callable[..., Server]) -> None:
    gone, well = serve(), serve()
    gone.stop()
    assert ask(an_answerer(gone, well), questions(12)) == expected(12)


def test_servers_share_the_work(serve: Callable[..., Server]) -> None:
    one, two = serve(), serve()
    assert ask(an_answerer(one, two, concurrency=2), questions(20)) == expected(20)
    assert len(one.requests) == len(two.requests) == 10


def test_no_more_questions_are_under_way_than_allowed(serve: Callable[..., Server]) -> None:
    server = serve()
    drawn = 0

    def counted() -> Iterator[Question]:
        nonlocal drawn
        for question in questions(24):
            drawn += 1
            yield question

    for number, _ in enumerate(an_answerer(server, concurrency=3).answers(counted(), GREEDY)):
        assert drawn - number <= 3
    assert 2 <= max(request["under_way"] for request in server.requests) <= 3


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("429", "status 429: that is a 429 (4 attempts)"),
        ("garbage", "no chat completion (JSONDecodeError"),
        ("empty", "no chat completion (ValueError"),
        ("drop", "no connection (RemoteProtocolError"),
        ("deep", "no chat completion (RecursionError: "),
        ("flood", "its response has more than 67108864 bytes"),
    ],
)
def test_patience_ends_with_a_reason(trouble: str, reason: str, serve: Callable[..., Server]) -> None:
    server = serve(*[trouble] * QUICK.attempts)
    [failed, well] = ask(an_answerer(server, concurrency=1), questions(2))
    assert isinstance(failed, EndpointError)
    assert str(failed).startswith(f"0.wav: {server.url}/v1: ")
    assert reason in str(failed)
    assert well == expected(2)[1]


def test_a_question_that_is_refused_is_not_asked_again(serve: Callable[..., Server]) -> None:
    server = serve("400", "422")
    [one, two, three] = ask(an_answerer(server, concurrency=1), questions(3))
    assert str(one) == f"0.wav: {server.url}/v1: status 400: that is a 400"
    assert "status 422" in str(two)
    assert three == expected(3)[2]
    assert len(server.requests) == 3


def test_a_refusal_may_be_any_rubbish(serve: Callable[..., Server]) -> None:
    [one, two, three] = ask(an_answerer(serve("deep-400", "half-400"), concurrency=1), questions(3))
    assert str(one).endswith(f"status 400: {'[' * 200}")
    assert str(two).endswith("status 400: bad ? thing")
    assert three == expected(3)[2]


@pytest.mark.parametrize("status", ["401", "404", "gone"])
def test_a_run_ends_when_no_server_answers_anything(status: str, serve: Callable[..., Server]) -> None:
    server = serve(*[status] * 100)
    if status == "gone":
        server.stop()
    answerer = an_answerer(server, patience=Patience(attempts=2, backoff_seconds=0.001))
    outcomes = []
    with pytest.raises(EvaluationError, match=r"20 questions in a row got no answer; the last: \d+\.wav: "):
        outcomes.extend(answerer.answers(questions(90), GREEDY))
    assert len(outcomes) == 19


def test_waits_grow_and_are_bounded() -> None:
    patience = Patience(backoff_seconds=2.0)
    assert all(0 <= patience.wait_seconds(attempt, None) <= 2.0 * 2**attempt for attempt in range(4))
    assert max(patience.wait_seconds(20, None) for _ in range(50)) <= 60
    assert patience.wait_seconds(0, "30") == 30
    assert patience.wait_seconds(0, "9999") == 60
    assert patience.wait_seconds(0, "soon") <= 2


def test_an_error_of_ours_is_not_swallowed(serve: Callable[..., Server]) -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    asked = [Question("a", Sound("a", broken), "P")]
    with pytest.raises(ZeroDivisionError):
        list(an_answerer(serve()).answers(asked, GREEDY))


# Whole tasks


def test_a_task_through_a_server_survives_its_troubles(serve: Callable[..., Server], tmp_path: Path) -> None:
    clips = a_manifest(tmp_path / "data", 20, broken=[5])
    task = a_task()
    server, other = serve("429", "500", "ok", "garbage", "drop", "400"), serve("503", "ok", "drop")

    def predict(*servers: Server) -> Any:
        return predict_task(task, an_answerer(*servers), TaskData(task, clips), tmp_path / "run", bar=False)

    counts = predict(server, other)
    assert counts.complete
    assert counts.num_failed == 2  # what is no audio, and what was refused
    rows = lines_of(counts.path)
    assert [row["audio"] for row in rows] == [f"clips/{number}.wav" for number in range(20)]
    again = predict(other)  # elsewhere it is the same model
    assert (again.num_answered, again.num_before, again.num_failed) == (1, 18, 1)
    for number, row in enumerate(lines_of(again.path)):
        assert row["model_output"] == ("" if number == 5 else f"Write it down. {len(noise(number))} at 16000")
        assert row["model_name"] == "MiDashengLM-7b"
        if number != 5:
            assert row["duration_seconds"] == pytest.approx(len(noise(number)) / 16_000, abs=1e-3)
    assert "clips/5.wav: " in lines_of(again.path)[5]["error"]
    json.dumps(rows)
