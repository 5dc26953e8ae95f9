"""The laws of the house, each held once on a whole model; what is beneath them is tested room by room.

Laws 6 and 7 take whole runs: train/test_loop.py and train/test_world.py; law 9 is test_readme.py.
"""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from helpers import tiny_tokenizer, write_released_processor
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor

import opendasheng
import opendasheng.model
from opendasheng.errors import AudioError, ConfigError

PROMPT = "Caption the audio."


@pytest.fixture(scope="module", params=["q25", "q3"])
def released(request, tmp_path_factory):
    """A folder in the released layout around the golden weights: sharded, naming remote code that must not run."""
    folder = tmp_path_factory.mktemp("released")
    write_released_processor(folder)
    tensors = reference.weights(request.param)
    names = sorted(tensors)
    weight_map = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in sorted(set(weight_map.values())):
        save_file({n: tensors[n] for n in names if weight_map[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config = reference.config(request.param) | {
        "audio_token_id": tiny_tokenizer().convert_tokens_to_ids("<|AUDIO|>"),
        "auto_map": {
            "AutoConfig": "configuration_midashenglm.MiDashengLMConfig",
            "AutoModelForCausalLM": "modeling_midashenglm.MiDashengLMModel",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("configuration_midashenglm", "modeling_midashenglm"):
        (folder / f"{name}.py").write_text("raise AssertionError('remote code was run')\n")
    return folder


def clip(num_samples, start=0):
    return reference.signal()[start : start + num_samples].numpy()


def test_law_1_parity(released):
    """transformers' Auto classes and opendasheng.load open the same folder, without remote code, to the same answer."""
    model = AutoModelForCausalLM.from_pretrained(released)
    processor = AutoProcessor.from_pretrained(released)
    assert isinstance(AutoConfig.from_pretrained(released), opendasheng.model.MiDashengLMConfig)
    engine = opendasheng.load(released, device="cpu")
    content = [{"type": "text", "text": PROMPT}, {"type": "audio", "audio": clip(48_000)}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        add_generation_prompt=True,
        add_special_tokens=True,
        return_dict=True,
    )
    with torch.inference_mode():
        assert torch.isfinite(model(**inputs).logits).all()
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    result = engine.generate(clip(48_000), PROMPT, max_new_tokens=12)
    assert result.text == processor.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
    assert result.num_audio_tokens == 15


def test_law_2_batch_equals_single(released):
    engine = opendasheng.load(released, device="cpu")
    random = np.random.default_rng(5)
    clips = [
        clip(int(n), int(s)) for n, s in zip(random.integers(257, 90_000, 9), random.integers(0, 4e5, 9), strict=True)
    ]
    alone = [engine.generate(one, PROMPT, max_new_tokens=10).text for one in clips]
    for batch_size in (2, 9):
        order = random.permutation(len(clips))
        together = engine.generate([clips[i] for i in order], PROMPT, max_new_tokens=10, batch_size=batch_size)
        assert [result.text for result in together] == [alone[i] for i in order]


def test_law_3_lengths(released):
    engine = opendasheng.load(released, device="cpu")
    for samples in (257, 3039, 3040, 16_480, 161_279, 162_000, 323_040):
        result = engine.generate(clip(samples), PROMPT, max_new_tokens=1)
        assert result.num_audio_tokens == opendasheng.num_audio_tokens(max(samples, 3200 if samples < 3040 else 0))


def test_law_4_nothing_is_cut_silently(released):
    engine = opendasheng.load(released, device="cpu")
    for wrong, message in ((clip(256), "256"), (np.zeros(16_000 * 301, dtype=np.float32), "301")):
        with pytest.raises(AudioError, match=message):
            engine.generate(wrong, PROMPT, max_new_tokens=1)


def test_law_5_adapters_match(released, caplog):
    from opendasheng.train.config import LoraConfig
    from opendasheng.train.lora import add_adapters

    model = opendasheng.model.MiDashengLMModel.from_pretrained(released)
    with pytest.raises(ConfigError, match="matches no linear layer"):
        add_adapters(model, LoraConfig(targets=("decoder.*.q_proj", "decoder.*.query")))
    caplog.set_level("INFO")
    assert add_adapters(model, LoraConfig(targets=("decoder.*.q_proj",))) == {"decoder.*.q_proj": 2}
    assert "2 layers match" in caplog.text


def test_law_8_save_equals_load(released, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(released)
    target = tmp_path / "saved"
    model.save_pretrained(target)
    AutoProcessor.from_pretrained(released).save_pretrained(target)
    stored = {}
    for file in released.glob("*.safetensors"):
        stored |= load_file(file)
    written = load_file(target / "model.safetensors")
    assert written.keys() == stored.keys()
    assert all(torch.equal(written[name], stored[name]) for name in stored)
    again = opendasheng.load(target, device="cpu").generate(clip(48_000), PROMPT, max_new_tokens=8)
    assert again.text == opendasheng.load(released, device="cpu").generate(clip(48_000), PROMPT, max_new_tokens=8).text


@pytest.mark.parametrize("name", ["NSynth", "MuChoMusic"])
def test_law_10_scores_are_a_function_of_the_predictions(name, tmp_path):
    """Whole files: neither the order of rows nor the seed of a hash moves a digit, of the interval either."""
    from opendasheng.evaluate.scoring import score_file

    lines = (Path(__file__).parent / f"evaluate/fixtures/{name}.jsonl").read_text(encoding="utf-8").splitlines()
    scores = []
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        path = tmp_path / f"{seed}.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
        score = score_file(path).to_dict()
        del score["provenance"]["predictions_sha256"]
        scores.append(score)
    assert scores[0] == scores[1] == scores[2]
