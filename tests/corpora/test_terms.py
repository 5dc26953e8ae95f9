"""What a run over permissive clips alone may learn from is counted by split."""

from dataclasses import replace

import numpy as np

from opendasheng.cli import main
from opendasheng.corpora.terms import by_terms
from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardWriter

HOUR = Clip(id="a", source="s", licence="MIT", split="train", kind="sound", duration_seconds=3600.0)
CLIPS = [
    HOUR,
    replace(HOUR, id="b", licence="CC BY 4.0", split="dev", duration_seconds=1800.0),
    replace(HOUR, id="c", licence="GPL-2+"),
    replace(HOUR, id="d", licence="by my aunt"),
]


def test_hours_by_terms_and_split() -> None:
    lines = [line.split() for line in by_terms(CLIPS).splitlines()]
    assert lines[:7] == [
        ["permissive", "train", "1.000", "h", "1", "clips"],
        ["permissive", "dev", "0.500", "h", "1", "clips"],
        ["permissive", "all", "1.500", "h", "2", "clips"],
        ["other", "train", "1.000", "h", "1", "clips"],
        ["other", "all", "1.000", "h", "1", "clips"],
        ["unlisted", "train", "1.000", "h", "1", "clips"],
        ["unlisted", "all", "1.000", "h", "1", "clips"],
    ]
    assert by_terms(CLIPS).splitlines()[7:] == ["unlisted, so not taken for permissive: 'by my aunt'"]


def test_the_report_of_a_corpus_has_them(tmp_path, capsys) -> None:
    with ShardWriter(tmp_path / "s", source="s", fingerprint="f") as writer:
        for clip in CLIPS:
            writer.add(clip, np.zeros(1600, dtype=np.float32))
    assert main(["corpus", "report", str(tmp_path)]) == 0
    assert by_terms(CLIPS) in capsys.readouterr().out
