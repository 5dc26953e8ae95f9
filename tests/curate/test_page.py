"""A page is one file: nothing in records becomes markup, audio and pictures decode, and no clip is left out."""

import base64
from html.parser import HTMLParser

import pytest
from findings import active, heard, tagged, valued
from hypothesis import given
from hypothesis import strategies as st
from pngs import decoded
from tiny_releases import sound

from opendasheng.cli import main
from opendasheng.curate.config import InputConfig
from opendasheng.curate.describe import describe
from opendasheng.curate.inputs import open_input
from opendasheng.curate.journal import Records
from opendasheng.curate.page import MOST_SECONDS, Shown, group_of, page, sample, write_page
from opendasheng.curate.record import Captions, Drop, Event, Findings, Question, Record, Span, Writing
from opendasheng.data.shards import decode_flac

VOID = {"meta", "link", "img"}
TAGS = {
    *("html", "head", "meta", "link", "title", "style", "body", "header", "main", "footer", "section", "article"),
    *("nav", "h1", "h2", "h3", "h4", "p", "a", "ul", "li", "dl", "dt", "dd", "div", "span", "strong", "details"),
    *("summary", "figure", "figcaption", "img", "audio", "svg", "path", "rect"),
}
HOSTILE = (
    "</p><script>alert(1)</script><img src=http://x/ onerror=alert(1)>\" autofocus onfocus='alert(1) {{ 7*7 }} &amp;"
)


