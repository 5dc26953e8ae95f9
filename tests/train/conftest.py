"""A corpus of a few seconds of synthetic clips, a recipe for a model of a few thousand parameters, and a teacher."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperModel

from opendasheng.data.clip import Clip
from opendasheng.data.mixture import MixtureConfig
from opendasheng.data.shards import ShardWriter
from opendasheng.train.config import DataConfig, LoopConfig, ModelConfig, OptimConfig, RunConfig
from opendasheng.train.loop import Run


def _clip(number: int, split: str) -> tuple[Clip, np.ndarray]:
    speech = number % 2 == 0
    seconds = 0.3 + 0.07 * number
    clip = Clip(
        id=f"{split}-{number}",
        source="synthetic",
        licence="CC0-1.0",
        split=split,
        kind="speech" if speech else "sound",
        duration_seconds=seconds,
        language="en" if speech else None,
        transcript=f"word {number}" if speech else None,
        labels=() if speech else (f"tone {number}",),
        captions=("A person speaks English.",) if speech else (f"Tone {number} sounds.",),
    )
    random = np.random.default_rng(number)
    time = np.arange(int(seconds * 16_000)) / 16_000
    audio = 0.3 * np.sin(2 * np.pi * (200 + 100 * number) * time) + 0.01 * random.standard_normal(len(time))
    return clip, audio.astype(np.float32)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    with ShardWriter(folder / "synthetic", source="synthetic", fingerprint="1") as writer:
        for split, numbers in (("train", range(12)), ("dev", range(12, 16)), ("test", range(16, 22))):
            for number in numbers:
                writer.add(*_clip(number, split))
    return folder


@pytest.fixture(scope="session")
def overwrite():
    """A function that puts zeros in the place of the audio of a corpus' clips."""

    def put_zeros(corpus: Path, *names: str) -> None:
        index = json.loads((corpus / "synthetic" / "index.json").read_text())
        shard = corpus / "synthetic" / index["shards"][0]["name"]
        content = bytearray(shard.read_bytes())
        for clip in index["clips"]:
            if clip["id"] in names:
                content[clip["offset"] : clip["offset"] + clip["size"]] = bytes(clip["size"])
        shard.write_bytes(content)

    return put_zeros


@pytest.fixture
def cut_short():
    """A function that makes a run stop after its third step, as if it had been asked to."""

    def cut(run: Run) -> None:
        take = run._one_step

        def stop_after_three(batches):
            result = take(batches)
            run._stop = run.step == 2
            return result

        run._one_step = stop_after_three
        assert run.train() is None

    return cut


@pytest.fixture(scope="session")
def tiny_config(tiny_corpus):
    """A function that makes the config of a run below ``output``, with single values of its loop replaced."""

    def make(output: Path, name: str, **loop: int) -> RunConfig:
        return RunConfig(
            name=name,
            output=str(output),
            seed=3,
            data=DataConfig(str(tiny_corpus), batch_seconds=4.0, batch_clips=4, mixture=MixtureConfig(mixed_share=0.3)),
            model=ModelConfig(
                encoder_dim=16,
                encoder_depth=1,
                encoder_heads=2,
                decoder_dim=16,
                decoder_layers=1,
                decoder_heads=2,
                decoder_kv_heads=1,
                decoder_hidden=32,
                vocab_size=300,
            ),
            optim=OptimConfig(lr=1e-2, warmup_steps=2, accumulate=2),
            loop=LoopConfig(**{"steps": 6, "log_every": 1, "save_every": 2, "eval_every": 3, "samples": 1, **loop}),
        )

    return make


@pytest.fixture
def tiny_run(tiny_config, tmp_path):
    """The same, in a folder of the test."""

    def make(name: str = "run", **loop: int) -> RunConfig:
        return tiny_config(tmp_path, name, **loop)

    return make


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory):
    """A folder with a random Whisper of width 16, one block and two heads."""
    torch.manual_seed(5)
    config = WhisperConfig(
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    folder = tmp_path_factory.mktemp("whisper")
    WhisperModel(config).save_pretrained(folder)
    return folder
