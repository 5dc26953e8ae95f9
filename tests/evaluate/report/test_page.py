"""The page: one file, no scripts, no requests, and nothing that rows say becomes markup."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from opendasheng.evaluate.report.data import report
from opendasheng.evaluate.report.page import page, plot

TAGS = {
    *(
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "main",
        "footer",
        "section",
        "nav",
        "article",
    ),
    *("h1", "h2", "p", "a", "ul", "li", "dl", "dt", "dd", "div", "span", "strong", "em", "i", "br", "code", "details"),
    *("summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "audio"),
    *("svg", "path", "circle", "polygon", "rect", "text", "tspan"),
}
VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """All tags with their attributes, and whether they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def text(run, rows, letters):
    for number in range(40):
        soundfile.write(run / "nsynth" / rows.nsynth(number)["audio"], np.zeros(1600), 16000)
    return page(report([run], resources=letters, resamples=20, num_worst=30))


def test_hostile_texts_are_shown_and_do_nothing(text):
    reader = Reader(text)
    assert {tag for tag, _ in reader.tags} <= TAGS
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on")]
    assert "<script>alert(1)</script>" in "".join(reader.text)


def test_nothing_is_loaded_from_elsewhere(text):
    reader = Reader(text)
    links = [attrs[name] for _, attrs in reader.tags for name in ("href", "src", "action", "data") if name in attrs]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "default-src 'none'" in text
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in styles
    assert "url(" not in styles


def test_links_within_the_page_lead_somewhere(text):
    tags = Reader(text).tags
    places = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(places) == len(set(places))
    assert {attrs["href"][1:] for tag, attrs in tags if tag == "a"} <= set(places)
    assert {attrs["aria-labelledby"] for _, attrs in tags if "aria-labelledby" in attrs} <= set(places)


def test_the_page_can_be_read_without_seeing_it(text):
    tags = Reader(text).tags
    assert dict(tags[0][1]) == {"lang": "en"}
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in tags if tag == "th")
    pictures = [attrs for tag, attrs in tags if tag == "svg"]
    assert len(pictures) == 4
    assert all(attrs.get("aria-hidden") == "true" or attrs.get("aria-label") for attrs in pictures)
    assert all(attrs.get("aria-label") for tag, attrs in tags if tag == "audio" or attrs.get("role") == "region")


def test_audio_beside_the_predictions_can_be_played(text):
    sounds = [attrs for tag, attrs in Reader(text).tags if tag == "audio"]
    assert sounds
    assert all(attrs["src"].startswith("data:audio/") and "controls" in attrs for attrs in sounds)


def test_what_must_be_loud_is_loud(text):
    said = "".join(Reader(text).text)
    assert said.count("letters stands in for the published sentence model") == 2
    assert "3 failed" in said
    assert "CLIP: it is N s long; take at most N s" in said
    assert "lower is better" in said


def test_many_long_texts_and_clips_stay_below_5_mb(rows, write, tmp_path):
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.2, 16000 * 15), 16000)
    long = "word " * 20_000
    files = [
        write(f"{i}.jsonl", [rows.nsynth(n, f"m{i}", audio="noise.wav", model_output=long) for n in range(12)])
        for i in range(6)
    ]
    text = page(report(files, resamples=0, num_worst=10))
    assert text.count("<audio") > 20
    assert "the page has no room for more" in text
    assert len(text) < 5_000_000


def test_the_line_of_a_figure_stays_on_the_line(rows, write):
    file = write(
        "a.jsonl", [rows.speech(n, text="one", model_output="a lot of words that nobody said") for n in range(5)]
    )
    (entry,) = report([file], resamples=10).entries
    assert entry.score.compat > 100
    places = [float(x) for x in re.findall(r'cx="([\d.]+)"', plot(entry))]
    assert places == [200.0, 200.0]


def test_a_report_without_a_figure_is_a_page_too(rows, write):
    text = page(report([write("a.jsonl", [rows.caption(1)])]))
    assert "no figures" in text
    assert "--sentence-model" in "".join(Reader(text).text)