class Reader(HTMLParser):
    """All tags with their attributes, closed in order, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self._open[-1], data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag not in ("style", "title"))


def require_safe(reader: Reader) -> None:
    """Only our own tags, nothing that runs, and nothing that is fetched."""
    for tag, attributes in reader.found:
        assert tag in TAGS
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert next(a["content"] for a in reader.all("meta") if a.get("http-equiv")).startswith("default-src 'none'")


def full(text: str, **fields: object) -> Record:
    """A record with ``text`` wherever there may be text."""
    captions = Captions(maker=text, long=text, short=text, speech=text, music=text, sound=text, environment=text)
    event = Event(label=text, start_seconds=1.5, end_seconds=2.5, confidence=0.25)
    return heard(
        {
            text: Findings(version=text, values={text: text, "few": (text, text)}, events=(event,)),
            "bad": Findings(version=text, error=text),
        },
        **{
            **dict.fromkeys(("source", "recording", "licence", "origin"), text),
            "captions": {text: captions, "template": captions},
            "scores": {text: 0.5},
            "questions": (Question(category="direct_perception", difficulty="basic", question=text, answer=text),),
            "writing": {text: Writing(maker=text, error=text)},
            "dropped": Drop(step=text, reason=text),
            **fields,
        },
    )


@given(st.one_of(st.just(HOSTILE), st.text(min_size=1, max_size=12)))
def test_no_text_becomes_markup(text):
    reader = Reader(page(text, [full(text)], [Shown(full(text), note=text)]))
    require_safe(reader)
    assert len(reader.all("article")) == 1
    plain = Reader(page("x", [full("x")], [Shown(full("x"), note="x")]))
    assert [tag for tag, _ in reader.found] == [tag for tag, _ in plain.found]


def test_hostile_text_is_there_to_read():
    text = Reader(page(HOSTILE, [full(HOSTILE)], [Shown(full(HOSTILE), note=HOSTILE)])).text()
    assert text.count("{{ 7*7 }} &amp;") > 20
    assert "49" not in text


def test_a_page_shows_what_is_known_of_a_clip(clips, tmp_path):
    record = describe(
        heard(
            tagged(("Dog", 0.1, 0.3), ("Music", 0.2, 0.5)),
            active(("music", 0.0, 0.5)),
            valued("levels", {"loudness_lufs": 0.75}, loudness_lufs=-21.234567, is_loud=True),
            id="tone-0",
            duration_seconds=0.5,
            span=Span(start_seconds=3.0, end_seconds=3.5),
            scores={"template": 0.1234},
        )
    )
    write_page(tmp_path / "a.html", "run", [record], open_input(InputConfig(str(clips))), 5)
    reader = Reader((tmp_path / "a.html").read_text())
    require_safe(reader)
    text = reader.text()
    for words in (
        "tone-0",
        "from 3.0 to 3.5 s",
        "mixed music",
        "0MA",
        "cosine 0.123",
        "Dog",
        "-21.23",
        "(0.75)",
        "yes",
    ):
        assert words in text
    assert "0.10\u20130.30 s (0.95)" in text
    assert record.captions["template"].long in text
    bars = [(bar["x"], bar["width"]) for bar in reader.all("rect")]
    assert bars == [("20.0", "40.0"), ("40.0", "60.0"), ("0.0", "100.0")]


def test_audio_and_pictures_decode_and_every_clip_of_the_sample_is_there(clips, tmp_path):
    source = open_input(InputConfig(str(clips)))
    records = [describe(record) for record in source.records()]
    gone = records[0].model_copy(update={"id": "gone", "dropped": Drop(step="read", reason="it is damaged")})
    write_page(tmp_path / "a.html", "run", [*records, gone], source, 50)
    reader = Reader((tmp_path / "a.html").read_text())
    assert len(reader.all("article")) == len(records) + 1
    audio = {a["aria-label"]: a["src"] for a in reader.all("audio")}
    assert set(audio) == {record.id for record in records}
    for record in records:
        flac = base64.b64decode(audio[record.id].removeprefix("data:audio/flac;base64,"), validate=True)
        assert len(decode_flac(flac)) == round(record.duration_seconds * 16_000)
    for picture in reader.all("img"):
        rows, _ = decoded(base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"), validate=True)).shape
        assert rows == 64
    assert len(reader.all("img")) == len(records)
    text = reader.text()
    assert "Dropped by read." in text
    assert "it is damaged" in text
    assert "There is no audio: clip gone" in text
    assert "9 clips, 8 of them kept" in text


def test_what_is_left_out_of_a_long_clip_is_said(tmp_path):
    (tmp_path / "a.flac").write_bytes(sound(MOST_SECONDS + 1))
    source = open_input(InputConfig(audio=str(tmp_path), licence="CC0-1.0", clip_seconds=60.0))
    write_page(tmp_path / "a.html", "run", list(source.records()), source, 1)
    reader = Reader((tmp_path / "a.html").read_text())
    assert "The first 30 of 31.0 s." in reader.text()
    [audio] = reader.all("audio")
    assert len(decode_flac(base64.b64decode(audio["src"].partition(",")[2]))) == MOST_SECONDS * 16_000


def test_silence_has_a_picture(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", [0.0] * 8000, 16_000)
    source = open_input(InputConfig(audio=str(tmp_path), licence="CC0-1.0"))
    write_page(tmp_path / "a.html", "run", list(source.records()), source, 1)
    assert "silent; 0 to 8 kHz" in Reader((tmp_path / "a.html").read_text()).text()


def test_a_page_without_clips_says_so():
    reader = Reader(page("run", [], []))
    require_safe(reader)
    assert "There are no clips." in reader.text()


def test_a_sample_is_even_over_categories_and_sources():
    def record(number: int, source: str, **fields: object) -> Record:
        return heard(id=f"{source}-{number}-{len(fields)}", source=source, **fields)

    speech = [record(n, source, category="pure speech") for n in range(30) for source in ("a", "b")]
    sounds = [record(n, "a", category="pure sound") for n in range(3)]
    dropped = [record(n, "a", dropped=Drop(step="filter", reason="r"), category="pure sound") for n in range(30)]
    records = [*speech, *sounds, *dropped, record(0, "c")]
    chosen = sample(records, 12)
    counts = {group: sum(group_of(r) == group for r in chosen) for group in map(group_of, records)}
    assert counts == {"pure speech": 4, "pure sound": 3, "dropped: filter": 4, "nothing heard": 1}
    assert [r.source for r in chosen if r.category == "pure speech"] == ["a", "a", "b", "b"]
    assert list(dict.fromkeys(map(group_of, chosen))) == [
        "pure speech",
        "pure sound",
        "nothing heard",
        "dropped: filter",
    ]
    assert chosen == sample(records[::-1], 12)


@pytest.mark.parametrize(("options", "num"), [([], None), (["--page"], 8), (["--page", "3"], 3)])
def test_the_command_writes_it_when_asked(clips, tmp_path, capsys, options, num):
    recipe = tmp_path / "x.toml"
    recipe.write_text(
        f'name = "x"\noutput = "{tmp_path}"\n[input]\ncorpus = "{clips}"\n[[pools]]\nexperts = ["levels"]\n'
    )
    journal = Records(tmp_path / "x" / "journal.jsonl")
    for record in open_input(InputConfig(str(clips))).records():
        journal.add(record)
    journal.close()
    assert main(["curate", str(recipe), *options, "--only", "write"]) == 0
    path = tmp_path / "x" / "records.jsonl"
    written = path.with_name("sample.html")
    assert written.exists() == (num is not None)
    if num is not None:
        assert len(Reader(written.read_text()).all("article")) == num
        assert f"wrote {written}" in capsys.readouterr().err
