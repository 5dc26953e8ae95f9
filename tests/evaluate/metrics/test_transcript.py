"""Transcripts are cut into the units of the published script, and strictly into what is written."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import transcript
from opendasheng.evaluate.metrics.transcript import published_units, strict_units

# Written by the published script: language, text, units.
GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "golden/transcripts.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(("language", "text", "units"), GOLDEN, ids=[f"{row[0]}-{i}" for i, row in enumerate(GOLDEN)])
def test_units_are_those_of_the_published_script(language, text, units):
    assert "|".join(published_units(text, language)) == units


@pytest.mark.parametrize(
    ("language", "text", "units"),
    [
        ("zh", "1,234,567", "一百二十三万四千五百六十七"),  # published: group by group
        ("zh", "气温是-3.5度", "气温是负三点五度"),  # published: the sign is lost
        ("zh", "全角50％", "全角百分之五十"),
        ("zh", "繁體中文", "繁体中文"),
        ("zh-TW", "臺灣", "台湾"),
        ("th", "สวัสดี ครับ", ["ส", "วั", "ส", "ดี", "ค", "รั", "บ"]),  # published: five shards cut at the vowels
        ("hi", "नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("vi", "Cafe\u0301 Việt", ["café", "việt"]),
        ("fr", "Ça va ? (rires)", ["ça", "va"]),
        ("en", "ＨＥＬＬＯ twenty-two", ["hello", "22"]),
        ("EN", "colour", ["color"]),
        ("eng", "I don\u2019t \u200bknow", ["i", "do", "not", "know"]),
        ("zh_CN", "20", "二十"),
        ("cmn", "天气", "天气"),
        ("ja", "今日は", "今日は"),
        ("de", "STRASSE Stra\u00dfe", ["strasse", "strasse"]),
        (
            "el",
            "\u039f\u0394\u039f\u03a3 \u03bf\u03b4\u03cc\u03c2",
            ["\u03bf\u03b4\u03bf\u03c3", "\u03bf\u03b4\u03cc\u03c3"],
        ),
        ("ar", "\u0661\u0662\u0663", ["123"]),
        ("fa", "\u06f1\u06f2\u06f3", ["123"]),
        ("en", "\u0661\u0662", ["12"]),
        ("zh", "\u0662\u0660", "二十"),
    ],
)
def test_strict_units(language, text, units):
    assert list(strict_units(text, language)) == list(units)


def test_published_units_know_neither_sharp_s_nor_other_digits():
    assert published_units("STRASSE Stra\u00dfe \u0661", "de") == ["strasse", "stra\u00dfe", "\u0661"]


def test_tags_need_both_ends_on_one_line():
    assert published_units("<|en|>a <|b|> c<|d e", "fr") == ["a", "c", "d", "e"]
    assert published_units("|a\n<|b|> <|c|>d <|e", "fr") == ["a", "d", "e"]
    assert published_units("<|a<|b|>c", "fr") == ["c"]


@pytest.mark.parametrize(
    "text",
    [
        *("(" * 10**5, "<|" * 10**5, "12个3块 " * 10**4, "<[" * 10**5, "。" * 10**5),
        *("(A) " * 10**5, "um " * 10**5, "1" * 10**5, "1" * 10**5 + "%", "ab二" * 10**5, "\u0301\u0316" * 10**5),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh", "th"])
def test_a_hostile_text_takes_no_forever(language, text):
    began = time.process_time()
    published_units(text, language)
    strict_units(text, language)
    assert time.process_time() - began < 20  # without care: minutes


@settings(max_examples=300)
@given(st.text(), st.sampled_from(["en", "zh", "yue", "th", "fr", "ja"]))
def test_any_text_has_units_without_spaces(text, language):
    for units in (published_units(text, language), strict_units(text, language)):
        assert all(unit.strip() for unit in units)


def test_another_normaliser_is_refused(monkeypatch):
    transcript._whisper.cache_clear()
    monkeypatch.setattr(transcript, "version", lambda _: "0.1.15")
    with pytest.raises(EvaluationError, match=r"0\.1\.15.*whisper-normalizer==0\.1\.0"):
        published_units("a", "en")
    transcript._whisper.cache_clear()
