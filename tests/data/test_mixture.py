"""Drawing and batching: pure functions of seed and epoch, nothing lost, bounds kept, splits never joined."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng import prompts
from opendasheng.data.batching import BatchPlan, length_bounded_batches
from opendasheng.data.clip import Clip
from opendasheng.data.mixture import Draw, Mixture, MixtureConfig
from opendasheng.data.tasks import Example, examples
from opendasheng.errors import ConfigError


def clip(number, kind="speech", **fields):
    known = (
        {"language": "en", "transcript": f"words {number}"} if kind == "speech" else {"labels": (f"label {number}",)}
    )
    defaults = {"source": f"{kind}s", "licence": "CC0-1.0", "split": "train", "duration_seconds": 1.0 + number % 7}
    return Clip(
        **{"id": f"{kind}{number}", "kind": kind, "captions": (f"Caption {number}.",)} | defaults | known | fields
    )


CLIPS = [clip(i) for i in range(40)] + [clip(i, "sound") for i in range(40)]


def mixture(seed=1, clips=CLIPS, **config):
    return Mixture(clips, MixtureConfig(**config), seed)


def test_the_same_seed_and_epoch_draw_the_same_and_others_do_not():
    assert mixture().epoch(3) == mixture().epoch(3)
    assert mixture().epoch(3) != mixture().epoch(4)
    assert mixture().epoch(3) != mixture(seed=2).epoch(3)


def test_rates_by_kind_and_source():
    draws = [draw for epoch in range(50) for draw in mixture(repeats={"speech": 2.5, "sounds": 0.5}).epoch(epoch)]
    counts = Counter(CLIPS[draw.index].kind for draw in draws)
    assert counts["speech"] / (50 * 40) == pytest.approx(2.5, abs=0.05)
    assert counts["sound"] / (50 * 40) == pytest.approx(0.5, abs=0.05)
    assert all(CLIPS[draw.index].kind == "sound" for draw in mixture(repeats={"speech": 0}).epoch(0))


def test_temperature_evens_out_sources_and_keeps_the_epoch_as_long():
    clips = [*CLIPS, *(clip(100 + i, source="large") for i in range(400))]
    plain = mixture(clips=clips).epoch(0)
    assert mixture(clips=clips, temperature=1.0).epoch(0) == plain
    counts = {}
    for temperature in (2.0, 1e9):
        plan = mixture(clips=clips, temperature=temperature)
        draws = [draw for epoch in range(20) for draw in plan.epoch(epoch)]
        counts[temperature] = Counter(clips[draw.index].source for draw in draws)
        assert len(draws) / 20 == pytest.approx(480, rel=0.03)
    assert counts[2.0]["large"] / counts[2.0]["sounds"] == pytest.approx(10**0.5, rel=0.1)
    assert counts[1e9]["large"] / counts[1e9]["sounds"] == pytest.approx(1, rel=0.1)


def test_task_weights():
    draws = [d for epoch in range(50) for d in mixture(task_weights={"transcribe": 3.0, "language": 0.0}).epoch(epoch)]
    speech = Counter(draw.example.task for draw in draws if CLIPS[draw.index].kind == "speech")
    assert speech["language"] == 0
    assert speech["transcribe"] / speech["caption"] == pytest.approx(3.0, rel=0.2)


def test_a_mixed_draw_asks_about_both_or_about_the_speech():
    draws = [draw for draw in mixture(mixed_share=1.0).epoch(0) if draw.background is not None]
    assert len(draws) == 40
    for draw in draws:
        assert CLIPS[draw.index].kind == "speech"
        under = CLIPS[draw.background]
        if draw.example.task == "caption":
            assert draw.example.answer.endswith(f"In the background, caption {under.id[5:]}.")
        elif draw.example.task == "tag":
            assert draw.example.answer == f"speech; {under.labels[0]}"
        else:
            assert draw.example in examples(CLIPS[draw.index])


def test_transcriptions_go_on_with_clips_of_their_source_and_language():
    french = [clip(100 + i, language="fr", transcript=f"mots {i}") for i in range(20)]
    other = [clip(200 + i, source="other", transcript=None if i % 2 else f"others {i}") for i in range(20)]
    clips = [*CLIPS, *french, *other]
    plan = mixture(clips=clips, joined_share=0.5, max_clip_seconds=40.0, task_weights={"caption": 0.0})
    draws = [draw for epoch in range(10) for draw in plan.epoch(epoch)]
    joined = [draw for draw in draws if draw.followers]
    assert {draw.example.task for draw in joined} == {"transcribe"}
    asked = [draw for draw in draws if draw.example.task == "transcribe"]
    assert 0.3 < len(joined) / len(asked) < 0.5  # some have no room for another
    for draw in joined:
        row = [clips[index] for index in draw.in_a_row()]
        assert len({(each.source, each.language) for each in row}) == 1
        assert len(set(draw.in_a_row())) == len(row)
        assert draw.example.answer == draw.transcript(clips) == " ".join(each.transcript for each in row)
        assert draw.example.prompt == prompts.transcribe(row[0].language)
        pauses = sum(follower.pause_seconds for follower in draw.followers)
        assert draw.duration_seconds == pytest.approx(pauses + sum(each.duration_seconds for each in row))
    assert max(draw.duration_seconds for draw in joined) <= 40.0
    lengths = Counter(len(draw.in_a_row()) for draw in joined)
    assert set(lengths) == {2, 3, 4, 5, 6}
    assert {clips[draw.index].source for draw in joined} == {"speechs", "other"}


def test_of_clips_in_a_row_as_many_are_drawn_as_fit():
    free = mixture(joined_share=1.0, max_clip_seconds=40.0)
    config = MixtureConfig(joined_share=1.0, max_clip_seconds=40.0)
    bounded = Mixture(CLIPS, config, 1, lambda draw: len(draw.followers) < 3)
    found, lengths = free.epoch(0), Counter[int]()
    for draw, cut in zip(found, bounded.epoch(0), strict=True):
        assert (cut.index, cut.followers) == (draw.index, draw.followers[:2])
        assert draw.example.answer.startswith(cut.example.answer)
        assert (cut == draw) == (len(draw.followers) < 3)
        lengths[len(draw.followers)] += 1
    assert lengths[3] + lengths[4] + lengths[5] > 3
    alone = Mixture(CLIPS, config, 1, lambda _: False).epoch(0)
    assert [replace(draw, followers=()) for draw in alone] == alone
    assert [draw.duration_seconds for draw in alone] == [CLIPS[draw.index].duration_seconds for draw in alone]


def test_a_source_of_rate_0_is_neither_above_nor_beneath_another():
    banned = [clip(100 + i, source="banned") for i in range(200)]
    noise = [clip(300 + i, "sound", source="noise") for i in range(20)]
    clips = [*CLIPS, *banned, *noise]
    plan = mixture(clips=clips, repeats={"banned": 0.0, "noise": 0.0}, mixed_share=1.0)
    draws = plan.epoch(0)
    heard = {index for draw in draws for index in (draw.index, draw.background) if index is not None}
    assert {clips[index].source for index in heard} == {"speechs", "sounds"}
    assert plan.not_drawn() == {"repeats of 0": list(range(80, 300))}
    assert not any(draw.background is not None for draw in mixture(repeats={"speech": 0}, mixed_share=1.0).epoch(0))


@pytest.mark.parametrize(("config", "share"), [({"repeats": {"large": 0.5}}, 5.0), ({"temperature": 2.0}, 10**0.5)])
def test_the_speech_above_a_background_is_drawn_by_its_rate(config, share):
    clips = [*CLIPS, *(clip(100 + i, source="large") for i in range(400))]
    plan = mixture(clips=clips, mixed_share=1.0, **config)
    draws = [draw for epoch in range(40) for draw in plan.epoch(epoch) if draw.background is not None]
    counts = Counter(clips[draw.index].source for draw in draws)
    assert counts["large"] / counts["speechs"] == pytest.approx(share, rel=0.2)


def test_what_is_never_drawn_is_told_by_its_reason():
    clips = [
        clip(0, "sound", labels=(), captions=()),
        clip(1, duration_seconds=99.0),
        clip(2, source="elsewhere"),
        clip(3),
    ]
    clips.append(clip(4, "sound", captions=()))
    plan = mixture(clips=clips, repeats={"elsewhere": 0.0}, task_weights={"tag": 0.0})
    assert {draw.index for epoch in range(20) for draw in plan.epoch(epoch)} == {3}
    assert plan.not_drawn() == {
        "no answer: neither caption, transcript, label nor question": [0],
        "longer than max_clip_seconds (15)": [1],
        "repeats of 0": [2],
        "task_weights of 0 for all that can be asked": [4],
    }


def test_tasks_of_no_weight_are_told_with_what_could_be_asked():
    assert mixture().not_asked() == {}
    weights = {"transcribe": 0.0, "translate": 0.0, "tag": 2.0}
    plan = mixture(task_weights=weights)
    assert plan.not_asked() == {"transcribe": 40, "translate": 0}
    assert not {draw.example.task for draw in plan.epoch(0)} & plan.not_asked().keys()


def test_clips_of_two_splits_are_never_mixed():
    with pytest.raises(ConfigError, match="one split"):
        mixture(clips=[clip(1), clip(2, split="test")])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"repeats": {"other": 1.0}}, "no source or kind 'other'; there are music, sound, sounds, sp"),
        ({"repeats": {"sond": 1.0}}, r"no source or kind 'sond'; did you mean 'sound' or 'sounds'\?"),
        ({"task_weights": {"sing": 1.0}}, "no task 'sing'"),
        ({"task_weights": {"tag": -1.0}}, r"task_weights: tag is -1\.0; it is a finite number of 0 or more"),
        ({"task_weights": {"tag": float("nan")}}, "task_weights: tag is nan"),
        ({"repeats": {"sound": -0.5}}, r"repeats: sound is -0\.5"),
        ({"repeats": {"speech": 1.0, "sound": float("nan")}}, "repeats: sound is nan; it is a finite number of 0"),
        ({"repeats": {"sounds": float("inf")}}, "repeats: sounds is inf"),
        ({"repeats": {"sounds": 1e9}}, r"repeats: sounds is 1000000000\.0; it is at most 10000"),
        ({"temperature": float("nan")}, "temperature is nan; it is a finite number of 1 or more"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"mixed_share": float("nan")}, "mixed_share is nan"),
        ({"max_clip_seconds": float("nan")}, "max_clip_seconds is nan; it is above 0"),
        ({"mixed_share": 1.5}, r"1\.5"),
        ({"joined_share": -0.1}, "joined_share is -0.1"),
        ({"max_clip_seconds": 0.5}, r"0\.5 s long"),
        ({"temperature": 0.5}, r"temperature is 0\.5; it is a finite number of 1 or more"),
    ],
)
def test_an_impossible_mixture_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        mixture(**config)


DRAWS = st.lists(st.floats(0.2, 30.0), min_size=1, max_size=80).map(
    lambda seconds: [Draw(i, Example("tag", "?", "!"), s) for i, s in enumerate(seconds)]
)


def some_tokens(draw):
    return draw.index % 7


@given(DRAWS, st.floats(1.0, 60.0), st.integers(1, 9), st.integers(0, 30))
def test_batches_are_bounded_and_lose_nothing(draws, batch_seconds, batch_clips, batch_tokens):
    limits = {"batch_seconds": batch_seconds, "batch_clips": batch_clips, "batch_tokens": batch_tokens, "seed": [1]}
    batches = length_bounded_batches(draws, **limits, tokens=some_tokens)
    assert sorted(draw.index for batch in batches for draw in batch) == list(range(len(draws)))
    for batch in batches:
        padded = len(batch) * max(draw.duration_seconds for draw in batch)
        assert len(batch) <= batch_clips
        assert padded <= batch_seconds or len(batch) == 1
        assert not batch_tokens or len(batch) * max(map(some_tokens, batch)) <= batch_tokens or len(batch) == 1


def num_characters(draw):
    return len(draw.example.answer)


def computed(batches, size):
    """What batches compute of a size with the padding, over what is of use."""
    return sum(len(batch) * max(map(size, batch)) for batch in batches) / sum(
        size(d) for batch in batches for d in batch
    )


def batches_by_audio_and_by_both(num_draws, batch_seconds, batch_clips):
    random = np.random.default_rng(0)
    draws = [
        Draw(i, Example("tag", "?", "x" * int(random.integers(1, 200))), float(seconds))
        for i, seconds in enumerate(np.clip(5.6 * np.exp(0.45 * random.standard_normal(num_draws)), 1.0, 30.0))
    ]
    limits = {"batch_seconds": batch_seconds, "batch_clips": batch_clips, "seed": [1]}
    by_both = length_bounded_batches(draws, **limits, tokens=num_characters)
    return length_bounded_batches(draws, **limits), by_both


def test_batches_are_alike_in_audio_and_in_tokens():
    by_audio, by_both = batches_by_audio_and_by_both(3000, 40.0, 24)
    assert computed(by_both, lambda draw: draw.duration_seconds) < 1.02
    assert computed(by_audio, num_characters) > 1.6
    assert computed(by_both, num_characters) < 1.2


@pytest.mark.parametrize("limits", [(300, 320.0, 128), (300, 60.0, 8), (300, 40.0, 24), (3000, 320.0, 128)])
def test_tokens_alike_cost_little_audio_where_batches_are_few_or_large(limits):
    alone, both = (computed(batches, lambda d: d.duration_seconds) for batches in batches_by_audio_and_by_both(*limits))
    assert both <= max(1.03, alone)


@given(st.integers(0, 60))
def test_a_plan_goes_on_from_any_step(step):
    plan = BatchPlan(mixture(), batch_seconds=20, batch_clips=4)
    whole = list(islice(plan.from_step(0), step + 5))
    assert list(islice(plan.from_step(step), 5)) == whole[step:]


def test_prompts_and_answers_of_a_clip():
    asked = {
        example.task: example for example in examples(clip(7, gender="female", language="ru", translation="in English"))
    }
    assert asked["transcribe"].prompt == "Transcribe the speech into text <|ru|>"
    assert asked["transcribe"].answer == "words 7"
    assert (asked["translate"].prompt, asked["translate"].answer) == (prompts.translate(), "in English")
    assert asked["language"].answer == "Russian"
    assert asked["gender"].answer == "female"
    assert asked["tag"].answer == "speech"
    assert asked["kind"].answer == "speech"
    assert [e.answer for e in examples(clip(1, "sound", labels=("dog", "animal")))] == [
        "Caption 1.",
        "dog; animal",
        "sound",
    ]


def test_the_kind_of_a_clip_is_only_asked_for_where_it_is_named():
    asked = {draw.example.task for epoch in range(20) for draw in mixture().epoch(epoch)}
    assert asked
    assert "kind" not in asked
    draws = [draw for epoch in range(20) for draw in mixture(task_weights={"kind": 1.0}).epoch(epoch)]
    kinds = {draw.example.answer for draw in draws if draw.example.task == "kind"}
    assert kinds == {"speech", "sound"}
