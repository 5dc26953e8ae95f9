"""The radar picture: heights that mean what they say, well-formed SVG, names that stay text."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.evaluate.report.data import report
from opendasheng.evaluate.report.picture import picture
from opendasheng.evaluate.report.radar import Axis, Series, heights, radar_svg

SVG = "{http://www.w3.org/2000/svg}"
AXES = [Axis("NSynth", "80.52"), Axis("LibriSpeech", "1.30", False), Axis("Captions", "66.52"), Axis("Tags", "9")]


def drawn(axes, series):
    return ElementTree.fromstring(radar_svg(axes, series, "Abilities", ["A note."]))


def test_the_best_lies_on_the_rim_and_the_others_at_their_share():
    found = heights(AXES, [Series("a", (40.0, 10.0, None, 0.0)), Series("b", (80.0, 100.0, 50.0, 0.0))])
    assert found == [[0.5, 1.0, None, 0.0], [1.0, 0.0, 0.5, 0.0]], "alone on an axis, 50 is half of 100"


def test_error_rates_beyond_100_end_in_the_centre():
    assert heights(AXES[1:2], [Series("a", (130.0,)), Series("b", (50.0,))]) == [[0.0], [1.0]]


@given(st.lists(st.tuples(*[st.none() | st.floats(0, 200)] * 4), min_size=1, max_size=6))
def test_heights_stay_inside_the_rim_and_keep_the_order(figures):
    found = heights(AXES, [Series(str(i), one) for i, one in enumerate(figures)])
    for i, axis in enumerate(AXES):
        column = [(one[i], row[i]) for one, row in zip(figures, found, strict=True) if one[i] is not None]
        assert all(0 <= height <= 1 for _, height in column)
        for figure, height in column:
            for other, other_height in column:
                better = figure > other if axis.higher_is_better else figure < other
                assert not better or height >= other_height
    missing = [[[value is None for value in row] for row in table] for table in (figures, found)]
    assert missing[0] == missing[1]


def test_a_model_with_all_figures_is_an_area_and_one_with_gaps_is_a_line():
    svg = drawn(AXES, [Series("whole", (1.0, 1.0, 1.0, 1.0)), Series("part", (1.0, None, 1.0, 1.0))])
    (area,) = [e for e in svg.iter(f"{SVG}polygon") if "line" in e.get("class")]
    assert len(area.get("points").split()) == 4
    (line,) = [e for e in svg.iter(f"{SVG}path") if e.find(f"{SVG}title") is not None]
    assert line.get("d").count("M") == 2, "nothing is drawn through the gap"
    dots = [e for e in svg.iter(f"{SVG}circle") if e.get("cy") and "." in e.get("cx")]
    assert len(dots) == 7


@pytest.mark.parametrize("count", [3, 5, 10, 11, 40])
def test_everything_is_drawn_within_the_picture(count):
    axes = [Axis(f"A task with a long name number {i}", "12.34") for i in range(count)]
    series = [Series(f"model {i}", (50.0,) * count, of_paper=i > 4) for i in range(8)]
    svg = drawn(axes, series)
    _, _, width, height = map(float, svg.get("viewBox").split())
    assert len([e for e in svg.iter(f"{SVG}text") if "axis" in (e.get("class") or "")]) == count
    places = [(float(e.get("cx")), float(e.get("cy"))) for e in svg.iter(f"{SVG}circle")]
    places += [(float(e.get("x")), float(e.get("y"))) for e in svg.iter(f"{SVG}text") if e.get("x")]
    assert len(places) >= 8 * count + 8
    assert all(0 < x < width and 0 < y < height for x, y in places)


def test_the_picture_says_in_words_what_it_shows():
    svg = drawn(AXES, [Series("mini", (40.0, None, 1.0, 2.0))])
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Abilities. mini: NSynth 40.00, Captions 1.00, Tags 2.00."
    assert svg.find(f"{SVG}title").text == "Abilities"


def test_names_are_text_and_never_markup():
    name = "<script>alert(1)</script>\"'&"
    text = radar_svg([Axis(name, name), *AXES], [Series(name, (1.0,) * 5)], name)
    assert "<script" not in text
    svg = ElementTree.fromstring(text)
    assert {e.tag.removeprefix(SVG) for e in svg.iter()} <= {
        *("svg", "title", "style", "rect", "polygon", "path", "text", "tspan", "circle")
    }
    assert not [name for e in svg.iter() for name in e.attrib if name.startswith("on")]
    assert not re.search(r"href|url\(|http://(?!www\.w3\.org/2000/svg)", text)


def test_a_report_of_two_tasks_has_no_picture(rows, write):
    files = [write("a.jsonl", [rows.nsynth(1)]), write("b.jsonl", [rows.choice(1)])]
    assert picture(report(files, resamples=0)) is None
    svg = picture(report([*files, write("c.jsonl", [rows.speech(1)])], resamples=0))
    labels = [text for text in ElementTree.fromstring(svg).itertext() if text.endswith(", paper")]
    assert labels[-3:] == ["MiDashengLM-7B, paper", "Qwen2.5-Omni-7B, paper", "Kimi-Audio-7B, paper"]


def test_a_stand_in_is_drawn_hollow(run, letters):
    svg = picture(report([run], resources=letters, resamples=0))
    assert svg.count('class="dot apart m0"') == 1
    assert "Hollow: a stand-in sentence model" in svg
