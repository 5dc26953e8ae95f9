"""The baselines' classes on tiny random checkpoints: their prompts, their ears, their answers."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_tokenizer
from safetensors.torch import load_file, save_file
from small_tasks import a_manifest, a_task, lines_of, noise
from transformers import (
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from opendasheng.data.records import Sound
from opendasheng.engine import quiet_transformers
from opendasheng.errors import CheckpointError, ConfigError, EvaluationError
from opendasheng.evaluate.answerers import Reply
from opendasheng.evaluate.asking import Question
from opendasheng.evaluate.baselines import QwenOmniAnswerer, require_class
from opendasheng.evaluate.datasets import TaskData
from opendasheng.evaluate.predict import predict_task
from opendasheng.evaluate.registry import find_task

PICTURES = ["<|IMAGE|>", "<|VIDEO|>", "<|vision_bos|>", "<|vision_eos|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GREEDY = {"max_new_tokens": 5}


def qwen_tokenizer() -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": PICTURES})
    return tokenizer


def qwen_features() -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=128, chunk_length=4)


@cache
def qwen_model() -> Qwen2_5OmniThinkerForConditionalGeneration:
    ids = qwen_tokenizer().convert_tokens_to_ids
    sizes = {"hidden_size": 32, "intermediate_size": 64}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    audio = {"encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "d_model": 32, "output_dim": 32}
    vision = {**sizes, "depth": 1, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [0]}
    config = Qwen2_5OmniThinkerConfig(
        text_config={"vocab_size": 320, **sizes, **heads, "rope_parameters": rope},
        audio_config={"num_mel_bins": 128, **audio},
        vision_config=vision,
        audio_token_index=ids("<|AUDIO|>"),
        image_token_index=ids("<|IMAGE|>"),
        video_token_index=ids("<|VIDEO|>"),
        audio_start_token_id=ids("<|audio_bos|>"),
        audio_end_token_id=ids("<|audio_eos|>"),
        vision_start_token_id=ids("<|vision_bos|>"),  # which released configs have, and the class asks for
        vision_end_token_id=ids("<|vision_eos|>"),
    )
    generator = torch.Generator().manual_seed(0)
    model = Qwen2_5OmniThinkerForConditionalGeneration(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.5 if weight.shape[0] == 320 else 0.2, generator=generator)
    return model.eval()


def write_parts(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    qwen_tokenizer().save_pretrained(folder)
    qwen_features().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the thinker alone, with the chat template in a file of its own, as transformers 4 wrote it."""
    folder = write_parts(tmp_path_factory.mktemp("models") / "Qwen2.5-Omni-tiny")
    with quiet_transformers():
        qwen_model().save_pretrained(folder)
    # Settings that a checkpoint brings and that must not change answers.
    (folder / "generation_config.json").write_text(json.dumps({"no_repeat_ngram_size": 1, "max_new_tokens": 1}))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return folder


@pytest.fixture(scope="module")
def whole(thinker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in the released layout, where the thinker is a part beside those that speak."""
    folder = write_parts(tmp_path_factory.mktemp("whole"))
    weights = {f"thinker.{name}": value for name, value in load_file(thinker / "model.safetensors").items()}
    save_file({**weights, "talker.codec.weight": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((thinker / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_omni", "thinker_config": config}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def a_question(number: int, prompt: str = "What is it?", system: str | None = None) -> Question:
    return Question(f"{number}.wav", Sound("", lambda: (noise(number).astype(np.float32), 16_000)), prompt, system)


def answers(folder: Path, questions: list[Question], **generation: Any) -> list[Any]:
    answerer = QwenOmniAnswerer(str(folder), device="cpu")
    return [outcome for _, outcome in answerer.answers(questions, answerer.generation({**GREEDY, **generation}))]


def of_the_library(number: int, system: str | None = None) -> str:
    """The answer by the steps of transformers' own processor, as far as it goes without packages for pictures."""
    tokenizer = qwen_tokenizer()
    processor = object.__new__(Qwen2_5OmniProcessor)
    processor.feature_extractor, processor.tokenizer, processor.audio_token = qwen_features(), tokenizer, "<|AUDIO|>"
    wave = noise(number).astype(np.float32)
    options = {"sampling_rate": 16_000, "return_attention_mask": True, "return_tensors": "pt"}
    heard, [marks] = processor._process_audio([wave], **options)
    begin = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    text = f"{begin}<|im_start|>user\nWhat is it?<|audio_bos|>{marks}<|audio_eos|><|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    with torch.inference_mode(), quiet_transformers():
        written = qwen_model().generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=heard["input_features"],
            feature_attention_mask=heard["feature_attention_mask"],
            max_new_tokens=5,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )
    return str(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)).strip()


