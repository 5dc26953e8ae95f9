"""An engine answers the same whatever the batch, the order, the form of the clip or the way it is asked."""

import inspect
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from helpers import tiny_folder, tiny_model, tiny_processor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import opendasheng
from opendasheng.engine import Engine, GenerationOptions, Request, Result
from opendasheng.errors import AudioError, CheckpointError, ConfigError, DashengError
from opendasheng.lengths import num_audio_tokens
from opendasheng.model.configuration import PATCHES_PER_CHUNK
from opendasheng.request import Prepared, into_batches

PROMPT = "Caption the audio."
SHARED = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(num_samples: int) -> NDArray[np.float32]:
    """Noise that is the same for the same length."""
    return (np.random.default_rng(num_samples).normal(size=num_samples) * 0.1).astype(np.float32)


def wav(samples: NDArray[Any], rate_hz: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def texts(results: list[Result]) -> list[str]:
    return [result.text for result in results]


# Laws


@SHARED
@given(
    lengths=st.lists(st.integers(257, 60_000), min_size=2, max_size=9),
    batch_size=st.integers(1, 9),
)
def test_a_batch_answers_as_each_clip_alone(engine: Engine, lengths: list[int], batch_size: int) -> None:
    clips = [noise(length) for length in lengths]
    together = engine.generate(clips, PROMPT, batch_size=batch_size, max_new_tokens=12)
    alone = [engine.generate(clip, PROMPT, max_new_tokens=12) for clip in clips]
    assert texts(together) == texts(alone)
    for result, length in zip(together, lengths, strict=True):
        assert result.audio_seconds == length / 16_000
        assert result.num_audio_tokens == max(1, num_audio_tokens(length))


def test_clips_around_a_chunk_of_the_encoder_batch_too(engine: Engine) -> None:
    border = PATCHES_PER_CHUNK * 640
    clips = [noise(border + extra) for extra in (-640, -1, 0, 479, 480, 640, 90_000)]
    together = engine.generate(clips, PROMPT, max_new_tokens=8)
    assert texts(together) == [engine.generate(clip, PROMPT, max_new_tokens=8).text for clip in clips]


@SHARED
@given(order=st.permutations(range(6)))
def test_answers_come_in_the_order_asked(engine: Engine, order: list[int]) -> None:
    lengths, prompts = [3_200, 90_000, 16_000, 257, 40_000, 8_000], [f"Question {n}?" for n in range(6)]
    straight = engine.generate([noise(n) for n in lengths], prompts, batch_size=2, max_new_tokens=6)
    clips = [noise(lengths[n]) for n in order]
    mixed = engine.generate(clips, [prompts[n] for n in order], batch_size=2, max_new_tokens=6)
    assert texts(mixed) == [straight[n].text for n in order]


@SHARED
@given(length=st.integers(257, 40_000), prompt=st.sampled_from(["A", PROMPT, "Что слышно?"]), cap=st.integers(1, 40))
def test_a_stream_joined_is_the_answer(engine: Engine, length: int, prompt: str, cap: int) -> None:
    pieces: list[str] = []
    stream = engine.stream(noise(length), prompt, max_new_tokens=cap)
    try:
        while True:
            pieces.append(next(stream))
    except StopIteration as end:
        result = end.value
    assert all(pieces)
    assert "".join(pieces) == result.text == engine.generate(noise(length), prompt, max_new_tokens=cap).text


def test_a_stream_holds_unfinished_characters_and_space_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "  Дождь 雨 шумит \n"
    tokens = engine.processor.tokenizer.encode(said, add_special_tokens=False)
    assert len(tokens) > len(said), "each character should be several tokens here"
    steps = [[token] for token in [*tokens, min(engine.end_ids)]]
    monkeypatch.setattr("opendasheng.engine.decode", lambda *_: iter(steps))
    pieces = list(engine.stream(noise(3_200)))
    assert "".join(pieces) == said.strip()
    assert len(pieces) > 5
    assert not any("\ufffd" in piece or "<|" in piece for piece in pieces)


def test_seeds_make_sampling_repeatable_in_any_batch(engine: Engine) -> None:
    clips = [noise(3_200 + 7_000 * n) for n in range(4)]
    hot = {"temperature": 1.5, "max_new_tokens": 10}
    together = engine.generate(clips, PROMPT, seed=3, batch_size=4, **hot)
    assert texts(together) == [engine.generate(clip, PROMPT, seed=3, **hot).text for clip in clips]
    assert texts(together) != texts(engine.generate(clips, PROMPT, seed=4, **hot))


# Choices


@SHARED
@given(
    choices=st.lists(st.text(min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=20, unique=True),
    length=st.integers(257, 20_000),
)
def test_the_answer_is_one_of_the_choices(engine: Engine, choices: list[str], length: int) -> None:
    result = engine.generate(noise(length), "Which?", choices=choices)
    assert result.text in choices
    assert result.finish_reason == "choice"
    assert engine.generate(noise(length), "Which?", choices=choices[::-1]).text == result.text


def test_choices_and_free_answers_share_a_window(engine: Engine) -> None:
    requests = [Request.ask(noise(8_000 + n), PROMPT, choices=["dog", "cat"] if n % 2 else None) for n in range(6)]
    answers = dict(engine.answers(requests, GenerationOptions(max_new_tokens=4), batch_size=4))
    for index, answer in answers.items():
        assert isinstance(answer, Result)
        assert (answer.finish_reason == "choice") == bool(index % 2)


@pytest.mark.parametrize("choices", [[], "abc", ["a", "a"], ["a", " "], ["a", 3]])
def test_choices_that_are_none(engine: Engine, choices: Any) -> None:
    with pytest.raises(ConfigError, match="choice"):
        engine.generate(noise(3_200), choices=choices)


# Clips


def test_any_form_of_a_clip_is_heard_alike(engine: Engine, tmp_path: Path) -> None:
    samples, path = noise(16_000), tmp_path / "clip.wav"
    path.write_bytes(wav(samples))
    forms = [str(path), path, path.read_bytes(), path.open("rb"), samples, (samples, 16_000), torch.from_numpy(samples)]
    assert len(set(texts(engine.generate(forms, PROMPT, max_new_tokens=12)))) == 1


def test_short_clips_are_heard_in_silence_to_3200_samples(engine: Engine) -> None:
    for length in (257, 3_039):
        padded = np.pad(noise(length), (0, 3_200 - length))
        short = engine.generate(noise(length), PROMPT, max_new_tokens=8)
        assert (short.text, short.num_audio_tokens) == (engine.generate(padded, PROMPT, max_new_tokens=8).text, 1)
    with pytest.raises(AudioError, match=r"256 samples.*257"):
        engine.generate(noise(256), PROMPT)


def test_channels_and_rates_are_answered(engine: Engine) -> None:
    clips = [wav(np.stack([noise(24_000)] * 8, axis=1), 48_000), wav(noise(8_000), 4_000), wav(noise(96_000), 192_000)]
    assert [round(result.audio_seconds, 3) for result in engine.generate(clips, PROMPT, max_new_tokens=2)] == [
        0.5,
        2,
        0.5,
    ]


def test_bad_clips_are_named_and_the_others_answered(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    clips = [noise(8_000), tmp_path / "empty.wav", noise(100), b"no audio", tmp_path / "gone.wav", noise(16_000)]
    answers = engine.generate(clips, PROMPT, on_error="return", max_new_tokens=4)
    assert [isinstance(answer, Result) for answer in answers] == [True, False, False, False, False, True]
    for place, name in ((1, "empty.wav"), (2, "clip 2"), (3, "clip 3"), (4, "gone.wav")):
        assert isinstance(answers[place], AudioError)
        assert name in str(answers[place])
        assert "\n" not in str(answers[place])
    with pytest.raises(AudioError, match=r"empty\.wav"):
        engine.generate(clips, PROMPT)


def test_too_long_a_clip_is_refused_with_its_length(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.zeros(301 * 1_000, np.float32), 1_000))
    with pytest.raises(AudioError, match=r"long\.wav.*301\.00 s.*300 s"):
        engine.generate(path, PROMPT)
    assert engine.generate(path, PROMPT, max_seconds=302, max_new_tokens=1).num_audio_tokens == 1505
    with pytest.raises(AudioError, match=r"301\.00 s.*1 s"):
        engine.stream(path, PROMPT, max_seconds=1)


def test_a_prompt_beyond_the_decoder_is_refused_and_answers_end_at_it() -> None:
    engine = Engine(tiny_model(max_positions=60), tiny_processor())
    short = engine.generate(noise(3_200), "A", max_new_tokens=500)
    assert short.finish_reason == "length"
    assert short.num_prompt_tokens + short.num_new_tokens == 60
    with pytest.raises(ConfigError, match=r"clip\.wav|array.*60"):
        engine.generate(noise(160_000), "A")


# Conversations and options


def test_chat_takes_turns_and_several_clips(engine: Engine) -> None:
    messages = [
        {"role": "system", "content": "You listen."},
        {
            "role": "user",
            "content": [
                {"type": "audio", "audio": noise(16_000)},
                {"type": "audio", "audio": (noise(4_000), 8_000)},
                {"type": "text", "text": "Same?"},
            ],
        },
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Why?"},
    ]
    result = engine.chat(messages, max_new_tokens=5)
    assert result.num_audio_tokens == 5 + 2
    assert result.audio_seconds == 1.5
    assert engine.chat(messages, choices=["yes", "no"]).text in ("yes", "no")
    with pytest.raises(ConfigError, match="image"):
        engine.chat([{"role": "user", "content": [{"type": "image"}]}])


def test_a_question_reaches_the_model_as_it_was_asked(engine: Engine) -> None:
    seen: list[str] = []
    processor = engine.processor
    hook = engine.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(processor.tokenizer.decode(kwargs["input_ids"][0])), with_kwargs=True
    )
    try:
        engine.generate(noise(6_400), "What?", system="Listen.", context=["Rex", "Ann"], max_new_tokens=1)
    finally:
        hook.remove()
    expected = (
        "<|im_start|>system\nListen.<|im_end|>\n<|im_start|>user\n"
        "What? The following names and terms may occur: Rex, Ann."
        "<|audio_bos|><|AUDIO|><|AUDIO|><|audio_eos|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert seen[0] == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "temperature"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"batch_size": 0}, "batch_size"),
        ({"on_error": "ignore"}, "on_error"),
        ({"prompt": ["a", "b"]}, "2 prompts for 1 clips"),
        ({"prompt": 3}, "prompt"),
    ],
)
def test_impossible_wishes(engine: Engine, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        engine.generate([noise(3_200)], **options)


def test_no_clips_no_answers(engine: Engine) -> None:
    assert engine.generate([], PROMPT) == []


# Memory


def test_requests_are_drawn_only_as_needed(engine: Engine) -> None:
    drawn = 0

    def endless() -> Iterator[Request]:
        nonlocal drawn
        while True:
            drawn += 1
            yield Request.ask(noise(3_200), PROMPT)

    answers = engine.answers(endless(), GenerationOptions(max_new_tokens=1), batch_size=2)
    for _ in range(9):
        next(answers)
    assert drawn <= 16


@given(
    lengths=st.lists(st.integers(257, 200_000), max_size=30),
    batch_size=st.integers(1, 8),
    batch_seconds=st.floats(0.1, 100),
)
def test_batches_hold_all_and_keep_their_bounds(lengths: list[int], batch_size: int, batch_seconds: float) -> None:
    prepared = [
        Prepared(index, [1] * (length // 1_000), [np.zeros(length, np.float32)], length / 16_000, None, 0.0)
        for index, length in enumerate(lengths)
    ]
    batches = list(into_batches(prepared, batch_size, batch_seconds))
    assert sorted(item.index for batch in batches for item in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(item.num_samples for item in batch) / 16_000
        assert len(batch) == 1 or (len(batch) <= batch_size and padded <= batch_seconds)


def test_a_batch_that_does_not_fit_is_halved(model_folder: Path) -> None:
    engine = opendasheng.load(model_folder)
    clips = [noise(4_000 + 500 * n) for n in range(6)]
    expected = texts(engine.generate(clips, PROMPT, max_new_tokens=4))
    sizes: list[int] = []

    def full(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        sizes.append(len(kwargs["input_ids"]))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("a device that holds few")

    engine.model.register_forward_pre_hook(full, with_kwargs=True)
    limit = 2
    assert texts(engine.generate(clips, PROMPT, max_new_tokens=4)) == expected
    assert max(sizes) == 6
    limit = 0
    [answer] = engine.generate(clips[:1], PROMPT, on_error="return")
    assert isinstance(answer, ConfigError)
    assert "memory" in str(answer)


# Loading


def test_loading_is_quiet_and_gives_the_public_names(model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engine = opendasheng.load(str(model_folder), device="cpu", dtype="float32")
    assert isinstance(engine, opendasheng.Engine)
    assert engine.name == str(model_folder)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("decoder", ["qwen3", "llama"])
def test_other_decoders_answer_too(decoder: str, tmp_path: Path) -> None:
    engine = opendasheng.load(tiny_folder(tmp_path, decoder))
    clips = [noise(20_000), noise(3_200)]
    assert texts(engine.generate(clips, PROMPT, max_new_tokens=8)) == [
        engine.generate(clip, PROMPT, max_new_tokens=8).text for clip in clips
    ]


def test_half_precision_answers(model_folder: Path) -> None:
    engine = opendasheng.load(model_folder, dtype="bf16")
    assert next(engine.model.parameters()).dtype == torch.bfloat16
    assert engine.generate(noise(16_000), PROMPT, max_new_tokens=4).num_new_tokens > 0


@pytest.mark.parametrize(("device", "words"), [("cuda:99", "cuda:99"), ("tpu", "tpu"), ("meta", "meta")])
def test_devices_that_are_not_there(model_folder: Path, device: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        opendasheng.load(model_folder, device=device)


def test_models_that_do_not_load_say_so_in_one_line(tmp_path: Path) -> None:
    def refuse(words: str) -> None:
        with pytest.raises(DashengError, match=words) as caught:
            opendasheng.load(tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)

    tiny_folder(tmp_path)
    config, tokenizer = tmp_path / "config.json", tmp_path / "tokenizer.json"
    good_config, good_tokenizer = config.read_text(), tokenizer.read_text()
    config.write_text(json.dumps({**json.loads(good_config), "audio_token_id": 5}))
    refuse("audio_token_id is 5")
    stated = {key: value for key, value in json.loads(good_config).items() if key != "audio_token_id"}
    config.write_text(json.dumps(stated))  # then the tokenizer knows it
    assert opendasheng.load(tmp_path, device="cpu").model.config.audio_token_id is not None
    config.write_text(good_config)
    tokenizer.write_text(good_tokenizer[:1000])
    refuse("cannot be loaded")
    tokenizer.unlink()
    refuse("no tokenizer")
    tokenizer.write_text(good_tokenizer)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    refuse("damaged")


def test_a_tokenizer_larger_than_the_decoder_is_refused() -> None:
    processor = tiny_processor()
    processor.tokenizer.add_tokens([f"extra{n}" for n in range(20)])
    with pytest.raises(CheckpointError, match=r"322 tokens.*320"):
        Engine(tiny_model(), processor, name="m")


def test_every_option_of_generation_is_named_in_the_documentation() -> None:
    documented = inspect.getdoc(Engine.generate) or ""
    for name in GenerationOptions.__dataclass_fields__:
        assert re.search(rf"``{name}``", documented), name
