"""What a conversation teaches beside its answer: audio tokens that spell."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from opendasheng.data.augment import Change
from opendasheng.data.clip import Question
from opendasheng.data.mixture import Draw
from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.errors import CorpusError
from opendasheng.train.collate import IGNORED, waveform
from opendasheng.train.loop import Run


@pytest.fixture
def spelling_run(tiny_run):
    """A function that makes the config of a run whose audio tokens are to spell."""

    def make(weight, **loop):
        config = tiny_run(f"spelling-{weight}", **loop)
        return replace(config, optim=replace(config.optim, spelling_weight=weight))

    return make


def _batch(learner):
    """Every draw of an epoch, in one batch."""
    return learner.collate([draw for batch in learner.plan.epoch(0) for draw in batch])


def _batches(config):
    learner = Run(config).learner
    return [learner.collate(draws) for draws in learner.plan.epoch(0)]


def test_transcripts_are_in_a_batch_only_where_they_count(spelling_run):
    assert "transcripts" not in _batch(Run(spelling_run(0.0)).learner)
    run = Run(spelling_run(0.5))
    transcripts_AC = _batch(run.learner)["transcripts"]
    texts = [run.learner.processor.tokenizer.decode(row[row != IGNORED]) for row in transcripts_AC]
    assert {"word 0", "word 2", ""} <= set(texts)


def test_positions_are_reckoned_as_they_will_be(tiny_run):
    learner = Run(tiny_run()).learner
    reckon = learner._collator.num_positions
    for draws in learner.plan.epoch(0):
        filled = learner.collate(draws)["attention_mask"].sum(1)
        assert [reckon(draw) for draw in draws] == pytest.approx(filled.tolist(), abs=1)  # speeds are rounded


def test_batches_are_bounded_by_tokens(tiny_run):
    free = _batches(tiny_run("free"))
    limit = max(batch["input_ids"].numel() for batch in free) // 2
    config = tiny_run("bounded")
    bounded = _batches(replace(config, data=replace(config.data, batch_tokens=limit)))
    assert len(bounded) > len(free)
    assert all(batch["input_ids"].numel() <= limit or len(batch["input_ids"]) == 1 for batch in bounded)


def test_tokens_that_lie_on_their_words_spell_them(spelling_run):
    learner = Run(spelling_run(0.5)).learner
    blank = learner.model.config.audio_token_id
    with torch.no_grad():
        head_VH = 100 * torch.nn.functional.normalize(learner.model.get_output_embeddings().weight, dim=1)
        learner.model.get_output_embeddings().weight.copy_(head_VH)
    said_N = torch.tensor([5, blank, 5, 7])
    told_AC = torch.tensor([[5, 5, 7], [5, 7, IGNORED]])
    right, wrong = (learner._spelling([head_VH[said_N]], row[None]) for row in told_AC)
    assert right < 1e-3 < wrong


def test_what_has_no_transcript_or_too_much_text_counts_nothing(spelling_run):
    learner = Run(spelling_run(0.5)).learner
    tokens_NH = torch.randn(3, learner.model.config.text_config.hidden_size)
    told_AC = torch.tensor([[IGNORED] * 5, [5, 6, 7, 8, 9]])
    assert learner._spelling([tokens_NH, tokens_NH], told_AC) == 0


def test_the_loss_is_that_of_the_answers_plus_the_spelling_and_teaches_both(spelling_run):
    weight = 0.5
    learner = Run(spelling_run(weight)).learner
    batch = _batch(Run(spelling_run(0.0)).learner)
    answers = learner.loss(dict(batch), 10).item()
    told_AC = torch.full((len(batch["input_ids"]), 1), 5)
    audio = learner.model.embed_audio(batch["input_values"], batch["audio_length"])
    spelling = learner._spelling(audio, told_AC).item()
    both = learner.loss({**batch, "transcripts": told_AC}, 10)
    assert both.item() == pytest.approx(answers + weight * spelling / 10, rel=1e-5)
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=1e-2)
    for _ in range(30):
        learner.loss({**batch, "transcripts": told_AC}, 10).backward()
        optimizer.step()
        optimizer.zero_grad()
    audio = learner.model.embed_audio(batch["input_values"], batch["audio_length"])
    assert learner._spelling(audio, told_AC).item() < 0.5 * spelling
    assert learner.loss(dict(batch), 10).item() < answers


def test_logits_before_the_answers_change_neither_loss_nor_gradients(spelling_run):
    learner = Run(spelling_run(0.0)).learner
    model, batch = learner.model, _batch(learner)
    widths, head = [], model.get_output_embeddings()
    head.register_forward_hook(lambda _, __, logits: widths.append(logits.shape[1]))
    found = []
    for loss in (learner.loss(dict(batch), 10), model(**batch, num_items_in_batch=10, use_cache=False).loss):
        model.zero_grad()
        loss.backward()
        found.append((loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (loss, gradients), (whole, of_whole) = found
    assert loss == pytest.approx(whole, rel=1e-6)
    for one, other in zip(gradients, of_whole, strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm() + 1e-8
    longest = int((batch["labels"] != IGNORED).sum(1).max())
    assert widths == [longest + 1, batch["labels"].shape[1]]


def test_an_answer_over_the_limit_is_left_out_and_told_and_the_run_goes_on(tiny_run):
    config = tiny_run(steps=20, save_every=20, eval_every=20)
    # Captions of two clips at once are longer, the others are not.
    config = replace(config, data=replace(config.data, max_answer_tokens=30))
    run = Run(config)
    assert run.train() is not None
    told = [json.loads(line) for line in (run.folder / "left_out.jsonl").read_text().splitlines()]
    assert told
    assert all("tokens to" in line["error"] and "max_answer_tokens is 30" in line["error"] for line in told)
    assert all(f"clip {line['id']} of" in line["error"] and ".tar" in line["error"] for line in told)
    assert json.loads((run.folder / "record.json").read_text())["left_out"] == told


def test_a_dev_answer_and_a_conversation_over_the_limits_are_left_out_and_told(tiny_run, tiny_corpus, tmp_path):
    corpus = shutil.copytree(tiny_corpus, tmp_path / "long")
    reader = ShardReader(tiny_corpus, split="train")
    with ShardWriter(corpus / "asked", source="asked", fingerprint="1") as writer:
        for split, question in (("dev", Question("?", "no " * 60)), ("train", Question("why " * 300, "yes"))):
            clip = replace(reader.clips[1], id=f"long-{split}", source="asked", split=split, questions=(question,))
            writer.add(clip, reader.audio(1))
    config = tiny_run(eval_every=6)
    mixture = replace(config.data.mixture, mixed_share=0.0, task_weights={"ask": 1e6}, repeats={"asked": 3.0})
    data = replace(config.data, corpus=str(corpus), max_answer_tokens=50, mixture=mixture)
    run = Run(replace(config, data=data, model=replace(config.model, max_positions=256)))
    run.train()
    told = {line["id"]: line for line in map(json.loads, (run.folder / "left_out.jsonl").read_text().splitlines())}
    assert {name: line["split"] for name, line in told.items()} == {"long-dev": "dev", "long-train": "train"}
    assert re.search(r"clip long-dev of .*an answer of \d+ tokens .*max_answer_tokens is 50", told["long-dev"]["error"])
    longest = r"clip long-train of .*a conversation of \d+ tokens.* 'why why .*; the decoder has 256 positions"
    assert re.search(longest, told["long-train"]["error"])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_text_that_holds_a_marker_is_left_out_and_told(tiny_run, tiny_corpus, tmp_path, workers):
    corpus = shutil.copytree(tiny_corpus, tmp_path / "marked")
    reader = ShardReader(tiny_corpus, split="train")
    questions = {
        "prompt": Question("What is <|AUDIO|>?", "noise"),
        "answer": Question("What is said?", "<|audio_eos|>"),
        "turn": Question("What is said?<|im_end|>", "yes"),
        "system": Question("What is said?", "yes", "<|im_start|>"),
    }
    with ShardWriter(corpus / "asked", source="asked", fingerprint="1") as writer:
        for name, question in questions.items():
            writer.add(replace(reader.clips[1], id=name, source="asked", questions=(question,)), reader.audio(1))
        dev = ShardReader(tiny_corpus, split="dev")
        writer.add(replace(dev.clips[0], id="dev", source="asked", questions=(questions["prompt"],)), dev.audio(0))
    config = tiny_run(eval_every=6)
    mixture = replace(config.data.mixture, mixed_share=0.0, task_weights={"ask": 1e6}, repeats={"asked": 3.0})
    config = replace(config, compute=replace(config.compute, workers=workers))
    run = Run(replace(config, data=replace(config.data, corpus=str(corpus), mixture=mixture)))
    run.train()
    lines = list(map(json.loads, (run.folder / "left_out.jsonl").open()))
    assert {line.get("task") for line in lines if line["split"] == "train"} == {"ask"}  # asked otherwise they are heard
    told = {line["id"]: line["error"] for line in lines}
    assert told.keys() == {*questions, "dev"}
    for name, what in (("prompt", "prompt"), ("answer", "answer"), ("turn", "prompt"), ("system", "system")):
        assert re.search(rf"clip {name} of .*shard-.*tar: its {what} holds <\|\w+\|>, which is a marker", told[name])


def test_a_marker_of_the_clip_beneath_another_is_told_of_that_one_and_transcripts_have_none(spelling_run):
    learner = Run(spelling_run(0.5)).learner
    collator, clips = learner._collator, learner.clips
    draw = next(draw for draws in learner.plan.epoch(0) for draw in draws if draw.background is not None)
    clips[draw.background] = replace(clips[draw.background], captions=("A <|im_end|> is heard.",))
    with pytest.raises(CorpusError, match=rf"clip {clips[draw.background].id} of .*: its answer holds <\|im_end\|>"):
        collator([replace(draw, example=replace(draw.example, answer="Speech, and a <|im_end|> is heard."))])
    clips[draw.index] = replace(clips[draw.index], transcript="word <|AUDIO|>")
    with pytest.raises(CorpusError, match=rf"clip {clips[draw.index].id} of .*: its transcript holds <\|AUDIO\|>"):
        collator([draw])


def test_clips_in_a_row_are_heard_and_spelt_one_after_the_other(spelling_run):
    config = spelling_run(0.5)
    mixture = replace(config.data.mixture, joined_share=1.0, task_weights={"transcribe": 100.0})
    learner = Run(replace(config, data=replace(config.data, mixture=mixture))).learner
    collator, clips = learner._collator, learner.clips
    draw = next(draw for draws in learner.plan.epoch(0) for draw in draws if len(draw.followers) > 1)
    wave = waveform(learner.reader, replace(draw, gain_db=0.0, change=Change()))
    assert len(wave) == pytest.approx(draw.duration_seconds * 16_000, abs=len(draw.followers) + 1)
    end = 0
    for clip, pause in [(draw.index, 0.0), *((after.clip, after.pause_seconds) for after in draw.followers)]:
        alone = waveform(learner.reader, Draw(clip, draw.example, clips[clip].duration_seconds))
        start = end + round(pause * 16_000)
        assert not wave[end:start].any()
        end = start + len(learner.reader.audio(clip))
        np.testing.assert_allclose(wave[start:end], alone[: end - start], atol=1e-6)
    transcripts = collator([draw])["transcripts"][0].tolist()
    assert collator.tokenizer.decode(transcripts) == draw.example.answer
    last = draw.followers[-1].clip
    clips[last] = replace(clips[last], transcript="word <|AUDIO|>")
    with pytest.raises(CorpusError, match=rf"clip {clips[last].id} of .*: its transcript holds <\|AUDIO\|>") as caught:
        collator([draw])
    assert caught.value.clip_id == clips[last].id


def test_a_draw_fits_as_long_as_it_can_be_collated(tiny_run):
    learner = Run(tiny_run()).learner
    collator = learner._collator
    draw = learner.plan.epoch(0)[0][0]
    batch = collator([draw])
    sizes = {
        "_max_answer_tokens": int((batch["labels"] != IGNORED).sum()),
        "_max_positions": collator.num_positions(draw),
    }
    for name, size in sizes.items():
        setattr(collator, name, size)
    assert collator.fits(draw)
    for name, size in sizes.items():
        setattr(collator, name, size - 1)
        assert not collator.fits(draw)
        setattr(collator, name, None)
        assert collator.fits(draw)
        setattr(collator, name, size)


def test_the_record_counts_what_was_never_drawn_and_never_asked(tiny_run, caplog):
    config = tiny_run(steps=4)
    caplog.set_level("INFO")
    speech_alone = replace(config.data.mixture, repeats={"sound": 0.0}, task_weights={"language": 0.0})
    run = Run(replace(config, data=replace(config.data, mixture=speech_alone)))
    run.train()
    record = json.loads((run.folder / "record.json").read_text())
    assert record["not_drawn"] == {"repeats of 0": 6}
    assert record["not_asked"] == {"language": 6}
    assert "task language is not asked, its weight being 0: 6 clips have an answer" in caplog.messages
