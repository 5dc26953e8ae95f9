"""The card of a data set that was curated: what it is, how it was made, figures, and what to expect of it."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import opendasheng
from opendasheng.card import wrapped
from opendasheng.curate.config import CurationConfig
from opendasheng.curate.record import Record
from opendasheng.curate.report import report
from opendasheng.curate.statistics import comparison, statistics
from opendasheng.data.clip import Clip
from opendasheng.markdown import cell, table

_HEADER = """---
license: other
tags: [audio, captioning]
---

# {name}

{figures} Clips of {num_sources} sources with captions{questions}, and with what small models and measures report of
them, made by `opendasheng curate` (OpenDasheng {version}) in the way of MiDashengLM's paper (arXiv 2508.03983, section
3.1). Every clip is under the licence of its recording, which its metadata name.

Each folder is a source: WebDataset shards of 16 kHz FLAC and JSON, and their index. `rejected.jsonl` has the clips that
were not kept, with the reasons.

    from opendasheng.data.shards import ShardReader
    train = ShardReader("FOLDER", split="train")
"""
_LIMITS = """
## Limits

No person has listened to these clips for their captions: what they say is as right as the experts named above.
{makers} A transcript is what a speech recogniser heard, and a gender a guess by the pitch of a voice. What the sources
themselves say of their clips was not looked at{splits}
"""
_ANY_SPLIT = ", nor how they are split there: a clip to train on may be one that others test on."
_THEIR_SPLITS = ", but for their splits there: all are of {names}."
_BY_TEMPLATE = "Captions by a template put findings into fixed sentences: they are much alike, and draw no conclusions."
_BY_MODEL = (
    "A language model wrote captions or questions from findings in words, and heard nothing: though checked for names "
    "of sounds and for quotes, they may tell of things that are not there."
)


_LABELLING = {"acavcaps": "reasoning LLM", "model": "LLM", "template": "template"}


def card(config: CurationConfig, records: Sequence[Record], clips: Sequence[Clip]) -> str:
    """Markdown with the metadata block of the hub, of all ``records`` of a run and of the ``clips`` that are kept; the
    same bytes for the same data set."""
    kept = [record for record in records if record.dropped is None]
    num_questions = sum(len(clip.questions) for clip in clips)
    header = _HEADER.format(
        name=config.name,
        figures=figures(clips),
        num_sources=len({clip.source for clip in clips}),
        questions=f" and {num_questions} questions with answers" if num_questions else "",
        version=opendasheng.__version__,
    )
    makers = [_BY_TEMPLATE] if any("template" in record.captions for record in kept) else []
    makers += [_BY_MODEL] if any("model" in record.captions or record.questions for record in kept) else []
    parts = (
        header,
        f"\n## How it was made\n\n{_captions(kept)}\n\n{_filter(config)}\n\n{_splits(config, records)}\n",
        f"\n## Clips\n\n{report(records)}",
        *(
            f"\n{_counts(name, kept, key)}\n"
            for name, key in (
                ("split", lambda record: record.split),
                ("domain", lambda record: record.domain),
                ("licence", lambda record: record.licence),
                ("source", lambda record: record.source),
            )
        ),
        f"\n## Captions beside those of others\n\n{compared(records, clips)}",
        _LIMITS.format(makers=" ".join(makers), splits=_their_splits(config)),
    )
    return wrapped("".join(parts).rstrip("\n"))


def figures(clips: Sequence[Clip]) -> str:
    """How many, how long and in how many languages, in a sentence."""
    hours = sum(clip.duration_seconds for clip in clips) / 3600
    languages = sorted({clip.language for clip in clips if clip.language})
    told = f"languages of speech: {len(languages)} ({', '.join(languages)})" if languages else "languages unknown"
    return f"{len(clips)} clips, {hours:.2f} hours, {told}."


def compared(records: Sequence[Record], clips: Sequence[Clip]) -> str:
    """By one maker a record: vocabulary and length of the captions beside the paper's Table 2, as Markdown."""
    makers = {maker for record in records if record.dropped is None for maker in record.captions}
    labelling = " and ".join(_LABELLING[maker] for maker in sorted(makers)) or "none"
    found = {
        "long captions": statistics(clip.captions[0] for clip in clips if clip.captions),
        "short captions": statistics(clip.captions[-1] for clip in clips if clip.captions),
    }
    return comparison(found, labelling)


def _captions(kept: Sequence[Record]) -> str:
    """By whom, and of how many clips: each has those of one maker."""
    makers = Counter(captions.maker for record in kept for captions in record.captions.values())
    told = [f"{maker} (of {count} clips)" for maker, count in sorted(makers.items())]
    asked = sorted({written.maker for record in kept for written in record.writing.values()})
    questions = f" Questions and answers were written by {', '.join(asked)}." if any(r.questions for r in kept) else ""
    return (
        f"Experts heard the clips; the table below has their versions. Captions were made of what they report, by "
        f"{', '.join(told) or 'nobody'}.{questions}"
    )


def _filter(config: CurationConfig) -> str:
    if not config.filter.model:
        return "Whether captions fit what is heard was not checked by another model."
    return (
        f"Captions that fit what is heard were kept: those of a cosine of {config.filter.threshold:g} or more between "
        f"text and audio by {_name(config.filter.model)}. A clip of which no caption does was dropped."
    )


def _splits(config: CurationConfig, records: Sequence[Record]) -> str:
    wanted = config.split.licences
    licences = f"Clips under other licences than these were dropped: {', '.join(wanted)}. " if wanted else ""
    text = f"{licences}{config.split.test_percent:g} % of the recordings, by a hash of their names, are for testing; "
    if not any(found.vector for record in records for found in record.findings.values()):
        return text + "copies of a recording under another name were not looked for."
    return (
        f"{text}recordings with clips that are copies of each other (a cosine of {config.split.duplicate_cosine:g} or "
        "more, and like lengths and measures) are on the same side."
    )


def _their_splits(config: CurationConfig) -> str:
    return _THEIR_SPLITS.format(names=" and ".join(config.input.splits)) if config.input.splits else _ANY_SPLIT


def _counts(name: str, kept: Sequence[Record], key: Callable[[Record], str | None]) -> str:
    """Clips, hours and recordings by what ``key`` says of a record."""
    groups: dict[str, list[Record]] = {}
    for record in kept:
        groups.setdefault(key(record) or "", []).append(record)
    rows = [
        (
            cell(value),
            str(len(those)),
            f"{sum(record.duration_seconds for record in those) / 3600:.2f}",
            str(len({record.recording for record in those})),
        )
        for value, those in sorted(groups.items())
    ]
    return table((name, "clips", "hours", "recordings"), rows, right=(1, 2, 3))


def _name(model: str) -> str:
    """A hub id as it is, and of a path its last part: where a model lies on a machine tells others nothing."""
    return Path(model).name if Path(model).exists() or model.count("/") > 1 else model
