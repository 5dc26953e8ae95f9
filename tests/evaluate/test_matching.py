"""Judging an audio-text model: areas, retrieval and thresholds against what counting by hand gives."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from clip_corpora import damage
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_audio_text import noise, scorer

from opendasheng.cli import main
from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.matching import Pairs, area, curve, fits, judge, num_even, pairs_of, retrieval, unseen
from opendasheng.model.audio_text_files import save_own


def _clip(number, split="test", source="sounds", captions=("A dog barks.",), kind="sound"):
    return Clip(
        id=f"{source}-{split}-{number}",
        source=source,
        licence="CC0-1.0",
        split=split,
        kind=kind,
        duration_seconds=0.5,
        captions=captions,
        labels=("dog",),
    )


@pytest.fixture
def corpus(tmp_path):
    """A source in train and test, one in test alone, and a clip without a caption."""
    folder = tmp_path / "corpus"
    clips = {
        "sounds": [_clip(0, "train"), *(_clip(n, captions=(f"Caption {n}.", "Another.")) for n in range(1, 5))],
        "music": [_clip(n, source="music", kind="music", captions=(f"Song {n}.",)) for n in range(4)],
        "bare": [_clip(0, source="bare", captions=())],
    }
    for source, those in clips.items():
        with ShardWriter(folder / f"folder-{source}", source=source, fingerprint="1") as writer:
            for number, clip in enumerate(those):
                writer.add(clip, noise(0.5, number))
    return folder


def _captions(reader):
    return {clip.id: clip.captions[0] for clip in reader.clips if clip.captions}


def _pairs(cosines, captions=None):
    captions = captions or [f"caption {n}" for n in range(len(cosines))]
    clips = tuple(_clip(n, kind="sound" if n % 2 else "music") for n in range(len(cosines)))
    return Pairs(clips, tuple(captions), np.asarray(cosines, dtype=np.float64))


@given(st.integers(2, 12), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_retrieval_counts_ranks(size, seed):
    random = np.random.default_rng(seed)
    cosines = random.permutation(size * size).reshape(size, size) / size**2
    captions = [f"caption {n}" for n in random.integers(0, size, size)]
    fitting = fits(captions)
    found = retrieval(cosines, fitting)
    firsts, precisions = [], []
    for row in range(size):
        ranked = sorted(range(size), key=lambda column: -cosines[row, column])[:10]
        hits = [captions[column] == captions[row] for column in ranked]
        firsts.append(hits.index(True) if any(hits) else 99)
        at_hits = [sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]
        precisions.append(sum(at_hits) / min(10, captions.count(captions[row])))
    for rank in (1, 5, 10):
        assert found[f"r{rank}"] == pytest.approx(np.mean([first < rank for first in firsts]))
    assert found["map10"] == pytest.approx(np.mean(precisions))


def test_a_model_that_knows_is_told_from_one_that_does_not():
    random = np.random.default_rng(0)
    blind = random.standard_normal((200, 200))
    knowing = blind + 4 * np.eye(200)
    told, guessed = judge(_pairs(knowing)), judge(_pairs(blind))
    assert told["auc"]["low"] > 0.95
    assert guessed["auc"]["low"] < 0.5 < guessed["auc"]["high"]
    assert told["own_kept"] == pytest.approx(0.95, abs=0.01)
    assert told["others_dropped"] > 0.9
    assert set(told["auc_by_kind"]) == {"sound", "music"}
    assert told["auc_by_kind"]["sound"]["num_clips"] == 100
    strict = judge(_pairs(knowing), threshold=9.9)
    assert (strict["own_kept"], strict["others_dropped"]) == (0, 1)


def test_another_caption_never_reads_like_the_own():
    captions = ["same"] * 8 + ["other"] * 2
    cosines = np.where(fits(captions), 1.0, -1.0)
    pairs = _pairs(cosines, captions)
    assert (pairs.shuffled_N() == -1).all()
    assert (pairs.shuffled_N() == pairs.shuffled_N()).all()
    assert area(pairs.matched_N, pairs.shuffled_N())["value"] == 1
    assert retrieval(cosines, fits(captions))["r1"] == 1
    with pytest.raises(EvaluationError, match="read the same"):
        _pairs(np.ones((3, 3)), ["a"] * 3).shuffled_N()


def test_the_curve_falls_from_all_to_nearly_none():
    matched, shuffled = np.array([0.5, 0.7]), np.array([0.1, 0.6])
    points = curve(matched, shuffled)
    assert (points[0]["own_kept"], points[0]["others_kept"]) == (1, 1)
    assert (points[-1]["own_kept"], points[-1]["others_kept"]) == (0.5, 0)
    for name in ("own_kept", "others_kept"):
        assert all(a[name] >= b[name] for a, b in itertools.pairwise(points))


def test_pairs_are_clips_and_their_first_captions(corpus):
    reader = ShardReader(corpus, split="test")
    captions = _captions(reader)
    pairs, complaints = pairs_of(scorer(), reader, None, captions)
    assert not complaints
    assert sorted(pairs.captions) == [*(f"Caption {n}." for n in range(1, 5)), *(f"Song {n}." for n in range(4))]
    own = scorer()
    for place, clip in enumerate(pairs.clips):
        audio = reader.audio(reader.clips.index(clip))
        expected = own.encode_audio([audio])[0] @ own.encode_texts([pairs.captions[place]])[0]
        assert pairs.matched_N[place] == pytest.approx(expected, abs=1e-5)
    assert len(pairs_of(scorer(), reader, 4, captions)[0].clips) == 4


def test_there_are_as_many_clips_of_each_kind(corpus):
    more = [_clip(n, source="more", captions=(f"More {n}.",)) for n in range(5)]
    with ShardWriter(corpus / "folder-more", source="more", fingerprint="1") as writer:
        for number, clip in enumerate(more):
            writer.add(clip, noise(0.5, number))
    reader = ShardReader(corpus, split="test")
    assert num_even(clip for clip in reader.clips if clip.captions) == 8
    for limit, each in ((None, 4), (100, 4), (6, 3)):
        pairs, _ = pairs_of(scorer(), reader, limit, _captions(reader))
        assert Counter(clip.kind for clip in pairs.clips) == {"sound": each, "music": each}
    assert num_even([]) == 0


def test_what_cannot_be_heard_is_told(corpus):
    damage(corpus / "folder-sounds", "sounds-test-2")
    reader = ShardReader(corpus, split="test")
    pairs, [complaint] = pairs_of(scorer(), reader, None, _captions(reader))
    assert "sounds-test-2" in complaint
    assert len(pairs.clips) == 7
    reader = ShardReader(corpus, split="train")
    with pytest.raises(EvaluationError, match="2 are needed"):
        pairs_of(scorer(), reader, None, _captions(reader))


def test_captions_of_records_stand_in_the_place_of_the_corpus(corpus, tmp_path, capsys):
    ours = scorer()
    save_own(ours.model, ours._texts, tmp_path / "model")
    reader = ShardReader(corpus, split="test")
    records = [
        {"id": clip.id, "findings": {}, "captions": {"template": {"short": f"Told {n}."}}}
        for n, clip in enumerate(reader.clips)
        if clip.kind == "music" or clip.source == "bare"
    ]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in [*records, {"id": "sounds-test-1"}]))
    common = ["eval", "match", "--model", str(tmp_path / "model"), "--data", str(corpus), "--records", str(path)]
    assert main(common) == 0
    assert "all (2)" in capsys.readouterr().out  # a clip of music, and the one that the corpus has no caption of
    assert main([*common, "--maker", "model"]) == 1
    assert "no record has captions by 'model'" in capsys.readouterr().err


def test_the_command_prints_writes_and_updates(corpus, tmp_path, capsys):
    ours = scorer()
    save_own(ours.model, ours._texts, tmp_path / "model")
    card = tmp_path / "card.md"
    card.write_text("# Card\n<!-- match:begin -->\n<!-- match:end -->\n")
    common = ["eval", "match", "--model", str(tmp_path / "model"), "--data", str(corpus)]
    assert main([*common, "--output", str(tmp_path / "m.json"), "--update", str(card)]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed in card.read_text()
    found = json.loads((tmp_path / "m.json").read_text())
    assert (found["num_clips"], found["num_sources"]) == (8, 2)
    assert f"| all (8) | own above another's caption (AUC) | {100 * found['auc']['value']:.1f} |" in printed
    assert main([*common, "--unseen"]) == 0
    assert "all (4)" in capsys.readouterr().out
    assert main([*common, "--unseen", "--split", "train"]) == 2
    assert "leave out --unseen" in capsys.readouterr().err
    assert main([*common, "--limit", "1"]) == 2
    damage(corpus / "folder-music", "music-test-1")
    assert main(common) == 1
    assert "music-test-1" in capsys.readouterr().err


def test_unseen_sources_have_no_clip_in_train(corpus):
    assert unseen(ShardReader(corpus).clips, "test") == {("bare", "sound"), ("music", "music")}
