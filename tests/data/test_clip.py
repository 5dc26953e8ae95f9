"""A clip keeps what it is given and refuses what it cannot mean."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.data.clip import GENDERS, KINDS, SPLITS, Clip, Question
from opendasheng.errors import CorpusError

words = st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
clips = st.builds(
    Clip,
    id=st.from_regex(r"[A-Za-z0-9_-]{1,95}", fullmatch=True),
    source=words,
    licence=st.text(max_size=10),
    split=st.sampled_from(SPLITS),
    kind=st.sampled_from(KINDS),
    duration_seconds=st.floats(min_value=1e-3, max_value=1e4),
    language=st.none() | st.sampled_from(["en", "ru"]),
    speaker=st.none() | words,
    gender=st.none() | st.sampled_from(GENDERS),
    transcript=st.none() | words,
    translation=st.none() | words,
    labels=st.lists(words, max_size=3).map(tuple),
    captions=st.lists(words, max_size=3).map(tuple),
    questions=st.lists(st.builds(Question, st.text(max_size=20), words, st.text(max_size=20)), max_size=3).map(tuple),
    origin=st.text(max_size=20),
)


def a_clip(**changes: object) -> Clip:
    fields: dict[str, object] = {
        "id": "clip-1",
        "source": "package",
        "licence": "CC0-1.0",
        "split": "train",
        "kind": "sound",
        "duration_seconds": 1.5,
    }
    return Clip.from_dict(fields | changes)


@given(clips)
def test_json_gives_the_same_clip_back(clip: Clip) -> None:
    assert Clip.from_json(clip.to_json()) == clip
    assert Clip.from_json(clip.to_json().encode()) == clip


def test_json_is_one_line_in_a_fixed_order() -> None:
    text = a_clip(transcript="Окна\nи двери", labels=["dog", "animal"]).to_json()
    assert "\n" not in text
    assert "Окна" in text
    assert list(json.loads(text))[:3] == ["id", "source", "licence"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "a/b"),
        ("id", ""),
        ("id", "a\n"),
        ("id", "a" * 96),
        ("source", ""),
        ("split", "validation"),
        ("kind", "noise"),
        ("duration_seconds", 0.0),
        ("duration_seconds", float("nan")),
        ("duration_seconds", float("inf")),
        ("duration_seconds", 1e12),
        ("duration_seconds", 86_400.5),
        ("duration_seconds", "1"),
        ("duration_seconds", 10**400),
        ("duration_seconds", True),
        ("language", "eng"),
        ("gender", "unknown"),
        ("translation", " "),
        ("transcript", "  "),
        ("labels", [""]),
        ("labels", "dog"),
        ("captions", [3]),
        ("speaker", 5),
    ],
)
def test_a_wrong_value_is_named(field: str, value: object) -> None:
    with pytest.raises(CorpusError, match=field):
        a_clip(**{field: value})


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(CorpusError, match="'lable'"):
        a_clip(lable="dog")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(CorpusError, match="split"):
        Clip.from_json('{"id":"a","source":"p","licence":"","kind":"sound","duration_seconds":1.0}')


@pytest.mark.parametrize("text", ["", "{", "[]", '"clip"'])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(CorpusError):
        Clip.from_json(text)
