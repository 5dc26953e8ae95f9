"""Splits: neither a recording nor a copy of one is on both sides, and nothing moves when clips are added."""

import numpy as np
import pytest
from findings import heard, placed
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.curate.config import PERMISSIVE, SplitConfig
from opendasheng.curate.record import Drop
from opendasheng.curate.split import first_names, licensed, side, split
from opendasheng.errors import ConfigError


def clips(*described):
    """Records of (recording, which of several orthogonal vectors)."""
    return [
        heard(placed(np.eye(8)[kind]), id=f"c{number}", recording=recording)
        for number, (recording, kind) in enumerate(described)
    ]


described = st.lists(st.tuples(st.sampled_from([f"r{n}" for n in range(20)]), st.integers(0, 7)), max_size=12)


@settings(max_examples=50, deadline=None)
@given(described, st.floats(0, 100))
def test_recordings_and_copies_stay_on_one_side(described, test_percent):
    records = split(clips(*described), SplitConfig(test_percent=test_percent))
    for one, (recording, kind) in zip(records, described, strict=True):
        for other, (its_recording, its_kind) in zip(records, described, strict=True):
            if recording == its_recording or kind == its_kind:
                assert one.split == other.split
    assert {record.split for record in records} <= {"train", "test"}


@given(st.sets(st.text(min_size=1), min_size=1), st.sets(st.text(min_size=1)))
def test_what_is_added_moves_nothing(names, more):
    def sides(recordings):
        records = [heard(id=f"c{n}", recording=name) for n, name in enumerate(sorted(recordings))]
        return {record.recording: record.split for record in split(records, SplitConfig(test_percent=50))}

    assert sides(names).items() <= sides(names | more).items()


def test_so_many_per_cent_are_for_testing():
    names = [f"source/{number}.wav" for number in range(10_000)]
    assert sum(side(name, 5) == "test" for name in names) == pytest.approx(500, abs=70)
    assert {side(name, 0) for name in names} == {"train"}
    assert {side(name, 100) for name in names} == {"test"}


def test_the_first_name_goes_by_way_of_others():
    assert first_names("abcdef", [("f", "e"), ("e", "b"), ("d", "c")]) == dict(zip("abcdef", "abccbb", strict=True))


def test_a_dropped_clip_joins_recordings_and_has_no_split():
    records = clips(("r1", 0), ("r1", 1), ("r2", 1), ("r2", 2))
    records[1] = records[1].model_copy(update={"dropped": Drop(step="filter", reason="no")})
    for percent in range(0, 101, 5):
        first, dropped, second, third = split(records, SplitConfig(test_percent=percent))
        assert first.split == second.split == third.split
        assert dropped.split is None


def test_too_many_copies_of_one_are_told(capsys):
    split(clips(*((f"r{n}", n % 8) for n in range(80))), SplitConfig())
    assert capsys.readouterr().err == ""
    split(clips(*((f"r{n}", 0) for n in range(21)), *((f"s{n}", 1 + n % 7) for n in range(60))), SplitConfig())
    said = " ".join(capsys.readouterr().err.split())
    assert "21 of 81 recordings count as copies of each other, by r0 and others" in said
    assert "raise split.duplicate_cosine" in said


def test_clips_under_other_licences_are_dropped():
    names = ("CC0-1.0", "CC BY 4.0", "GPL-2+", "who knows")
    records = [heard(id=f"c{n}", licence=name) for n, name in enumerate(names)]

    def kept(*licences):
        return [record.licence for record in licensed(records, licences) if record.dropped is None]

    assert kept() == list(names)
    assert kept(PERMISSIVE) == ["CC0-1.0", "CC BY 4.0"]
    assert kept("gpl-2+", "cc-by-4.0") == ["CC BY 4.0", "GPL-2+"]
    assert kept(PERMISSIVE, "GPL-2+") == ["CC0-1.0", "CC BY 4.0", "GPL-2+"]
    [*_, last] = licensed(records, (PERMISSIVE,))
    assert last.dropped == Drop(step="licence", reason="'who knows' is not among split.licences")
    gone = [records[2].model_copy(update={"dropped": Drop(step="read", reason="no")})]
    assert licensed(gone, (PERMISSIVE,)) == gone


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"test_percent": 101.0}, r"split\.test_percent is 101\.0; it is at most 100"),
        ({"test_percent": -1.0}, r"split\.test_percent is -1\.0; it is 0 or more"),
        ({"duplicate_cosine": 1.5}, r"split\.duplicate_cosine is 1\.5; it is from 0 to 1"),
        ({"licences": ("CC0-1.0", " ")}, r"split\.licences has an empty name"),
    ],
)
def test_what_cannot_be_is_refused(values, told):
    with pytest.raises(ConfigError, match=told):
        SplitConfig(**values)
