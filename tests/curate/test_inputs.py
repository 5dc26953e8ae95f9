"""A recipe names one way by which clips come."""

import pytest
from tiny_releases import SAID, member, sound, tar

from opendasheng.curate.acavcaps import AcavCapsInput
from opendasheng.curate.config import InputConfig
from opendasheng.curate.inputs import CorpusInput, open_input
from opendasheng.curate.recordings import RecordingsInput
from opendasheng.errors import ConfigError, CorpusError
from opendasheng.recipe import from_dict


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"corpus": "a", "acavcaps": "b"}, "corpus and acavcaps are set; clips come from one of them"),
        ({"corpus": "a", "audio": "b"}, "corpus and audio are set"),
        ({"corpus": "a", "acavcaps": "b", "audio": "c"}, "corpus and acavcaps and audio are set"),
        ({"audio": "b"}, "input.licence is not set; say under which licence"),
        ({"audio": "b", "licence": " "}, "input.licence is not set"),
        ({"acavcaps": "b", "audio": "c", "licence": "MIT"}, "input.licence is that of input.audio alone"),
        ({"corpus": "b", "licence": "MIT"}, "input.licence is that of input.audio alone"),
        ({"acavcaps": "b", "sources": ["c"]}, "input.sources are those of a corpus"),
        ({"audio": "b", "licence": "MIT", "clip_seconds": 0.0}, "input.clip_seconds is 0; it is 0.1 or more"),
        ({"corpsu": "a"}, "did you mean 'corpus'"),
    ],
)
def test_a_table_that_names_no_input_or_several_is_refused(table, told):
    with pytest.raises(ConfigError, match=told):
        from_dict(InputConfig, table, "x.toml: input")


def test_no_input_is_none():
    with pytest.raises(ConfigError, match=r"set one of input\.corpus, input\.acavcaps and input\.audio"):
        open_input(InputConfig())


def test_each_way_opens_its_input(clips, tmp_path):
    tar(tmp_path / "release" / "0.tar", [member("a_0_0_1_0.json", SAID)])
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.flac").write_bytes(sound(1.0))
    own = str(tmp_path / "own")
    ways = [
        (CorpusInput, InputConfig(corpus=str(clips))),
        (AcavCapsInput, InputConfig(acavcaps=str(tmp_path / "release"), audio=own)),
        (RecordingsInput, InputConfig(audio=own, licence="CC0-1.0")),
    ]
    for kind, config in ways:
        opened = open_input(config)
        assert isinstance(opened, kind)
        assert next(opened.flac(record.id)[:4] for record in opened.records()) == b"fLaC"


def test_folders_that_are_not_there_are_refused(tmp_path):
    for config in (
        InputConfig(corpus=str(tmp_path)),
        InputConfig(acavcaps=str(tmp_path)),
        InputConfig(audio=str(tmp_path), licence="CC0-1.0"),
        InputConfig(acavcaps=str(tmp_path), audio=str(tmp_path / "x")),
    ):
        with pytest.raises(CorpusError, match=str(tmp_path)):
            open_input(config)
