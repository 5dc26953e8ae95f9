"""A small random encoder, and a corpus in which the pitch of a tone tells everything."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardWriter
from opendasheng.evaluate.xares.encoder import XaresEncoder, randomised
from opendasheng.model.configuration import DashengConfig
from opendasheng.model.encoder import DashengEncoder

HZ = {"speech": 300.0, "sound": 900.0, "music": 2700.0}
SPLITS = {"train": 12, "dev": 6, "test": 6}


def tone(hz: float, seconds: float, seed: int) -> np.ndarray:
    """A tone over noise: float32 ``(S,)``."""
    times = np.arange(round(seconds * 16_000)) / 16_000
    noise = 0.02 * np.random.default_rng(seed).standard_normal(len(times))
    return (0.3 * np.sin(2 * np.pi * hz * times) + noise).astype(np.float32)


@pytest.fixture(scope="session")
def encoder() -> XaresEncoder:
    """Width 32, depth 2, with statistics of the input that suit decibels."""
    dasheng = DashengEncoder(DashengConfig(embed_dim=32, depth=2, num_heads=2))
    dasheng.init_bn.running_mean.fill_(-40.0)
    dasheng.init_bn.running_var.fill_(400.0)
    dasheng.config.initializer_range = 0.2
    return XaresEncoder(randomised(dasheng, 1))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources: speech of two voices and languages; sounds and music with labels and captions."""
    folder = tmp_path_factory.mktemp("corpus")
    with (
        ShardWriter(folder / "voices", source="voices", fingerprint="1") as voices,
        ShardWriter(folder / "things", source="things", fingerprint="1") as things,
    ):
        for split, count in SPLITS.items():
            for number in range(count):
                for place, kind in enumerate(HZ):
                    seconds = 0.4 + 0.1 * number
                    high = number % 2
                    audio = tone(HZ[kind] * (1.3 if high else 1.0), seconds, 1000 * place + number)
                    known = {"id": f"{kind}-{split}-{number}", "split": split, "kind": kind, "licence": "CC0-1.0"}
                    known["duration_seconds"] = len(audio) / 16_000
                    if kind == "speech":
                        known |= {"gender": ("male", "female")[high], "speaker": ("adam", "eve")[high]}
                        known |= {"language": ("en", "ru")[high], "transcript": ("low tone", "high tone")[high]}
                        voices.add(Clip(source="voices", **known), audio)
                    else:
                        labels = (f"{('low', 'high')[high]} {kind}", kind)
                        captions = (f"A {labels[0]} is heard.", f"There is a {labels[0]}.")
                        things.add(Clip(source="things", **known, labels=labels, captions=captions), audio)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Small tensors are slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
