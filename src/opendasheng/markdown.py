"""Tables in Markdown that read well as plain text too."""

import re
from collections.abc import Iterable, Sequence

# An underscore inside a word is no markup.
_SIGNS = re.compile(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
NOTHING = "-"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table; columns ``right`` are aligned to the right. Cells are taken as they are."""
    columns = set(right)
    ruler = ["---:" if i in columns else "---" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ruler, *rows))


def cell(text: str) -> str:
    """A text as the inside of a table: one line in which nothing is markup."""
    plain = " ".join(text.split())
    return _SIGNS.sub(r"\\\1", plain).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") or NOTHING
