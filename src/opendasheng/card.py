"""The model card of a trained run, written from its record: what it is, how it was made, heard, scores, cannot do."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NOT_PERMISSIVE = "licence is not permissive (data.permissive_only)"
"""Why clips are not drawn, in a record."""
MATCHES = "contrast"
"""The stage that leaves an audio-text model."""

_HEADER = """---
license: {license}
library_name: opendasheng
pipeline_tag: audio-text-to-text
tags: [audio, captioning, speech, midashenglm]
---

# {name}

An audio language model of {millions:.1f} million parameters in the form of MiDashengLM (arXiv 2508.03983): an audio
encoder, a projector to 5 tokens a second, and a causal text decoder. OpenDasheng {opendasheng} trained it on
{train_hours:.1f} hours of audio, which are listed below.

    opendasheng caption --model FOLDER FILE...

## What it cannot do

It was trained on clips of at most {max_clip_seconds:.0f} seconds; longer ones are outside what it knows. Do not use it
where an answer matters.{weak}{notes}
"""
_MATCH_HEADER = """---
license: {license}
library_name: opendasheng
pipeline_tag: feature-extraction
tags: [audio, retrieval, glap]
---

# {name}

An audio-text model of {millions:.1f} million parameters in the form of GLAP (arXiv 2506.11350): a Dasheng encoder and a
bag of word pieces, each behind two linear layers, put clips and texts into one space. OpenDasheng {opendasheng} trained
it on {train_hours:.1f} hours of audio, which are listed below.

    opendasheng search "a dog barking" FOLDER --model FOLDER_OF_THIS
    opendasheng eval match --model FOLDER_OF_THIS

## What it cannot do

It was trained on clips of at most {max_clip_seconds:.0f} seconds, and to tell captions of a few kinds apart; the order
of words and of sounds means nothing to it. Do not use it where an answer matters.{notes}
"""
_MATCH_SUITE = """
## How well it matches

Made by `opendasheng eval match --unseen --threshold T --update README.md` on clips of the test split whose sources
training has not heard, the threshold T chosen on dev, where it keeps 95 % of the clips' own captions. Another's
caption is that of a clip drawn at random, in the lines of one kind of the same kind.

<!-- match:begin -->

<!-- match:end -->
"""
_TESTS = """
## Scores on the test split

At most {test_clips} clips of each task, spread over the sources. *Shuffled* gives each question the audio of another
test clip; *majority* is the most common training answer. The gain is right minus shuffled audio with a 95 % bootstrap
interval over clips; above 0 it means that the answer depends on what is heard. All in percent.

| task | metric | clips | score | shuffled audio | majority answer | gain |
|---|---|---|---|---|---|---|
{rows}
Captions were scored by the words shared with the nearest caption of the clip.
"""
_SUITE = """
## Scores by the evaluation suite

Made by `opendasheng eval run TASK... --update README.md`. *compat* is the published definition of each metric, *strict*
counts only real answers; intervals resample speakers or clips.

<!-- scores:begin -->

<!-- scores:end -->

Beside it, made by `opendasheng eval report FOLDER... --update README.md` from the answers of each: what the most common
training answer (majority), a logistic regression on mean and standard deviation of the log-mel bands (logistic) and the
answer of the nearest training clip by those (nearest) score, and small pretrained models of others where a task is of
their kind. The best of a line is in bold.

<!-- models:begin -->

<!-- models:end -->
"""
_TERMS = """
The weights are released under the Apache License 2.0. No recording is in them as such; whether licences of the
recordings reach weights is not settled, so they are all named here.
"""
_NO_TERMS = """
This card grants no licence for the weights, since it is not known under which terms all was that they learnt from:
{unclear}. Who passes them on finds that out first.
"""


def model_card(record: Mapping[str, Any], config: Mapping[str, Any], notes: str = "") -> str:
    """Markdown with the metadata block of the hub, from ``record.json`` and ``config.json`` of a run.

    Sources carry their ``terms`` (:func:`opendasheng.data.licences.terms`): weights that learnt from one whose licence
    is in no list get no licence here. ``notes`` are paragraphs on what the model cannot do, by somebody who has tried;
    with them come places for scores, which ``eval run`` and ``eval report`` fill with ``--update``.
    """
    unclear = _unclear(record)
    weak = [row["task"] for row in record["test"] if row["gain_low"] <= 0 or row["score"] <= row["majority"]]
    values = {
        **record,
        "license": "other" if unclear else "apache-2.0",
        "weak": f" At these tasks it is no better than deaf, as the table shows: {', '.join(weak)}." if weak else "",
        "notes": f"\n\n{notes.strip()}" if notes.strip() else "",
        "millions": record["num_parameters"] / 1e6,
        "train_hours": sum(source["hours"] for source in record["sources"]),
        "max_clip_seconds": config["data"]["mixture"]["max_clip_seconds"],
        "test_clips": config["loop"]["test_clips"],
    }
    data = "".join(
        f"| {row['source']} | {row['kind']} | {row['num_clips']} | {row['hours']:.2f} | {row['licence']} |\n"
        for row in record["sources"]
    )
    matches = record["stage"] == MATCHES
    header, suite = (_MATCH_HEADER, _MATCH_SUITE) if matches else (_HEADER, _SUITE)
    return wrapped(
        header.format(**values)
        + (_TESTS.format(**values, rows=_tests(record["test"])) if record["test"] else "")
        + (suite if notes.strip() else "")
        + f"\n## Training\n\n{_stages(record['stages'])}\n\n{_training(record, config)}\n"
        + f"\n## Data\n\n{_heard(record, config)}\n\n"
        + "| source | kind | clips | hours | licence |\n|---|---|---|---|---|\n"
        + data
        + (_NO_TERMS.format(unclear=", ".join(unclear)) if unclear else _TERMS)
    )


def _unclear(record: Mapping[str, Any]) -> list[str]:
    """What the model learnt from, or began with, that is under terms which nobody here knows."""
    stages = record["stages"]
    found = [
        f"{row['source']} (licence: {row['licence'] or 'none'})"
        for row in record["sources"]
        if row["terms"] == "unlisted"
    ]
    found += [
        f"the decoder {row['decoder']}"
        for row in stages
        if row.get("decoder") and row.get("decoder_terms") != "permissive"
    ]
    # A teacher is named among the stages; what its terms are is for those to say who chose it.
    if stages[0]["start"] and stages[0]["stage"] != "distil":
        found.append(f"what {stages[0]['start']} heard")
    return list(dict.fromkeys(found))


def _heard(record: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What of the corpora was heard, by the last stage and by what it goes on from."""
    stages = record["stages"]
    many = len(stages) > 1
    told = "The training splits of the corpora of all these runs" if many else "The training split of the corpus"
    limit = f", {'in the last' if many else 'of it'} what is under a permissive licence"
    counted = f"; clips and hours before repetition{', of a source that several heard the most' if many else ''}."
    if not config["data"].get("permissive_only"):
        return told + counted
    told += limit + counted
    told += f" Left out for their licence: {record['not_drawn'].get(NOT_PERMISSIVE, 0)} clips."
    if others := [row["name"] for row in stages if not row.get("permissive_only")]:
        told += f" The run that it goes on from was not so limited: {', '.join(others)}."
    if start := stages[0]["start"] if stages else "":
        told += f" What was heard by {start}, which the first run began from, is not told here."
    return told


