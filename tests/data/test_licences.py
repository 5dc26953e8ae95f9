"""Every licence of the corpora is known as permissive or as another; what is not known is not permissive."""

import json
from importlib.resources import files

import pytest

from opendasheng.corpora.registry import RECIPES
from opendasheng.data.licences import is_permissive, table, terms


@pytest.mark.parametrize(
    "licence",
    [
        "CC0-1.0",
        "cc-by-4.0",
        " MIT ",
        "CC BY 4.0",
        "odc-by",
        "Public  Domain",
        "WordNet 3.0 (texts), Apache-2.0 (voice)",
    ],
)
def test_permissive(licence):
    assert is_permissive(licence)


@pytest.mark.parametrize(
    "licence", ["", "unknown", "GPL-2+", "CC-BY-SA-3.0", "CC-BY-NC-4.0", "CC-BY-3.0 and GPL-2+", "CC-BY-ND-4.0"]
)
def test_not_permissive(licence):
    assert not is_permissive(licence)


def test_no_licence_is_both():
    assert not table()["permissive"] & table()["other"]


def test_every_licence_of_the_corpora_is_in_a_list():
    record = json.loads(files("opendasheng").joinpath("mini/record.json").read_text(encoding="utf-8"))
    met = {source["licence"] for source in record["sources"]} | {recipe.licence for recipe in RECIPES.values()}
    assert len(met) > 15
    assert {licence for licence in met if terms(licence) == "unlisted"} == set()


def test_a_licence_that_no_list_has_is_said_to_be_unlisted():
    assert [terms(name) for name in ("MIT", "GPL-2+", "", "Nobody's own")] == ["permissive", "other", *["unlisted"] * 2]
