"""Baselines that hardly listen: each learns what it says from the training split alone."""

from pathlib import Path

import numpy as np
import pytest
from small_tasks import a_task

from opendasheng import prompts
from opendasheng.data.clip import Clip
from opendasheng.data.records import Sound
from opendasheng.data.shards import ShardWriter
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.asking import Question
from opendasheng.evaluate.predict_command import _SHALLOW
from opendasheng.evaluate.shallow import KINDS, ShallowAnswerer

RATE = 16_000
TAG = prompts.styled("tag")


def tone(tilt: float, seed: int, seconds: float = 0.5) -> np.ndarray:
    """Noise that falls by ``tilt`` times 6 dB an octave; below 0 it rises."""
    white = np.fft.rfft(np.random.default_rng(seed).standard_normal(int(seconds * RATE)))
    noise = np.fft.irfft(white / np.maximum(1, np.arange(len(white))) ** tilt)
    return (0.1 * noise / noise.std()).astype(np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds: 6 low, 4 high; music, in the middle; transcripts; a test clip with a label of its own."""
    folder = tmp_path_factory.mktemp("corpus")
    kinds = [("low", 1.0, 6), ("high", -1.0, 4)]
    with ShardWriter(folder / "tones", source="tones", fingerprint="x") as writer:

        def add(name: str, kind: str, tilt: float, **fields: object) -> None:
            more = {"split": "train", "source": "tones", "licence": "CC0-1.0", "duration_seconds": 0.5, **fields}
            writer.add(Clip(id=name, kind=kind, **more), tone(tilt, sum(name.encode())))

        for label, tilt, count in kinds:
            for number in range(count):
                add(f"{label}-{number}", "sound", tilt * (1 + 0.02 * number), labels=(label,))
        for number in range(8):
            add(f"music-{number}", "music", 0.0, labels=("tune",))
        for number in range(5):
            speech = {"language": "en", "labels": ("speech",)}
            add(f"said-low-{number}", "speech", 1.05, transcript="How low.", **speech)
            add(f"said-high-{number}", "speech", -1.05, transcript="So high.", **speech)
        add("kept", "sound", -1.0, labels=("secret",), split="test")
    return folder


def ask(answerer: ShallowAnswerer, *heard: np.ndarray, prompt: str = TAG) -> list[str]:
    questions = (
        Question(str(n), Sound(str(n), lambda clip=clip: (clip, RATE)), prompt) for n, clip in enumerate(heard)
    )
    return [outcome.text for _, outcome in answerer.answers(questions, {})]


def test_each_says_what_its_rule_says(corpus: Path) -> None:
    low, high, middle = tone(1.02, 90), tone(-1.02, 91), tone(0.0, 92)
    assert ask(ShallowAnswerer("majority", corpus), low, high) == ["speech", "speech"]
    sounds = ShallowAnswerer("majority", corpus, only_kinds=("sound",))
    assert ask(sounds, low, high) == ["low", "low"]
    for kind in ("logistic", "nearest"):
        assert ask(ShallowAnswerer(kind, corpus, only_kinds=("sound",)), low, high) == ["low", "high"]
        assert ask(ShallowAnswerer(kind, corpus, only_kinds=("sound", "music")), middle) == ["tune"]
    said = ask(ShallowAnswerer("nearest", corpus), low, high, prompt=prompts.transcribe("en"))
    assert said == ["How low.", "So high."]


def test_a_task_about_one_kind_is_learnt_from_that_kind(corpus: Path) -> None:
    fields = {"audio": "id", "text": "captions"}
    task = a_task(fields, metric="sbert", dataset={"loader": "corpus", "where": {"kind": "sound"}})
    every, some = ShallowAnswerer("majority", corpus), ShallowAnswerer("majority", corpus).of(task)
    assert ask(some, tone(1, 1)) == ["low"]
    assert every.fingerprint != some.fingerprint
    assert every.fingerprint == ShallowAnswerer("majority", corpus).fingerprint


def test_a_bad_clip_is_its_own_error_and_an_unknown_prompt_says_so(corpus: Path) -> None:
    def broken() -> tuple[np.ndarray, int]:
        raise EvaluationError("no such clip")

    answerer = ShallowAnswerer("logistic", corpus)
    questions = [
        Question("bad", Sound("bad", broken), TAG),
        Question("good", Sound("g", lambda: (tone(0.0, 1), RATE)), TAG),
    ]
    bad, good = (outcome for _, outcome in answerer.answers(iter(questions), {}))
    assert "bad: no such clip" in str(bad)
    assert good.text == "tune"
    [(_, error)] = answerer.answers([Question("x", Sound("x", lambda: (tone(1, 1), RATE)), "Never asked?")], {})
    assert "no training clip is asked 'Never asked?'" in str(error)
    with pytest.raises(EvaluationError, match=r"nearest learns from a corpus: .*nowhere"):
        ShallowAnswerer("nearest", corpus / "nowhere")


def test_the_command_knows_them() -> None:
    assert _SHALLOW == KINDS
