"""Some clips of a run as one page of HTML: heard, seen and read, without scripts and requests.

All text goes through the template's escaping; what does not is made here or in ``pictures``, of numbers.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined, Template

from opendasheng import __version__
from opendasheng.audio import Waveform
from opendasheng.curate.inputs import Input
from opendasheng.curate.pictures import HEIGHT, WIDTH, mel_png, waveform_path
from opendasheng.curate.record import CATEGORIES, Event, Record
from opendasheng.data.shards import decode_flac, encode_flac
from opendasheng.data.spread import spread
from opendasheng.errors import DashengError
from opendasheng.files import write_atomically
from opendasheng.lengths import SAMPLE_RATE_HZ

PAGE = "sample.html"
MOST_SECONDS = 30.0
"""Of a longer clip the rest is left out, which is said: a page holds its audio itself."""


@dataclass(frozen=True)
class Shown:
    """A clip of the page. ``sound`` and ``mel`` are data URIs, ``wave`` a path of SVG, empty where there is no audio;
    ``seconds`` is what of it is there, ``note`` says why it is not all; silence has no peak."""

    record: Record
    sound: str = ""
    mel: str = ""
    wave: str = ""
    seconds: float = 0.0
    peak_dbfs: float | None = None
    note: str = ""


def write_page(path: Path, name: str, records: Sequence[Record], clips: Input, num: int) -> None:
    """Write a page of ``num`` of ``records``, whole or not at all; ``clips`` gives their audio, ``name`` that of the
    run."""
    shown = [_shown(record, clips) for record in sample(records, num)]
    write_atomically(path, page(name, records, shown).encode(errors="backslashreplace"))


def sample(records: Sequence[Record], num: int) -> list[Record]:
    """At most ``num`` of ``records``, one from each group in turn, and from each source of a group in turn, by a hash
    of ids; in the order of groups. Groups are categories, and the steps that drop clips."""
    chosen = spread(records, num, clip=lambda record: record, group=group_of)
    return sorted(chosen, key=lambda record: (_rank(record), group_of(record), record.source, record.id))


def group_of(record: Record) -> str:
    """The category, in words, or which step has dropped it."""
    return f"dropped: {record.dropped.step}" if record.dropped else record.category or "nothing heard"


def page(name: str, records: Sequence[Record], shown: Sequence[Shown]) -> str:
    """The whole page: ``shown``, which are some of ``records``."""
    groups: dict[str, list[Shown]] = {}
    for clip in shown:
        groups.setdefault(group_of(clip.record), []).append(clip)
    return _template().render(
        name=name,
        num=len(records),
        num_kept=sum(record.dropped is None for record in records),
        num_shown=len(shown),
        groups=groups,
        totals={group: sum(group_of(record) == group for record in records) for group in groups},
        width=WIDTH,
        height=HEIGHT,
        version=__version__,
    )


def _rank(record: Record) -> int:
    if record.dropped is not None:
        return len(CATEGORIES) + 1
    return CATEGORIES.index(record.category) if record.category else len(CATEGORIES)


def _shown(record: Record, clips: Input) -> Shown:
    try:
        audio = decode_flac(clips.flac(record.id))
    except (DashengError, OSError) as error:
        return Shown(record, note=f"There is no audio: {error}")
    if not len(audio):
        return Shown(record, note="There is no audio: it holds 0 samples")
    seconds = len(audio) / SAMPLE_RATE_HZ
    note = f"The first {MOST_SECONDS:g} of {seconds:.1f} s." if seconds > MOST_SECONDS else ""
    return _drawn(record, audio[: round(MOST_SECONDS * SAMPLE_RATE_HZ)], note)


def _drawn(record: Record, audio: Waveform, note: str) -> Shown:
    peak = float(np.abs(audio).max())
    return Shown(
        record,
        sound=_data_uri("audio/flac", encode_flac(audio)),
        mel=_data_uri("image/png", mel_png(audio)),
        wave=waveform_path(audio),
        seconds=len(audio) / SAMPLE_RATE_HZ,
        peak_dbfs=20 * math.log10(peak) if peak else None,
        note=note,
    )


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"plain": _plain, "bar": _bar, "spaced": lambda text: text.replace("_", " ")}
    source = files("opendasheng.curate").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


def _plain(value: Any) -> str:
    """What an expert says of an aspect, for readers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _bar(event: Event, seconds: float) -> dict[str, str]:
    """Where an event lies in ``seconds``, in percent; one that has no length is seen too."""
    start, end = (min(100.0, 100 * at / seconds) for at in (event.start_seconds, event.end_seconds))
    return {"x": f"{min(start, 99.0):.1f}", "width": f"{max(end - start, 1.0):.1f}"}