def stage_of(record: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table of stages, from a run's record and config."""
    teacher, start, decoder = config.get("distil", {}).get("teacher", ""), start_name(config), _decoder(config)
    encoder = teacher if record["stage"] == "distil" else run_of(start).name if start else ""
    return {
        "name": record["name"],
        "stage": record["stage"],
        "start": f"{encoder} (encoder), {decoder} (decoder)" if decoder else encoder,
        "decoder": decoder,
        "steps": record["steps"],
        "heard_hours": record["heard_hours"],
        "wall_hours": record["wall_hours"],
        "device": record.get("device", ""),
        "lr": config["optim"]["lr"],
        "permissive_only": config["data"].get("permissive_only", False),
    }


def start_name(config: Mapping[str, Any]) -> str:
    """The model or the encoder that a run goes on from; empty for random weights."""
    return str(config["model"]["init"] or config["model"].get("encoder", ""))


def _decoder(config: Mapping[str, Any]) -> str:
    """The pretrained decoder that a run began with: a hub id, or the name of a file or folder."""
    name = "" if config["model"]["init"] else str(config["model"].get("decoder", ""))
    return Path(name).name if Path(name).exists() or name.count("/") > 1 else name


def run_of(start: str | Path) -> Path:
    """The run of a model folder or of a file in it, as ``runs/NAME/model``."""
    path = Path(start)
    return next((parent.parent for parent in (path, *path.parents) if parent.name == "model"), path)


def _tests(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(
        f"| {row['task']} | {row['metric']} | {row['num_clips']} | {row['score']:.1f} | {row['shuffled']:.1f} "
        f"| {row['majority']:.1f} | {row['gain']:.1f} ({row['gain_low']:.1f} to {row['gain_high']:.1f}) |\n"
        for row in rows
    )


def _stages(stages: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| stage | run | from | steps | heard, h | took, h | on | peak rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['stage']} | {row['name']} | {_began(row)} | {row['steps']} "
        f"| {row['heard_hours']:.1f} | {row['wall_hours']:.2f} | {row['device']} | {row['lr']:g} |"
        for row in stages
    ]
    return "\n".join(lines)


def _began(stage: Mapping[str, Any]) -> str:
    """What a stage goes on from, and under which licence a decoder is that it took."""
    licence = stage.get("decoder_licence")
    return f"{stage['start'] or 'random weights'}{f', the latter under {licence}' if licence else ''}"


def wrapped(markdown: str) -> str:
    """The same text with its paragraphs laid out anew; tables, headings, code and metadata stay as they are."""
    paragraphs = markdown.split("\n\n")
    return (
        "\n\n".join(p if p.startswith(("|", "#", " ", "-", "<!--")) else textwrap.fill(p, 118) for p in paragraphs)
        + "\n"
    )


def _training(record: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    optim, losses = config["optim"], record["dev_losses"]
    share = optim.get("average_share", 0.0)
    averaged = f", weights averaged along the run (in the mean {share:.0%} of it old)" if share else ""
    unit = "clip" if record["stage"] == MATCHES else "token"
    by_step = ", ".join(f"{loss:.2f} ({step})" for step, loss in losses.items())
    return (
        f"The last stage: AdamW, peak rate {optim['lr']:g}, {optim['warmup_steps']} warm-up steps, cosine to "
        f"{optim['min_lr_share']:.0%}, weight decay {optim['weight_decay']:g}, {optim['accumulate']} batches a step of "
        f"at most {config['data']['batch_seconds']:g} audio seconds, seed {config['seed']}{averaged}. Loss on the dev "
        f"split (nats a {unit}) by step: {by_step}."
    )
