"""Scores on the test split, and what they are held against."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.data.clip import Question
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.train import testing
from opendasheng.train.loop import Run

WORDS = st.lists(st.sampled_from("abcd"), max_size=6)


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_metric(a, b, c):
    distance = testing.edit_distance
    assert distance(a, b) == distance(b, a) >= abs(len(a) - len(b))
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, c) <= distance(a, b) + distance(b, c)


def test_edit_distance_counts():
    assert testing.edit_distance("kitten", "sitting") == 3


@pytest.mark.parametrize(
    ("metric", "answer", "truths", "score"),
    [
        (testing.exact, "Russian.", ["russian"], 1.0),
        (testing.exact, "Not Russian", ["Russian"], 0.0),
        (testing.label_f1, "dog; animal", ["animal; dog"], 1.0),
        (testing.label_f1, "dog; speech", ["dog; animal"], 0.5),
        (testing.label_f1, "", ["dog"], 0.0),
        (testing.word_f1, "A dog barks.", ["A cat sings.", "a dog barks"], 1.0),
        (testing.word_f1, "dog dog dog", ["dog"], 0.5),
        (testing.word_accuracy, "Hello there, world", ["hello world"], 0.5),
        (testing.word_accuracy, "a b c d e f", ["x"], 0.0),
    ],
)
def test_metrics(metric, answer, truths, score):
    assert metric(answer, truths) == pytest.approx(score)


@given(st.integers(2, 300), st.integers(0, 5))
def test_a_shuffle_leaves_nothing_in_its_place(count, seed):
    moved = testing.derangement(count, seed)
    assert sorted(moved) == list(range(count))
    assert all(i != j for i, j in enumerate(moved))


def test_the_interval_holds_the_mean_and_narrows():
    random = np.random.default_rng(0)
    few, many = random.normal(1.0, 1.0, 20), random.normal(1.0, 1.0, 2000)
    widths = []
    for sample in (few, many):
        low, high = testing.bootstrap_interval(sample, 0)
        assert low < sample.mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_the_majority_answer(tiny_corpus):
    clips = ShardReader(tiny_corpus, split="train").clips
    assert testing.majority_answer(clips, "language") == "English"
    assert testing.majority_answer(clips, "caption") == "A person speaks English."
    assert testing.majority_answer(clips, "translate") == ""


def test_a_finished_run_is_recorded_and_tested_once(tiny_run):
    run = Run(tiny_run(test_clips=4))
    folder = run.train().parent
    record = json.loads((folder / "record.json").read_text())
    assert record["steps"] == 6
    assert record["heard_hours"] > 0
    assert [(s["kind"], s["num_clips"]) for s in record["sources"]] == [("sound", 6), ("speech", 6)]
    tasks = {row["task"]: row for row in record["test"]}
    assert tasks.keys() == {"caption", "transcribe", "tag", "language"}
    for row in tasks.values():
        assert 1 < row["num_clips"] <= 4
        assert row["gain"] == pytest.approx(row["score"] - row["shuffled"])
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
    assert tasks["language"]["majority"] == 100.0
    (folder / "record.json").write_text("kept")
    assert Run(tiny_run(test_clips=4)).train() == folder / "model"
    assert (folder / "record.json").read_text() == "kept"


def test_a_clip_that_the_engine_refuses_is_told_and_not_counted(tiny_run, tiny_corpus, tmp_path, caplog):
    corpus = shutil.copytree(tiny_corpus, tmp_path / "long")
    reader = ShardReader(tiny_corpus, split="test")
    # The last question can be asked of its own short clip alone, the first of none.
    asked = [Question("why " * 300, "yes"), *(Question("why", "yes") for _ in range(3)), Question("why " * 150, "yes")]
    with ShardWriter(corpus / "asked", source="asked", fingerprint="1") as writer:
        for number, question in enumerate(asked):
            seconds = 14 if question.prompt == "why" else 1
            clip = replace(reader.clips[1], id=f"asked-{number}", source="asked", questions=(question,))
            clip = replace(clip, duration_seconds=float(seconds))
            writer.add(clip, np.full(seconds * 16_000, 0.1, dtype=np.float32))
    config = tiny_run(test_clips=20)
    data = replace(config.data, corpus=str(corpus))
    run = Run(replace(config, data=data, model=replace(config.model, max_positions=512)))
    run.train()
    rows = json.loads((run.folder / "record.json").read_text())["test"]
    [row] = [row for row in rows if row["task"] == "ask"]
    assert row["num_clips"] == 3
    told = [message for message in caplog.messages if "left out of the test" in message]
    assert len(told) == 2
    assert ["asked-0" in message for message in told] == [True, False]
    assert "clip asked-4 of" in told[1]
    assert all("positions of the decoder" in message for message in told)


def test_a_run_becomes_a_model_with_its_card(tiny_run, tmp_path, capsys):
    from opendasheng import load
    from opendasheng.cli import main

    run = Run(tiny_run(test_clips=2))
    run.train()
    target = tmp_path / "exported"
    assert main(["export", "--run", str(run.folder), "--output", str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    card = (target / "README.md").read_text()
    assert "| synthetic | speech | 6 |" in card
    assert "| caption | word F1 | 2 |" in card
    engine = load(target)
    assert engine.generate(np.zeros(8000, dtype=np.float32), "What?", max_new_tokens=2).num_audio_tokens == 2
    expected = {name: p.half().float() for name, p in run.model.named_parameters()}
    assert all((p == expected[name]).all() for name, p in engine.model.named_parameters())
    assert main(["export", "--run", str(run.folder), "--output", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", "--run", str(tmp_path), "--output", str(tmp_path / "other")]) == 1
    assert "not a finished training run" in capsys.readouterr().err
