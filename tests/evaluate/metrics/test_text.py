"""Names are found as whole words, in either number, not over commas, and not where they are denied."""

import pytest

from opendasheng.evaluate.metrics.text import Finder, singular, words

NAMES = ["guitar", "bass guitar", "drums", "violin or fiddle", "church bell", "blues", "glass", "glasses", "c", "c#"]


def stated(text, names=NAMES, ignored=frozenset()):
    return {names[number] for number in Finder(names, ignored).find(text)[0]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Guitars", {"guitar"}),
        ("a drum", {"drums"}),
        ("a fiddle", {"violin or fiddle"}),
        ("Violin_or_fiddle", {"violin or fiddle"}),
        ("church bells ring", {"church bell"}),
        ("a blue note", set()),
        ("glass", {"glass"}),
        ("glasses", {"glasses"}),
        ("C#", {"c#"}),
        ("bass guitar", {"bass guitar"}),
        ("Bass, guitar", {"guitar"}),
        ("guitarist", set()),
        ("gui\u00adtar", {"guitar"}),
        ("\uff47uitar", {"guitar"}),
        ("the guitar's sound", {"guitar"}),
    ],
)
def test_whole_words_in_either_number(text, found):
    assert stated(text) == found


def test_a_name_may_break_where_it_has_a_comma_or_an_ignored_word():
    names = ["rain and thunder", "male speech, man speaking"]
    assert stated("rain, thunder; male speech man speaking", names, frozenset({"and"})) == set(names)
    assert stated("male, speech man speaking", names) == set()


@pytest.mark.parametrize(
    "text",
    [
        "not a guitar",
        "I don't think it is a guitar",
        "It's unlikely to be a guitar",
        "It could be anything other than a guitar",
        "anything but a guitar",
        "drums rather than a guitar",
        "drums instead of guitars",
        "I am unable to tell if this is a guitar",
        "whether it is a guitar",
        "without a guitar",
        "the absence of any guitar",
        "The guitar is absent",
        "the guitar isn't there",
        "the guitar is not heard",
        "a guitar can be ruled out",
        "guitar is unlikely",
        "the guitar sound was missing",
        "no drums or a guitar",
        "neither drums nor a guitar",
        "lacking guitar",
        "far from a guitar",
        "no longer a guitar",
        "the sound does not appear to come from any kind of guitar",
    ],
)
def test_what_is_denied_is_not_stated(text):
    assert "guitar" not in stated(text)


@pytest.mark.parametrize(
    "text",
    [
        "not drums but a guitar",
        "No. Guitar.",
        "nothing but a guitar",
        "not just a guitar",
        "drums or a guitar",
        "not a glass but drums or a guitar",
        "a guitar rather than drums",
        "I'm not sure, it may be a guitar",
        "The guitar is not loud",
        "the guitar is playing, nothing else is there",
        "without doubt: a guitar",
        "Unlike the drums, the guitar is heard",
        "I don't hear drums and somebody is playing a guitar",
    ],
)
def test_what_is_not_denied_is_stated(text):
    assert "guitar" in stated(text)


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("guitars", "guitar"),
        ("basses", "bass"),
        ("churches", "church"),
        ("melodies", "melody"),
        ("bass", "bass"),
        ("chorus", "chorus"),
        ("tennis", "tennis"),
        ("blues", "blues"),
        ("gas", "gas"),
        ("voices", "voice"),
        ("women", "woman"),
        ("leaves", "leaf"),
        ("buses", "bus"),
    ],
)
def test_singulars(plural, one):
    assert singular(plural) == one


def test_words_are_levelled():
    assert words("It\u2019s the DOG's_bowl, Stra\u00dfe!") == ("it", "the", "dog", "bowl", "strasse")
