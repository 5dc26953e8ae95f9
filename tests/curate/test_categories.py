"""Kinds, domains and categories from what experts report."""

import tomllib
from importlib.resources import files

import pytest
from findings import active, heard, tagged
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.curate.audioset import group_of
from opendasheng.curate.categories import category_of, domain_of, kinds_of, shares
from opendasheng.curate.record import CATEGORIES, DOMAINS

SPANS = st.tuples(st.floats(0, 9), st.floats(0.01, 9)).map(lambda pair: (pair[0], min(10.0, sum(pair))))
LABELS = st.sampled_from(["Speech", "Dog", "Music", "Guitar", "Singing", "Silence", "Inside, small room"])
TAGS = st.lists(st.tuples(LABELS, SPANS), max_size=6)


def test_each_class_is_in_one_group():
    groups = tomllib.loads(files("opendasheng.curate").joinpath("audioset.toml").read_text(encoding="utf-8"))
    names = [name for group in groups.values() for name in group]
    assert len(names) == len(set(names))
    assert [
        group_of(name) for name in ("Whispering", "Opera", "Harp", "Jazz", "Noise", "Bark", "Shout", "Church bell")
    ] == [*("speech", "singing", "instrument", "music", "recording", "sound", "sound", "sound")]


def test_stretches_that_overlap_count_once():
    record = heard(tagged(("Dog", 0, 4), ("Bark", 2, 6), ("Cat", 8, 9)))
    assert shares(record) == pytest.approx({"speech": 0, "music": 0, "sound": 0.7})


@pytest.mark.parametrize(
    ("findings", "domain", "category"),
    [
        ([], "000", None),
        ([tagged(("Silence", 0, 10), ("Inside, small room", 0, 10))], "000", None),
        ([tagged(("Speech", 0, 5))], "S00", "pure speech"),
        ([tagged(("Singing", 0, 5))], "0M0", "pure music"),
        ([tagged(("Guitar", 0, 5), ("Dog", 0, 0.4))], "0M0", "pure music"),
        ([tagged(("Dog", 0, 5))], "00A", "pure sound"),
        ([tagged(("Speech", 0, 3), ("Dog", 0, 8))], "S0A", "mixed sound"),
        ([tagged(("Speech", 0, 3), ("Jazz", 0, 2))], "SM0", "mixed speech"),
        ([tagged(("Speech", 0, 3), ("Jazz", 0, 9), ("Dog", 1, 2))], "SMA", "mixed music"),
        # What only one of the two hears is not taken for speech or music.
        ([tagged(("Dog", 0, 5)), active(("speech", 0, 5))], "00A", "pure sound"),
        ([tagged(("Speech", 0, 5), ("Dog", 0, 5)), active()], "00A", "pure sound"),
        # What both hear lasts as long as the longer says.
        ([tagged(("Speech", 0, 1), ("Dog", 0, 3)), active(("speech", 0, 9))], "S0A", "mixed speech"),
        (
            [tagged(("Speech", 0, 5)), {"activity": active()["activity"].model_copy(update={"error": "x"})}],
            "S00",
            "pure speech",
        ),
    ],
)
def test_domain_and_category(findings, domain, category):
    record = heard(*findings)
    assert (domain_of(record), category_of(record)) == (domain, category)


@given(TAGS, st.booleans(), st.lists(st.tuples(st.sampled_from(["speech", "music", "singing"]), SPANS), max_size=3))
def test_they_agree_with_each_other(tags, is_active, stretches):
    flat = [(label, *span) for label, span in tags]
    more = [active(*((kind, *span) for kind, span in stretches))] if is_active else []
    record = heard(tagged(*flat), *more)
    found, kinds, domain, category = shares(record), kinds_of(record), domain_of(record), category_of(record)
    assert all(0 <= share <= 1 for share in found.values())
    assert domain in DOMAINS
    assert sum(letter != "0" for letter in domain) == len(kinds)
    if not kinds:
        assert category is None
    else:
        assert category in CATEGORIES
        extent, kind = category.split()
        assert (extent == "pure") == (len(kinds) == 1)
        assert found[kind] == max(found.values())
