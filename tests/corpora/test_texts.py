"""What synthesisers read is theirs alone: no clip of development or test says it too, in the built corpus."""

from pathlib import Path

import pytest

from opendasheng.corpora.recipe import spelling
from opendasheng.data.shards import ShardReader

CORPUS = Path(__file__).parents[2] / "corpus"
READ = ("wordnet-flite", "wordnet-hibari", "wordnet-kokoro", "game-lines")
BUILT = [name for name in READ if (CORPUS / name / "index.json").is_file()]

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not BUILT, reason=f"without {', '.join(READ)} in corpus/ (runs/mini.sh corpus)"),
]


@pytest.mark.parametrize("name", BUILT)
def test_no_clip_that_is_held_out_says_what_a_synthesiser_reads(name: str) -> None:
    held = {
        spelling(text): clip.id
        for folder in sorted(path.parent for path in CORPUS.glob("*/index.json"))
        if folder.name not in READ
        for clip in ShardReader(folder).clips
        if clip.split != "train"
        for language, text in ((clip.language, clip.transcript), ("en", clip.translation))
        if language == "en" and text
    }
    assert held
    read = {spelling(clip.transcript or ""): clip.transcript for clip in ShardReader(CORPUS / name).clips}
    assert {text: held[key] for key, text in read.items() if key in held} == {}
