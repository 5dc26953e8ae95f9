"""The picture of a model's abilities: one axis a task, one polygon a model, as an SVG that needs nothing else.

On each axis the best figure of all models drawn lies on the rim and the others at their share of it, from 0 in the
centre; where only one model has a figure the rim is 100 percent. Error rates are drawn as 100 minus the rate, at least
0, so that outwards is better everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MIN_AXES = 3
FEW_AXES = 10  # up to here labels stand level, beyond they follow their axis
_RINGS = (0.25, 0.5, 0.75, 1.0)
_LINE = 19  # height of a line of text
_CHARACTERS, _TURNED_CHARACTERS = 22, 27  # of a line of a label, of a label along its axis
_BOLD, _PLAIN = 8.2, 7.4  # width of a character of titles and of notes, rather more than less
_TURNED_RADIUS = 270
# Colours that the colour-blind can tell apart, for light and for dark paper; dashes tell apart what colour cannot.
_COLOURS = (
    ("#0b63b5", "#6db3f7"),
    ("#c2410c", "#fb9a5f"),
    ("#0f7b5c", "#4fd1a5"),
    ("#8b3fa0", "#d69be6"),
    ("#6b5b00", "#d8c24a"),
)
_PAPER_COLOURS = (("#4b5563", "#cbd5e1"), ("#b7791f", "#f2c14e"), ("#0e7490", "#5fd0e4"))
# Paper, text, faint text and grid; those of the page (page.html.jinja).
_INKS = (("#ffffff", "#1b2330", "#5b6675", "#d5dbe3"), ("#171d26", "#e6ebf2", "#9fabba", "#3a4553"))
_DASHES = ("7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class _Place:
    """The size of the picture and where its web lies in it, in pixels."""

    width: int
    radius: int
    margin: int
    count: int

    @property
    def height(self) -> int:
        """Of web and labels. A web of few axes reaches less far down than up."""
        lowest = max(math.sin(self.angle(i)) for i in range(self.count))
        return 2 * self.margin + math.ceil(self.radius * (1 + lowest))

    def angle(self, index: float) -> float:
        """Of an axis, in radians; the first one points upwards."""
        return 2 * math.pi * index / self.count - math.pi / 2

    def point(self, angle: float, distance: float) -> tuple[float, float]:
        """``distance`` is 1 on the rim."""
        away = self.radius * distance
        return self.width / 2 + away * math.cos(angle), self.margin + self.radius + away * math.sin(angle)

    def at(self, angle: float, distance: float) -> str:
        """:meth:`point` as SVG writes it."""
        x, y = self.point(angle, distance)
        return f"{x:.1f},{y:.1f}"


@dataclass(frozen=True)
class Axis:
    """A task; ``note`` is its second line, such as what is measured."""

    title: str
    note: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class Series:
    """A model: its figure on each axis in percent, None where it has none.

    ``of_paper`` lines are dashed; ``apart`` are the axes where its figure is not of the kind of the others.
    """

    name: str
    figures: tuple[float | None, ...]
    of_paper: bool = False
    apart: frozenset[int] = frozenset()


def heights(axes: Sequence[Axis], series: Sequence[Series]) -> list[list[float | None]]:
    """How far out each figure lies, 0 in the centre and 1 on the rim: for each series, for each axis."""
    goodness = [[_goodness(axis, figure) for axis, figure in zip(axes, one.figures, strict=True)] for one in series]
    tops = [_rim([value for value in column if value is not None]) for column in zip(*goodness, strict=True)]
    return [
        [None if value is None else (value / top if top else 0.0) for value, top in zip(row, tops, strict=True)]
        for row in goodness
    ]


def _rim(goodness: Sequence[float]) -> float:
    """What lies on the rim of an axis: alone, a figure says how good it is only beside what can be reached."""
    return max(goodness) if len(goodness) > 1 else max(100.0, *goodness, 0.0)


def _goodness(axis: Axis, figure: float | None) -> float | None:
    if figure is None:
        return None
    return max(0.0, figure if axis.higher_is_better else 100 - figure)


def radar_svg(axes: Sequence[Axis], series: Sequence[Series], title: str, footnotes: Sequence[str] = ()) -> str:
    """The SVG, of fixed width and height in its ``viewBox``. There are at least :data:`MIN_AXES` axes."""
    assert len(axes) >= MIN_AXES
    level = len(axes) <= FEW_AXES
    place = _Place(860, 225, 86, len(axes)) if level else _turned_place(axes)
    bottom = place.height + math.ceil(len(series) / 2) * (_LINE + 5) + _LINE
    height = bottom + _LINE * len(footnotes)
    parts = [
        f'<svg class="radar" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {place.width} {height}" role="img" '
        f'aria-label="{escape(described(axes, series, title))}">',
        f"<title>{escape(title)}</title>",
        f"<style>{_style()}</style>",
        f'<rect class="paper" width="{place.width}" height="{height}"/>',
        *_web(place),
        *((_label if level else _turned_label)(axis, place, i) for i, axis in enumerate(axes)),
    ]
    outward, classes = heights(axes, series), _classes(series)
    # The paper's lines first, so that ours lie on top.
    for i in sorted(range(len(series)), key=lambda i: not series[i].of_paper):
        parts += _polygon(outward[i], classes[i], series[i], place)
    parts += [_legend(i, one, classes[i], place) for i, one in enumerate(series)]
    for i, note in enumerate(footnotes):
        parts.append(f'<text class="note" x="{_left(place)}" y="{bottom + i * _LINE}">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def described(axes: Sequence[Axis], series: Sequence[Series], title: str) -> str:
    """The picture in words, for those who do not see it."""
    lines = []
    for one in series:
        known = [f"{axis.title} {f:.2f}" for axis, f in zip(axes, one.figures, strict=True) if f is not None]
        lines.append(f"{one.name}: {', '.join(known) or 'no figure'}")
    return f"{title}. {'. '.join(lines)}."


def _web(place: _Place) -> list[str]:
    spread = [place.angle(i) for i in range(place.count)]
    rings = []
    for ring in _RINGS:
        corners = " ".join(place.at(angle, ring) for angle in spread)
        rings.append(f'<polygon class="{"rim" if ring == 1 else "ring"}" points="{corners}"/>')
    spokes = [f'<path class="ring" d="M{place.at(0, 0)} L{place.at(angle, 1)}"/>' for angle in spread]
    # Between the first two axes, where no marker is.
    marks = []
    for ring in _RINGS[:-1]:
        x, y = place.point(place.angle(0.5), ring * math.cos(math.pi / place.count))
        marks.append(f'<text class="mark" x="{x:.1f}" y="{y:.1f}">{ring:.0%}</text>')
    return [*rings, *spokes, *marks]


def _label(axis: Axis, place: _Place, index: int) -> str:
    """Title and note in level lines beside the end of the axis."""
    angle = place.angle(index)
    side = round(math.cos(angle), 3)
    anchor = "middle" if abs(side) < 0.15 else "start" if side > 0 else "end"
    limit = _CHARACTERS if side else 2 * _CHARACTERS
    lines = [("", line) for line in _wrapped(axis.title, limit)]
    lines += [(' class="note"', line) for line in _wrapped(axis.note, limit)]
    x, y = place.point(angle, 1.07)
    # Above the rim the text ends at its point, below it begins there, at the sides it stands level with it.
    top = y - _LINE * len(lines) * (1 - math.sin(angle)) / 2 + _LINE * 0.75
    spans = [
        f'<tspan{kind} x="{x:.1f}" y="{top + i * _LINE:.1f}">{escape(line)}</tspan>'
        for i, (kind, line) in enumerate(lines)
    ]
    return f'<text class="axis" text-anchor="{anchor}">{"".join(spans)}</text>'


def _turned_place(axes: Sequence[Axis]) -> _Place:
    """With room all around for the longest label that follows its axis."""
    widths = (_BOLD * min(len(axis.title), _TURNED_CHARACTERS) + _PLAIN * (len(axis.note) + 1) for axis in axes)
    margin = math.ceil(max(widths)) + _LINE
    return _Place(2 * (_TURNED_RADIUS + margin), _TURNED_RADIUS, margin, len(axes))


def _turned_label(axis: Axis, place: _Place, index: int) -> str:
    """Title and note in one line that goes on where the axis ends, never upside down."""
    angle = place.angle(index)
    x, y = place.point(angle, 1.045)
    degrees = math.degrees(angle)
    is_left = 90.5 < degrees < 269.5
    anchor, turn = ("end", degrees - 180) if is_left else ("start", degrees)
    note = f'<tspan class="note">{escape(axis.note)}</tspan>'
    short = (
        axis.title if len(axis.title) <= _TURNED_CHARACTERS else f"{axis.title[: _TURNED_CHARACTERS - 3].rstrip()}..."
    )
    title = f"<tspan>{escape(short)}</tspan>"
    parts = f"{note} {title}" if is_left else f"{title} {note}"
    where = f'transform="translate({x:.1f},{y:.1f}) rotate({turn:.1f})"'
    return f'<text class="axis" text-anchor="{anchor}" dominant-baseline="middle" {where}>{parts}</text>'


def _wrapped(text: str, limit: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > limit:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _classes(series: Sequence[Series]) -> list[str]:
    counts = {True: 0, False: 0}
    found = []
    for one in series:
        colours = _PAPER_COLOURS if one.of_paper else _COLOURS
        found.append(f"{'p' if one.of_paper else 'm'}{counts[one.of_paper] % len(colours)}")
        counts[one.of_paper] += 1
    return found


def _polygon(outward: Sequence[float | None], kind: str, one: Series, place: _Place) -> list[str]:
    """Line, area and markers of a model. A missing figure leaves a gap: nothing is drawn through it."""
    count = len(outward)
    points = [None if value is None else place.at(place.angle(i), value) for i, value in enumerate(outward)]
    name = escape(one.name)
    drawn = []
    if all(points):
        corners = " ".join(point for point in points if point)
        ours = "" if one.of_paper else " ours"
        drawn.append(f'<polygon class="line{ours} {kind}" points="{corners}"><title>{name}</title></polygon>')
    else:
        steps = [(points[i], points[(i + 1) % count]) for i in range(count)]
        path = " ".join(f"M{a} L{b}" for a, b in steps if a and b)
        drawn += [f'<path class="line {kind}" d="{path}"><title>{name}</title></path>'] if path else []
    for i, point in enumerate(points):
        if point:
            x, y = point.split(",")
            kinds = f"dot apart {kind}" if i in one.apart else f"dot {kind}"
            drawn.append(f'<circle class="{kinds}" cx="{x}" cy="{y}" r="{3 if one.of_paper else 4.5}"/>')
    return drawn


def _legend(index: int, one: Series, kind: str, place: _Place) -> str:
    x = _left(place) + (index % 2) * 350
    y = place.height + 10 + index // 2 * (_LINE + 5)
    return (
        f'<path class="line {kind}" d="M{x},{y} h40"/><circle class="dot {kind}" cx="{x + 20}" cy="{y}" r="4"/>'
        f'<text class="key" x="{x + 52}" y="{y + 5}">{escape(one.name)}</text>'
    )


def _left(place: _Place) -> int:
    return place.width // 2 - 330


def _style() -> str:
    """Colours for light paper, and for dark paper where that is wished for. No variables: not all viewers know them."""
    dashes = " ".join(f".radar .line.p{i} {{ stroke-dasharray: {dash} }}" for i, dash in enumerate(_DASHES))
    return (
        ".radar { font: 15.5px system-ui, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif } "
        ".radar .ring, .radar .rim, .radar .line { fill: none } "
        ".radar .axis { font-weight: 600 } .radar .note { font-weight: 400; font-size: 14px } "
        ".radar .mark { font-size: 12px; text-anchor: middle; dominant-baseline: middle } "
        ".radar .line { stroke-width: 2; stroke-linejoin: round } .radar .ours { stroke-width: 2.6; fill-opacity: .1 } "
        f"{dashes} {_colours(0)} @media (prefers-color-scheme: dark) {{ {_colours(1)} }}"
    )


def _colours(which: int) -> str:
    paper, ink, faint, grid = _INKS[which]
    rules = [
        f".radar .paper {{ fill: {paper} }} .radar text {{ fill: {ink} }}",
        f".radar .note, .radar .mark {{ fill: {faint} }}",
        f".radar .ring {{ stroke: {grid} }} .radar .rim {{ stroke: {faint} }}",
    ]
    for kind, colours in (("m", _COLOURS), ("p", _PAPER_COLOURS)):
        for i, pair in enumerate(colours):
            colour, of = pair[which], f".{kind}{i}"
            rules.append(f".radar .line{of} {{ stroke: {colour} }} .radar .dot{of} {{ fill: {colour} }}")
            rules.append(f".radar .apart{of} {{ fill: {paper}; stroke: {colour}; stroke-width: 2 }}")
            rules.append(f".radar polygon.ours{of} {{ fill: {colour} }}")
    return " ".join(rules)