def test_answers_are_those_of_the_library(thinker: Path) -> None:
    found = answers(thinker, [a_question(number) for number in range(4)])
    assert [reply.text for reply in found] == [of_the_library(number) for number in range(4)]
    assert len({reply.text for reply in found}) > 1  # it hears the clips
    assert [reply.duration_seconds for reply in found] == [len(noise(number)) / 16_000 for number in range(4)]
    [told] = answers(thinker, [a_question(0, system="You are a clerk.")])
    assert told.text == of_the_library(0, "You are a clerk.")


def test_the_thinker_of_a_whole_checkpoint_answers_the_same(thinker: Path, whole: Path) -> None:
    questions = [a_question(number) for number in range(3)]
    assert answers(whole, questions) == answers(thinker, questions)


def test_generation_is_what_is_asked_for(thinker: Path) -> None:
    [short] = answers(thinker, [a_question(0)], max_new_tokens=2)
    [long] = answers(thinker, [a_question(0)], max_new_tokens=8)
    assert long.text.startswith(short.text)
    assert (short.finish_reason, len(long.text) > len(short.text)) == ("length", True)
    drawn = [answers(thinker, [a_question(0)], temperature=3.0, seed=seed)[0].text for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_clips_beyond_its_hearing_fail_alone(thinker: Path) -> None:
    def sized(num_samples: int) -> Question:
        return Question("x", Sound("", lambda: (np.zeros(num_samples, np.float32), 16_000)), "P")

    long, short, well = answers(thinker, [sized(4 * 16_000 + 1), sized(100), sized(4 * 16_000)])
    assert isinstance(long, EvaluationError)
    assert str(long) == "x: it is 4.00 s long and the model hears 4 s; shorten it"
    assert isinstance(short, EvaluationError)
    assert "100 samples" in str(short)
    assert isinstance(well, Reply)


def test_audio_words_in_a_question_are_not_taken_for_the_clip(thinker: Path) -> None:
    for words in ("<|AUDIO|>?", "<|audio_bos|><|AUDIO|><|audio_eos|>?"):
        [forged] = answers(thinker, [a_question(0, words)])
        assert isinstance(forged, EvaluationError)
        assert str(forged) == "0.wav: the conversation has 2 <|AUDIO|>, not 1; ask without such words"


def test_a_task_asks_with_the_prompts_of_the_model(thinker: Path, tmp_path: Path) -> None:
    clips = a_manifest(tmp_path / "data", 3, broken=[1])
    prompts = {"qwen2.5-omni": {"table": "prompt: Say it. / sys_prompt: You are a clerk."}}
    task = a_task(prompts={"midashenglm": {"template": "Ours."}, **prompts})
    answerer = QwenOmniAnswerer(str(thinker), device="cpu")
    counts = predict_task(task, answerer, TaskData(task, clips), tmp_path / "run", bar=False)
    assert (counts.num_answered, counts.num_failed) == (2, 1)
    rows = lines_of(counts.path)
    assert {(row["prompt"], row["model_name"]) for row in rows} == {("Say it.", "Qwen2.5-Omni-tiny")}
    [said] = answers(thinker, [a_question(2, "Say it.", "You are a clerk.")], max_new_tokens=6)
    assert rows[2]["model_output"] == said.text
    ours = predict_task(task, answerer, TaskData(task, clips), tmp_path / "o", prompts="midashenglm", bar=False)
    assert lines_of(ours.path)[0]["prompt"] == "Ours."


def test_bundled_tasks_have_prompts_for_the_baselines() -> None:
    for name in ("librispeech-test-clean", "nsynth", "muchomusic", "autoacd"):
        assert {"qwen2.5-omni", "kimi-audio"} <= set(find_task(name).prompts)


def test_models_without_a_class_are_served(thinker: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no class for a 'kimi-audio' model; serve it with vLLM .* --endpoint"):
        require_class("kimi-audio", "moonshotai/Kimi-Audio-7B-Instruct")
    (tmp_path / "config.json").write_text('{"model_type": "moonshot_kimia"}')
    with pytest.raises(ConfigError, match="no class for a 'moonshot_kimia' model"):
        QwenOmniAnswerer(str(tmp_path))


def test_a_damaged_checkpoint_is_said_in_one_line(thinker: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((thinker / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match="the model cannot be loaded"):
        answers(tmp_path, [a_question(0)])
    for path in thinker.iterdir():
        if path.name != "chat_template.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match="it has no chat template"):
        answers(tmp_path, [a_question(0)])
