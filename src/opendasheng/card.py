"""The model card of a trained run, written from its record: what it is, heard, scores, and cannot do."""

import textwrap
from typing import Any

_HEADER = """---
license: apache-2.0
library_name: opendasheng
pipeline_tag: audio-text-to-text
tags: [audio, captioning, speech, midashenglm]
---

# {name}

An audio language model of {millions:.1f} million parameters in the form of MiDashengLM (arXiv 2508.03983): a Dasheng
encoder, a projector to 5 tokens a second, and a small causal text decoder. It was trained by OpenDasheng {opendasheng}
from random weights, stage *{stage}* (encoder, projector and decoder end to end), on {train_hours:.1f} hours of freely
licensed recordings that Linux packages carry. {steps} steps heard {heard_hours:.0f} hours in {wall_hours:.1f} hours on
a shared CPU.

    opendasheng caption FILE...

## What it cannot do

It shows that the system works; it is not a good model. It does not transcribe: what it writes for speech has little
to do with what was said. It has heard a few hundred short sounds and single notes and mistakes most others for one of
them, or for speech, which most of its training is. In training, language goes together with the
speaker and the channel (one speaker for Russian, game dialogue for English), so its language labels are partly a guess
at the source. It was trained on clips of at most {max_clip_seconds:.0f} seconds; longer ones are outside what it knows.
Do not use it where an answer matters.{weak}

## Scores on the test split

At most {test_clips} clips of each task, spread over the sources. Sounds, music and telephone prompts come from sources
that have no clip in training; other speech is held-out dialogue and vocabulary of sources that do. *Shuffled* gives
each question the audio of another test clip; *majority* is the most common
training answer. The gain is right minus shuffled audio with a 95 % bootstrap interval over clips; above 0 it means
that the answer depends on what is heard. All in percent.

| task | metric | clips | score | shuffled audio | majority answer | gain |
|---|---|---|---|---|---|---|
"""


def model_card(record: dict[str, Any], config: dict[str, Any]) -> str:
    """Markdown with the metadata block of the hub, from ``record.json`` and ``config.json`` of a run."""
    weak = [row["task"] for row in record["test"] if row["gain_low"] <= 0 or row["score"] <= row["majority"]]
    values = record | {
        "weak": f" At these tasks it is no better than deaf, as the table shows: {', '.join(weak)}." if weak else "",
        "millions": record["num_parameters"] / 1e6,
        "train_hours": sum(source["hours"] for source in record["sources"]),
        "max_clip_seconds": config["data"]["mixture"]["max_clip_seconds"],
        "test_clips": config["loop"]["test_clips"],
    }
    tests = "".join(
        f"| {row['task']} | {row['metric']} | {row['num_clips']} | {row['score']:.1f} | {row['shuffled']:.1f} "
        f"| {row['majority']:.1f} | {row['gain']:.1f} ({row['gain_low']:.1f} to {row['gain_high']:.1f}) |\n"
        for row in record["test"]
    )
    data = "".join(
        f"| {row['source']} | {row['kind']} | {row['num_clips']} | {row['hours']:.2f} | {row['licence']} |\n"
        for row in record["sources"]
    )
    return _wrapped(
        _HEADER.format(**values)
        + tests
        + "\nCaptions were scored by the words shared with the nearest caption of the clip; these are templates.\n"
        + "\n## Scores by the evaluation suite\n\nMade by `opendasheng eval run 'mini-*' --update README.md`: every "
        "test clip of the corpus. *compat* is the published definition of each metric, *strict* counts only real "
        "answers; intervals resample speakers or clips.\n\n<!-- scores:begin -->\n\n<!-- scores:end -->\n"
        + f"\n## Training\n\n{_training(record, config)}\n"
        + "\n## Data\n\nThe training split of `opendasheng corpus build`; clips and hours before repetition.\n\n"
        + "| source | kind | clips | hours | licence |\n|---|---|---|---|---|\n"
        + data
        + "\nThe weights are released under the Apache License 2.0. No recording is in them as such; whether licences "
        "of the recordings reach weights is not settled, so they are all named here.\n"
    )


def _wrapped(markdown: str) -> str:
    """The same text with its paragraphs laid out anew; tables, headings, code and metadata stay as they are."""
    paragraphs = markdown.split("\n\n")
    return (
        "\n\n".join(p if p.startswith(("|", "#", " ", "---", "<!--")) else textwrap.fill(p, 118) for p in paragraphs)
        + "\n"
    )


def _training(record: dict[str, Any], config: dict[str, Any]) -> str:
    optim, losses = config["optim"], record["dev_losses"]
    return (
        f"AdamW, peak rate {optim['lr']:g}, {optim['warmup_steps']} warm-up steps, cosine to "
        f"{optim['min_lr_share']:.0%}, weight decay {optim['weight_decay']:g}, batches of at most "
        f"{config['data']['batch_seconds']:g} audio seconds, seed {config['seed']}. Loss on the dev split (nats a "
        "token) by step: " + ", ".join(f"{loss:.2f} ({step})" for step, loss in losses.items()) + "."
    )
