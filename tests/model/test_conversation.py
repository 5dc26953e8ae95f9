"""Conversations: what the chat template writes, what the processor makes of it, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from helpers import tiny_processor, tiny_tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from opendasheng.errors import ConfigError
from opendasheng.model.processing import MiDashengLMProcessor

SLOT = "<|audio_bos|><|AUDIO|><|audio_eos|>"
PROCESSOR = tiny_processor()  # for tests that leave it as it is


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


def user(*items: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(items)}


def audio(clip: Any, key: str = "audio") -> dict[str, Any]:
    return {"type": "audio", key: clip}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_rendering() -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        user(text(" What is\n this? "), audio(None)),
        {"role": "assistant", "content": [text("A dog.")]},
        user(audio(None), audio(None)),
        {"role": "assistant", "content": None},
    ]
    rendered = (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        f"<|im_start|>user\n What is\n this? {SLOT}<|im_end|>\n"
        "<|im_start|>assistant\nA dog.<|im_end|>\n"
        f"<|im_start|>user\n{SLOT}{SLOT}<|im_end|>\n"
        "<|im_start|>assistant\n<|im_end|>\n"
    )
    assert PROCESSOR.apply_chat_template(conversation) == rendered
    prompts = PROCESSOR.apply_chat_template([conversation, [user(text("Hi"))]], add_generation_prompt=True)
    assert prompts == [
        rendered + "<|im_start|>assistant\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    ]


def test_chat_equals_the_call_on_the_rendered_text(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(8000), 16000, subtype="FLOAT")
    batch = [
        [user(text("Which is first?"), audio(path, "path"), audio(noise(16000, 1)))],
        [
            user(audio(str(path), "url")),
            {"role": "assistant", "content": "Rain."},
            user(audio(torch.from_numpy(noise(4000, 2))), text("And this?")),
        ],
        [user(text("No sound."))],
    ]
    inputs = PROCESSOR.apply_chat_template(
        batch, tokenize=True, add_generation_prompt=True, add_special_tokens=True, return_dict=True
    )
    prompts = PROCESSOR.apply_chat_template(batch, add_generation_prompt=True)
    clips = [noise(8000), noise(16000, 1), noise(8000), noise(4000, 2)]
    expected = PROCESSOR(text=prompts, audio=clips)
    assert list(inputs) == list(expected)
    for name, value in expected.items():
        assert torch.equal(inputs[name], value), name
    assert inputs["audio_length"].tolist() == [8000, 16000, 8000, 4000]
    assert (inputs["input_ids"] == PROCESSOR.audio_token_id).sum(-1).tolist() == [2 + 5, 2 + 1, 0]


def test_chat_of_text_alone() -> None:
    conversation = [{"role": "user", "content": "Hello"}]
    inputs = PROCESSOR.apply_chat_template(conversation, tokenize=True, return_dict=True)
    assert list(inputs) == ["input_ids", "attention_mask"]
    ids = PROCESSOR.apply_chat_template(conversation, tokenize=True)
    assert torch.equal(ids, inputs["input_ids"])
    assert ids.shape[0] == 1


def test_chat_leaves_the_messages_alone_and_passes_options_on() -> None:
    clip = noise(4000)
    conversation = [user(audio(clip))]
    arrays = PROCESSOR.apply_chat_template(
        conversation,
        tokenize=True,
        return_dict=True,
        return_tensors="np",
        processor_kwargs={"pad_to_multiple_of": 32},
    )
    assert isinstance(arrays["input_ids"], np.ndarray)
    assert arrays["input_ids"].shape == (1, 32)
    assert conversation[0]["content"][0]["audio"] is clip
    with pytest.raises(ConfigError, match="sampling_rate is 8000"):
        PROCESSOR.apply_chat_template(conversation, tokenize=True, sampling_rate=8000)


def test_a_final_message_can_be_continued() -> None:
    conversation = [user(text("Go")), {"role": "assistant", "content": "A dog"}]
    assert PROCESSOR.apply_chat_template(conversation, continue_final_message=True).endswith("assistant\nA dog")


@pytest.mark.parametrize(
    ("conversation", "message"),
    [
        ([], "at least one message"),
        ("Hello", "a conversation is a list"),
        ([[user(text("Hi"))], [user(text("Hi")), 5]], "conversation 1, message 1: must be a dict"),
        ([{"content": "Hello"}], "message 0: must be a dict with a role"),
        ([user(text("Hi")), user({"type": "image", "url": "x.png"})], "message 1: .*type 'image'"),
        ([user("Hi")], "message 0: a content item is of type 'str'"),
        ([user({"type": "text"})], "needs its text"),
        ([user({"type": "audio"})], "needs one of audio, path, url; it has none"),
        ([user({"type": "audio", "audio": noise(9), "path": "x.wav"})], r"has \['audio', 'path'\]"),
    ],
)
def test_refused_conversations(conversation: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PROCESSOR.apply_chat_template(conversation, tokenize=True)


@pytest.mark.parametrize("option", ["return_assistant_tokens_mask", "load_audio_from_video", "sanitize_control_tokens"])
def test_options_that_are_not_supported(option: str) -> None:
    conversation = [user(text("Hi"))]
    assert PROCESSOR.apply_chat_template(conversation, **{option: False})
    with pytest.raises(ConfigError, match=f"{option} is not supported"):
        PROCESSOR.apply_chat_template(conversation, **{option: True})


def test_a_first_token_is_not_written_twice(tokenizer: PreTrainedTokenizerFast) -> None:
    first = tokenizer.convert_tokens_to_ids("<|im_start|>")
    tokenizer.bos_token = "<|im_start|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", first)]
    )
    processor = MiDashengLMProcessor(feature_extractor=None, tokenizer=tokenizer)
    assert processor(text="Hi")["input_ids"][0, 0] == first
    ids = processor.apply_chat_template([user(text("Hi"))], tokenize=True)
    assert ids[0].tolist().count(first) == 1


def test_templates_of_the_checkpoint_come_first(processor: MiDashengLMProcessor) -> None:
    conversation = [user(text("Hi"))]
    assert processor.apply_chat_template(conversation, "{{ messages | length }} {{ mood }}", mood="x") == "1 x"
    processor.chat_template = {"default": "plain", "loud": "LOUD"}
    assert processor.apply_chat_template(conversation) == "plain"
    assert processor.apply_chat_template(conversation, "loud") == "LOUD"
    with pytest.raises(ConfigError, match=r"named 'soft'; there are \['default', 'loud'\]"):
        processor.apply_chat_template(conversation, "soft")
    processor.chat_template = "{{ raise_exception('system first') }}"
    with pytest.raises(ConfigError, match="system first"):
        processor.apply_chat_template(conversation)


def test_template_writes_the_markers_that_are_set() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<snd>", "<on>", "<off>"]})
    processor = MiDashengLMProcessor(
        tokenizer=tokenizer, audio_token="<snd>", audio_bos_token="<on>", audio_eos_token="<off>"
    )
    conversation = [user(audio(noise(8000)))]
    assert "<on><snd><off>" in processor.apply_chat_template(conversation)
    ids = processor.apply_chat_template(conversation, tokenize=True)
    assert processor.audio_token_id == tokenizer.convert_tokens_to_ids("<snd>")
    assert (ids == processor.audio_token_id).sum() == 2
