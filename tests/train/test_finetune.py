"""From a table of one's own to an adapter and a merged model that answers as it was taught."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from helpers import tiny_folder
from peft import PeftModel

from opendasheng.corpora.importing import Table, import_table
from opendasheng.engine import load
from opendasheng.model import MiDashengLMModel
from opendasheng.train.config import LoraConfig, load_recipe
from opendasheng.train.loop import Run

RECIPE = "recipes/finetune.toml"
NUM_CLIPS = 32


@pytest.fixture
def table(tmp_path):
    """Clips of different tones, each with an answer of its own."""
    rows = ["audio,user_prompt,prediction,split"]
    for number in range(NUM_CLIPS):
        time = np.arange(8000) / 16_000
        wave = 0.4 * np.sin(2 * np.pi * 100 * 1.13**number * time)
        soundfile.write(tmp_path / f"{number}.wav", wave.astype(np.float32), 16_000)
        rows.append(f"{number}.wav,Which?,{chr(97 + number % 26)}{number // 26},train")
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_it_learns_every_answer_by_heart_and_its_adapter_is_pefts(table, tmp_path, request):
    base = tiny_folder(tmp_path / "base", "qwen2")
    import_table(Table(table), tmp_path / "corpus" / "mine")
    config = load_recipe(request.config.rootpath / RECIPE)
    config = replace(
        config,
        output=str(tmp_path / "runs"),
        data=replace(config.data, corpus=str(tmp_path / "corpus"), batch_clips=16),
        model=replace(config.model, init=str(base)),
        lora=LoraConfig(rank=16, alpha=32, dropout=0.0),
        optim=replace(config.optim, lr=1e-2),
        loop=replace(config.loop, epochs=150.0, log_every=100, save_every=1000, eval_every=1000, samples=0),
    )
    run = Run(config)
    assert run.num_steps == 300
    folder = run.train()
    clips = [str(table.with_name(f"{number}.wav")) for number in range(NUM_CLIPS)]
    answers = [result.text for result in load(folder).generate(clips, prompt="Which?", max_new_tokens=8)]
    expected = [f"{chr(97 + number % 26)}{number // 26}" for number in range(NUM_CLIPS)]
    assert sum(a == b for a, b in zip(answers, expected, strict=True)) > 0.95 * NUM_CLIPS
    whole = PeftModel.from_pretrained(MiDashengLMModel.from_pretrained(base), run.folder / "adapter").merge_and_unload()
    merged = MiDashengLMModel.from_pretrained(folder).state_dict()
    assert all((tensor == merged[name]).all() for name, tensor in whole.state_dict().items())
