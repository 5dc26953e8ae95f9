"""The files of a report, each written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.report.data import Report, to_dict
from opendasheng.evaluate.report.markdown import markdown
from opendasheng.evaluate.report.page import page
from opendasheng.evaluate.report.picture import picture
from opendasheng.files import write_atomically


def as_json(value: dict[str, Any]) -> str:
    """JSON that a reader can follow; keys in the order that they were made in, which is always the same."""
    return json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``report.json``, ``report.md``, ``report.html`` and, where there are axes enough, ``radar.svg``.

    The paths that were written. A picture that an earlier report left and this one has not is removed. Raises
    :class:`EvaluationError` where the folder cannot be written.
    """
    svg = picture(report)
    texts = {
        "report.json": as_json(to_dict(report)),
        "report.md": markdown(report),
        "report.html": page(report),
        **({"radar.svg": svg} if svg else {}),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(folder / name, text.encode("utf-8"))
        if not svg:
            (folder / "radar.svg").unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder}: it cannot be written ({error.strerror}); choose another --output") from error
    return [folder / name for name in texts]
