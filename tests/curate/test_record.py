"""Records come back from their line as they were, and what fits no record is named."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.curate.record import CATEGORIES, Drop, Event, Findings, Record, Span, json_schema
from opendasheng.errors import CurationError

TEXTS = st.text(min_size=1, max_size=8)
NUMBERS = st.floats(-1e6, 1e6)
SHARES = st.floats(0, 1)
SPANS = st.tuples(st.floats(0, 100), st.floats(0.01, 100)).map(
    lambda pair: Span(start_seconds=pair[0], end_seconds=pair[0] + pair[1])
)
FINDINGS = st.builds(
    Findings,
    version=TEXTS,
    values=st.dictionaries(
        TEXTS, st.one_of(st.booleans(), st.integers(-9, 9), NUMBERS, st.text(), st.tuples(TEXTS, TEXTS))
    ),
    confidences=st.dictionaries(TEXTS, SHARES),
    events=st.lists(st.builds(Event, label=TEXTS, start_seconds=SHARES, end_seconds=SHARES), max_size=2).map(tuple),
    error=st.text(max_size=5),
)
RECORDS = st.builds(
    Record,
    id=st.text("abcXYZ019_-", min_size=1, max_size=95),
    source=TEXTS,
    recording=TEXTS,
    licence=TEXTS,
    duration_seconds=st.floats(0.01, 1000),
    origin=st.text(max_size=5),
    span=st.none() | SPANS,
    findings=st.dictionaries(TEXTS, FINDINGS, max_size=2),
    scores=st.dictionaries(TEXTS, NUMBERS, max_size=2),
    category=st.none() | st.sampled_from(CATEGORIES),
    split=st.none() | st.sampled_from(["train", "test"]),
    dropped=st.none() | st.builds(Drop, step=TEXTS, reason=TEXTS),
)


@given(RECORDS)
def test_a_record_comes_back_from_its_line_and_fits_the_schema(record):
    line = record.to_line()
    assert "\n" not in line
    again = Record.from_line(line)
    assert again == record
    assert [type(v) for f in again.findings.values() for v in f.values.values()] == [
        type(v) for f in record.findings.values() for v in f.values.values()
    ]
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(line))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "../x"}, "id: "),
        ({"id": ""}, "id: "),
        ({"duration_seconds": 0}, "duration_seconds: "),
        ({"duration_seconds": "long"}, "duration_seconds: "),
        ({"licence": ""}, "licence: "),
        ({"span": {"start_seconds": 2, "end_seconds": 2}}, "span: .*has no length"),
        ({"findings": {"tags": {"values": {}}}}, "findings.tags.version: "),
        ({"findings": {"tags": {"version": "1", "confidences": {"a": 1.5}}}}, "findings.tags.confidences.a: "),
        ({"category": "noise"}, "category: "),
        ({"caption": "A dog."}, "caption: "),
    ],
)
def test_what_fits_no_record_is_named(change, told):
    fields = {"id": "a", "source": "s", "recording": "r", "licence": "CC0-1.0", "duration_seconds": 1.0}
    Record.from_line(json.dumps(fields))
    with pytest.raises(CurationError, match=told):
        Record.from_line(json.dumps(fields | change))


@pytest.mark.parametrize("line", ["", "[]", "null", "{", '{"id": NaN}', b"\xff"])
def test_a_line_that_is_none_is_told(line):
    with pytest.raises(CurationError, match="no record: "):
        Record.from_line(line)


def test_findings_take_the_place_of_those_before_and_nothing_is_changed_in_place():
    record = Record(id="a", source="s", recording="r", licence="CC0-1.0", duration_seconds=1.0)
    once = record.heard("levels", Findings(version="1", values={"loudness_lufs": -20.0}))
    again = once.heard("levels", Findings(version="2", values={"loudness_lufs": -21.0}))
    assert record.findings == {}
    assert (once.value("loudness_lufs"), again.value("loudness_lufs")) == (-20.0, -21.0)
    assert again.value("tempo_bpm") is None
