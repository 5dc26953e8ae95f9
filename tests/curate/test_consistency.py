"""The consistency filter: captions are laid beside the vector of their clip, and clips that none fits are dropped."""

import base64

import numpy as np
import pytest
from tiny_audio_text import noise, scorer

from opendasheng.curate.config import CurationConfig, FilterConfig, PoolConfig
from opendasheng.curate.consistency import ConsistencyFilter
from opendasheng.curate.experts.match import Match, vector_of
from opendasheng.curate.record import Captions, Drop, Findings, Record
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.model.audio_text_files import save_own


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    ours = scorer()
    folder = tmp_path_factory.mktemp("match") / "model"
    save_own(ours.model, ours._texts, folder)
    return str(folder)


def record(name, vector, **captions):
    told = base64.b64encode(np.asarray(vector, dtype="<f2").tobytes()).decode()
    return Record(
        id=name,
        source="s",
        recording="s/r",
        licence="CC0-1.0",
        duration_seconds=1.0,
        findings={"match": Findings(version="1", vector=told)},
        captions={
            maker: Captions(maker=maker, short=long, long=long, speech="-", music="-", sound="-", environment="-")
            for maker, long in captions.items()
        },
    )


def test_the_expert_reports_the_vector_of_the_model(model):
    clip = noise(0.7)
    expert = Match(model)
    heard = record("a", [0.0]).heard("match", expert.hear(clip, record("a", [0.0])))
    np.testing.assert_allclose(vector_of(heard), scorer().encode_audio([clip])[0], atol=1e-3)
    assert expert.version == Match(model).version
    again = Record.from_line(heard.to_line())
    np.testing.assert_array_equal(vector_of(again), vector_of(heard))
    with pytest.raises(CheckpointError, match="no such file"):
        Match("./nowhere")


def test_clips_that_no_caption_fits_are_dropped(model):
    [dog, loud] = scorer().encode_texts(["a dog barks", "loudly"])
    here, there = float(dog @ dog), float(dog @ loud)
    threshold = (here + there) / 2
    records = [
        record("fits", dog, template="a dog barks"),
        record("one-of-two", dog, template="loudly", llm="a dog barks"),
        record("none", dog, template="loudly"),
        record("bare", dog),
        record("unheard", dog, template="loudly").model_copy(update={"findings": {}}),
        record("gone", dog, template="loudly").model_copy(update={"dropped": Drop(step="read", reason="no")}),
    ]
    judged = {r.id: r for r in ConsistencyFilter(FilterConfig(model, threshold))(records)}
    assert list(judged) == [r.id for r in records]
    assert {name for name, r in judged.items() if r.dropped} == {"none", "gone"}
    assert judged["none"].dropped.step == "filter"
    assert judged["gone"].dropped.step == "read"
    assert judged["one-of-two"].scores == pytest.approx({"template": there, "llm": here}, abs=2e-3)
    assert not judged["bare"].scores
    assert not judged["unheard"].scores


def test_what_cannot_be_is_refused():
    pools = (PoolConfig(("levels", "match")),)
    CurationConfig(name="x", pools=pools, filter=FilterConfig("mini-match", 0.1))
    with pytest.raises(ConfigError, match=r"filter\.threshold is 12"):
        FilterConfig("mini-match", 12.0)
    with pytest.raises(ConfigError, match="no pool has the expert 'match'"):
        CurationConfig(name="x", pools=(PoolConfig(("levels",)),), filter=FilterConfig("mini-match"))
    with pytest.raises(ConfigError, match=r"set experts\.match\.model to the same"):
        CurationConfig(name="x", pools=pools, filter=FilterConfig("GLAP"))
