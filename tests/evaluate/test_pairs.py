"""Speaker pairs: balanced, seeded, none twice, and written so that a kill loses nothing."""

import argparse
import itertools
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.audio import load_audio
from opendasheng.errors import AudioError, EvaluationError
from opendasheng.evaluate.pairs import (
    Draw,
    Pair,
    PairOptions,
    Utterance,
    choose_pairs,
    choose_trials,
    find_utterances,
    read_trials,
    write_pairs,
)
from opendasheng.evaluate.pairs_command import configure_pairs
from opendasheng.evaluate.rows import read_rows
from opendasheng.evaluate.scoring import judge

CLIPS = Path(__file__).resolve().parents[2] / "examples" / "clips"


def crowd(sizes: dict[str, list[int]]) -> list[Utterance]:
    """Utterances by speaker and session: {"a": [2, 1]} is two of one session and one of another."""
    return [
        Utterance(speaker, f"{speaker}/{session}/{number}.wav", str(session))
        for speaker, counts in sizes.items()
        for session, count in enumerate(counts)
        for number in range(count)
    ]


def room(utterances: list[Utterance]) -> int:
    """How many pairs of each kind can be made."""
    sessions: dict[str, set[str]] = {}
    for utterance in utterances:
        sessions.setdefault(utterance.speaker, set()).add(utterance.session)
    same = different = 0
    for a, b in itertools.combinations(utterances, 2):
        different += a.speaker != b.speaker
        same += a.speaker == b.speaker and (len(sessions[a.speaker]) == 1 or a.session != b.session)
    return min(same, different)


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Three speakers: two of tones at two rates, one of real recordings."""
    folder = tmp_path / "voices"
    for speaker, pitch_hz in (("low", 110), ("high", 440)):
        for number in range(3):
            path = folder / speaker / f"video{number % 2}" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            times = np.arange(4000 + 800 * number) / 8000
            soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch_hz * times), 8000, subtype="PCM_16")
    (folder / "real" / "one").mkdir(parents=True)
    shutil.copy(CLIPS / "speech.wav", folder / "real" / "one" / "speech.wav")
    shutil.copy(CLIPS / "animal.ogg", folder / "real" / "one" / "animal.ogg")
    return folder


@given(
    st.dictionaries(
        st.sampled_from("abcdefg"),
        st.lists(st.integers(1, 4), min_size=1, max_size=3).filter(lambda counts: sum(counts) > 1),
        min_size=2,
    ),
    st.integers(1, 8),
    st.integers(0, 5),
)
def test_pairs_are_balanced_and_each_comes_once(sizes: dict[str, list[int]], half: int, seed: int) -> None:
    utterances = crowd(sizes)
    speaker = {utterance.path: utterance for utterance in utterances}
    if half > room(utterances):
        with pytest.raises(EvaluationError, match=r"pairs of (same|different) speakers are wanted"):
            choose_pairs(utterances, 2 * half, seed)
        return
    pairs = choose_pairs(utterances, 2 * half, seed)
    assert len(pairs) == 2 * half
    assert sum(pair.same for pair in pairs) == half
    assert len({frozenset((pair.first, pair.second)) for pair in pairs}) == len(pairs)
    for pair in pairs:
        first, second = speaker[pair.first], speaker[pair.second]
        assert pair.first != pair.second
        assert pair.same == (first.speaker == second.speaker)
        if pair.same and len(sizes[first.speaker]) > 1:
            assert first.session != second.session
    assert choose_pairs(utterances[::-1], 2 * half, seed) == pairs, "the order of the input took part"


@pytest.mark.parametrize("half", [1, 7, 24, 36])
def test_every_pair_can_be_had(half: int) -> None:
    utterances = crowd({"a": [9], "b": [4]})  # 36 + 6 pairs of one speaker, 36 of two
    pairs = choose_pairs(utterances, 2 * half)
    assert len({frozenset((pair.first, pair.second)) for pair in pairs}) == 2 * half


def test_speakers_have_as_many_pairs_with_themselves() -> None:
    utterances = crowd({"few": [2], "some": [5], "many": [30]})
    pairs = choose_pairs(utterances, 2 * 13)
    counts = Counter(pair.first.partition("/")[0] for pair in pairs if pair.same)
    assert counts == {"few": 1, "some": 6, "many": 6}


def test_another_seed_gives_other_pairs() -> None:
    utterances = crowd({name: [3, 3] for name in "abcde"})
    drawn = [tuple(choose_pairs(utterances, 20, seed)) for seed in range(4)]
    assert len(set(drawn)) == 4
    assert 0 < sum(pair.same for pair in drawn[0][:10]) < 10, "same and different pairs are not mixed"


def test_draws_are_the_same_everywhere() -> None:
    assert [Draw(7).below(1000), *[(d := Draw(8)).below(10**6), d.below(10**6)]] == [372, 458978, 275221]


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), st.integers(0, 100))
def test_distinct_numbers_are_distinct(sizes: tuple[int, int], seed: int) -> None:
    limit, count = sizes
    drawn = Draw(seed).distinct(limit, count)
    assert len(set(drawn)) == len(drawn) == count
    assert set(drawn) <= set(range(limit))


@settings(max_examples=20)
@given(st.integers(2, 6))
def test_distinct_numbers_favour_none(limit: int) -> None:
    counts = Counter(number for seed in range(600) for number in Draw(seed).distinct(limit, limit // 2))
    wanted = 600 * (limit // 2) / limit
    assert all(abs(counts[number] - wanted) < 6 * wanted**0.5 for number in range(limit))


def test_what_cannot_be_paired_is_named() -> None:
    with pytest.raises(EvaluationError, match="one utterance cannot make a pair: lone, sole \\(2 in all\\)"):
        choose_pairs(crowd({"a": [2], "lone": [1], "sole": [1]}), 2)
    with pytest.raises(EvaluationError, match="2 pairs of same speakers are wanted and 1 can be made"):
        choose_pairs(crowd({"a": [2]}), 4)
    with pytest.raises(EvaluationError, match="1 pairs of different speakers are wanted and 0 can be made"):
        choose_pairs(crowd({"a": [2]}), 2)
    with pytest.raises(EvaluationError, match="is 3; half are same"):
        choose_pairs(crowd({"a": [2]}), 3)
    with pytest.raises(EvaluationError, match="two speakers"):
        choose_pairs([Utterance("a", "x.wav"), Utterance("b", "x.wav")], 2)


def test_a_folder_names_speakers_and_sessions(voices: Path) -> None:
    (voices / "README.txt").write_text("no audio")
    (voices / "loose.wav").write_bytes(b"of nobody")
    (voices / "low" / ".hidden").mkdir()
    (voices / "low" / ".hidden" / "x.wav").write_bytes(b"hidden")
    found = find_utterances(voices)
    assert Counter(utterance.speaker for utterance in found) == {"low": 3, "high": 3, "real": 2}
    assert Utterance("low", "low/video1/1.wav", "video1") in found
    with pytest.raises(EvaluationError, match="no such folder"):
        find_utterances(voices / "nowhere")
    (voices / "empty").mkdir()
    with pytest.raises(EvaluationError, match="no audio file"):
        find_utterances(voices / "empty")


def test_written_pairs_hold_both_utterances(voices: Path, tmp_path: Path) -> None:
    pairs = choose_pairs(find_utterances(voices), 6, seed=1)
    rows = write_pairs(pairs, voices, tmp_path / "out", PairOptions(gap_seconds=0.25))
    for row, pair in zip(map(json.loads, rows.read_text().splitlines()), pairs, strict=True):
        assert row["label"] == ["yes" if pair.same else "no"]
        assert row["utterances"] == [pair.first, pair.second]
        assert row["cluster"] == pair.first.split("/")[0]
        audio, rate_hz = soundfile.read(rows.parent / row["audio"], dtype="float32")
        first, second = load_audio(voices / pair.first), load_audio(voices / pair.second)
        assert rate_hz == 16000
        assert audio.shape == (len(first) + 4000 + len(second),)
        np.testing.assert_allclose(audio[: len(first)], first, atol=2**-15)
        assert not audio[len(first) : len(first) + 4000].any()
        np.testing.assert_allclose(audio[-len(second) :], second, atol=2**-15)


def test_written_rows_can_be_scored(voices: Path, tmp_path: Path) -> None:
    rows = write_pairs(choose_pairs(find_utterances(voices), 4), voices, tmp_path / "out")
    answered = tmp_path / "predictions.jsonl"
    lines = [
        json.dumps(json.loads(line) | {"dataset_name": "VoxCeleb1", "model_output": "Yes", "model_name": "m"})
        for line in rows.read_text().splitlines()
    ]
    answered.write_text("\n".join(lines))
    scored = judge(read_rows(answered))
    assert scored.task.name == "voxceleb1-pairs"
    assert scored.outcome.compat() == scored.outcome.strict() == 0.5
    speakers = {json.loads(line)["cluster"] for line in lines}
    assert len(set(scored.clusters)) == len(speakers)


def test_a_killed_run_is_finished_by_the_next(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = choose_pairs(find_utterances(voices), 8)
    whole = write_pairs(pairs, voices, tmp_path / "whole")

    opened = []

    def until_killed(path: Path) -> object:
        if len(opened) == 5:
            raise KeyboardInterrupt
        opened.append(path)
        return load_audio(path)

    with monkeypatch.context() as patch:
        patch.setattr("opendasheng.evaluate.pairs.load_audio", until_killed)
        with pytest.raises(KeyboardInterrupt):
            write_pairs(pairs, voices, tmp_path / "cut")
    assert not (tmp_path / "cut" / "metadata.jsonl").exists(), "an unfinished folder looks like a finished one"
    kept = sorted((tmp_path / "cut" / "audio").glob("*.flac"))
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    cut = write_pairs(pairs, voices, tmp_path / "cut")
    assert [path.stat().st_mtime_ns for path in kept] == times, "what was done is done again"
    assert cut.read_bytes() == whole.read_bytes()
    for path in sorted((tmp_path / "whole" / "audio").iterdir()):
        assert (tmp_path / "cut" / "audio" / path.name).read_bytes() == path.read_bytes()


def test_other_pairs_do_not_mix_with_what_is_there(voices: Path, tmp_path: Path) -> None:
    utterances = find_utterances(voices)
    write_pairs(choose_pairs(utterances, 4), voices, tmp_path / "out")
    for pairs, options in (
        (choose_pairs(utterances, 4, seed=1), PairOptions()),
        (choose_pairs(utterances, 4), PairOptions(gap_seconds=1)),
        (choose_pairs(utterances, 4), PairOptions(labels=("Same", "Different"))),
    ):
        with pytest.raises(EvaluationError, match="another number"):
            write_pairs(pairs, voices, tmp_path / "out", options)
    (tmp_path / "foreign" / "audio").mkdir(parents=True)
    (tmp_path / "foreign" / "audio" / "00000.flac").write_bytes(b"mine")
    with pytest.raises(EvaluationError, match="did not write"):
        write_pairs(choose_pairs(utterances, 4), voices, tmp_path / "foreign")


def test_an_utterance_that_cannot_be_heard_is_named(voices: Path, tmp_path: Path) -> None:
    (voices / "low" / "video0" / "0.wav").write_bytes(b"not audio")
    with pytest.raises(AudioError, match=r"low/video0/0\.wav"):
        write_pairs([Pair("low/video0/0.wav", "high/video0/0.wav", False)], voices, tmp_path / "out")


def test_trials_are_read_and_chosen_evenly(tmp_path: Path) -> None:
    names = [f"s{i}/u{j}.wav" for i in range(4) for j in range(3)]
    lines = [f"{int(a[:2] == b[:2])} {a} {b}" for a, b in itertools.combinations(names, 2)]
    path = tmp_path / "trials.txt"
    path.write_text("\ufeff" + "\r\n".join([*lines, "", lines[0]]))
    trials = read_trials(path)
    assert len(trials) == len(lines)
    chosen = choose_trials(trials, 10, seed=3)
    assert chosen == choose_trials(trials[::-1], 10, seed=3)
    assert chosen != choose_trials(trials, 10, seed=4)
    assert sum(pair.same for pair in chosen) == 5
    assert len(set(chosen)) == 10
    with pytest.raises(EvaluationError, match="13 pairs of same speakers are wanted and 12"):
        choose_trials(trials, 26)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 a.wav b.wav", "line 1: '2 a.wav b.wav' is not 1 or 0"),
        ("1 a.wav b.wav\n1 a.wav", "line 2"),
        ("1 a.wav a.wav", "stands beside itself"),
        ("1 a.wav b.wav\n0 b.wav a.wav", "line 2: this pair has the other label"),
        ("1 /x/a.wav b.wav", "not absolute"),
        ("\n\n", "holds no trials"),
    ],
)
def test_trials_of_another_form_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "trials.txt").write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read_trials(tmp_path / "trials.txt")


@pytest.mark.parametrize("options", [{"gap_seconds": -1.0}, {"gap_seconds": 61.0}, {"labels": ("a", "a")}])
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(EvaluationError):
        PairOptions(**options)


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    configure_pairs(parser)
    args = parser.parse_args([str(argument) for argument in arguments])
    return int(args.run(args))


def test_the_command_takes_folders_and_trials(voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--input", voices, "--output", tmp_path / "a", "--num-pairs", 4, "--seed", 2) == 0
    assert "4 pairs, 2 of the same speaker, 2 of two" in capsys.readouterr().out
    trials = tmp_path / "trials.txt"
    trials.write_text("1 low/video0/0.wav low/video1/1.wav\n0 low/video0/0.wav high/video0/0.wav\n")
    arguments = ("--input", trials, "--output", tmp_path / "b", "--num-pairs", 2, "--labels", "Same, Different")
    assert run(*arguments, "--root", voices) == 0
    labels = [json.loads(line)["label"] for line in (tmp_path / "b" / "metadata.jsonl").read_text().splitlines()]
    assert sorted(labels) == [["Different"], ["Same"]]
    with pytest.raises(EvaluationError, match="two words"):
        run(*arguments, "--root", voices, "--labels", "yes")
