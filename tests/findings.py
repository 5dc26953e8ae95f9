"""Records of ten seconds with what experts might report of them."""

import base64
from collections.abc import Sequence

import numpy as np

from opendasheng.curate.record import Captions, Event, Findings, Record, Value

Stretch = tuple[str, float, float]


def heard(*findings: dict[str, Findings], **fields: object) -> Record:
    """A record with all of ``findings``."""
    together = {name: found for some in findings for name, found in some.items()}
    basis = {"id": "a", "source": "s", "recording": "r", "licence": "CC0-1.0", "duration_seconds": 10.0}
    return Record(**{**basis, **fields}, findings=together)


def _events(stretches: tuple[Stretch, ...]) -> tuple[Event, ...]:
    return tuple(
        Event(label=label, start_seconds=start, end_seconds=end, confidence=round(0.95 - 0.05 * place, 2))
        for place, (label, start, end) in enumerate(stretches)
    )


def tagged(*stretches: Stretch) -> dict[str, Findings]:
    """What the expert ``tags`` reports, the surest first."""
    names = tuple(dict.fromkeys(label for label, _, _ in stretches))
    return {"tags": Findings(version="1", values={"tags": names}, events=_events(stretches))}


def active(*stretches: Stretch) -> dict[str, Findings]:
    """What the expert ``activity`` reports."""
    kinds = {label for label, _, _ in stretches}
    values = {f"has_{kind}": kind in kinds for kind in ("speech", "singing", "music")}
    return {"activity": Findings(version="1", values=values, events=_events(stretches))}


def valued(expert: str, confidences: dict[str, float] | None = None, **values: Value) -> dict[str, Findings]:
    """What any other expert reports."""
    return {expert: Findings(version="1", values=values, confidences=confidences or {})}


def placed(vector: Sequence[float], version: str = "1") -> dict[str, Findings]:
    """What the expert ``match`` reports."""
    told = base64.b64encode(np.asarray(vector, dtype="<f2").tobytes()).decode()
    return {"match": Findings(version=version, vector=told)}


def captioned(maker: str, long: str, short: str = "-") -> Captions:
    """Captions of which only two say something."""
    return Captions(maker=maker, short=short, long=long, speech="-", music="-", sound="-", environment="-")
