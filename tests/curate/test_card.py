"""The card of a data set: how it was made, in figures that add up."""

from findings import active, captioned, heard, placed, tagged, valued

from opendasheng.curate.card import card, figures
from opendasheng.curate.config import CurationConfig, FilterConfig, InputConfig, PoolConfig, SplitConfig
from opendasheng.curate.dataset import Dataset
from opendasheng.curate.describe import describe
from opendasheng.curate.record import Drop
from opendasheng.curate.split import split

CONFIG = CurationConfig(
    name="tiny",
    input=InputConfig(splits=("train", "dev")),
    pools=(PoolConfig(("tags", "match")),),
    filter=FilterConfig("mini-match", 0.1),
    split=SplitConfig(licences=("permissive",), test_percent=0),
)


def dataset():
    speech = (
        tagged(("Speech", 0, 900)),
        active(("speech", 0, 900)),
        valued("speech", language="en", transcript="Yes."),
    )
    records = [
        heard(tagged(("Dog", 0, 900)), placed((1, 0)), id="dog", recording="s/dog", duration_seconds=1800.0),
        heard(*speech, placed((0, 1)), id="yes", recording="t/yes", source="t|u", duration_seconds=1800.0),
        heard(id="gone", recording="s/gone", dropped=Drop(step="filter", reason="no caption fits")),
    ]
    described = [describe(record) for record in records]
    described[0] = described[0].model_copy(
        update={"captions": {**described[0].captions, "model": captioned("some LLM, prompts 1", "A dog barks.")}}
    )
    return Dataset(CONFIG, split(described, CONFIG.split))


def test_a_card_tells_what_was_kept_by_whom_and_why():
    found = dataset()
    text = card(CONFIG, found.records, found.clips)
    assert text.startswith("---\nlicense: other\n")
    assert figures(found.clips) == "2 clips, 1.00 hours, languages of speech: 1 (en)."
    assert figures(found.clips) in " ".join(text.split())
    for line in (
        "| train | 2 | 1.00 | 2 |",
        "| 00A | 1 | 0.50 | 1 |",
        "| S00 | 1 | 0.50 | 1 |",
        "| CC0-1.0 | 2 | 1.00 | 2 |",
        r"| t\|u | 1 | 0.50 | 1 |",
        "- dropped, filter: no caption fits (1)",
        "| pure speech | 1 | 0.50 | S00 1 |",
        "| tags | 1 | 2 | 2 | 0 |",
        "| long captions | LLM and template | 15 | 8.50 |  |",
        "| ACAVCaps | reasoning LLM | 644407 | 22.18 | ACAV100M |",
    ):
        assert line in text.splitlines(), line
    flat = " ".join(text.split())
    assert "by some LLM, prompts 1 (of 1 clips), template 3 (of 1 clips)." in flat
    assert "a cosine of 0.1 or more between text and audio by mini-match" in flat
    assert "was not looked at, but for their splits there: all are of train and dev." in flat
    assert "Clips under other licences than these were dropped: permissive." in flat
    assert all(len(line) <= 120 or line.startswith(("|", "-")) for line in text.splitlines())
    assert text == card(CONFIG, found.records, found.clips)


def test_a_card_says_no_more_than_was_done():
    bare = CurationConfig(name="bare", pools=(PoolConfig(("tags",)),))
    records = split([describe(heard(tagged(("Dog", 0, 9))))], bare.split)
    found = Dataset(bare, records)
    flat = " ".join(card(bare, found.records, found.clips).split())
    assert "was not checked by another model" in flat
    assert "copies of a recording under another name were not looked for" in flat
    assert "languages unknown" in flat
    assert "a clip to train on may be one that others test on." in flat
    assert "language model wrote" not in flat
    assert "other licences" not in flat
