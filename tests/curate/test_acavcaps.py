"""A release as it is found: keys, captions and audio come out as they are, and what is no clip is told and left."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_releases import SAID, link, member, sound, tar

from opendasheng.curate.acavcaps import LICENCE, AcavCapsInput, captions_of, read_key
from opendasheng.curate.config import InputConfig
from opendasheng.curate.describe import describe
from opendasheng.curate.pool import Read
from opendasheng.curate.record import DOMAINS, Findings, Record
from opendasheng.data.licences import is_permissive
from opendasheng.data.shards import decode_flac
from opendasheng.errors import CorpusError

KEY = "AbC-_123xyz_30_0_40_0"
OTHER = "9gcltO0iytk_10_62_20_62"


def records(folder, **options) -> dict[str, Record]:
    found = list(AcavCapsInput(InputConfig(acavcaps=str(folder), **options)).records())
    assert len({record.id for record in found}) == len(found)
    return {record.id: record for record in found}


def kept(found: dict[str, Record]) -> list[str]:
    return [name for name, record in found.items() if record.dropped is None]


def reasons(found: dict[str, Record]) -> list[str]:
    return [record.dropped.reason for record in found.values() if record.dropped]


def read(folder, **options) -> dict[str, Record]:
    """What the step Read makes of all that is not dropped before."""
    lines = [record.to_line() for record in records(folder, **options).values() if record.dropped is None]
    rows = Read(InputConfig(acavcaps=str(folder), **options))({"record": lines})
    return {record.id: record for record in map(Record.from_line, rows["record"])}


NUMBERS = st.tuples(st.integers(0, 99_999), st.text("0123456789", min_size=1, max_size=17)).map(
    lambda number: f"{number[0]}.{number[1]}"
)


@given(st.text("abcXYZ019_-", min_size=1, max_size=11), NUMBERS, NUMBERS)
@example("_1_2_3_4_5_", "0.11664999999999992", "10.1166")
def test_a_key_is_read_from_its_end(video, start, end):
    key = read_key(f"{video}_{start}_{end}".replace(".", "_"))
    assert key == (video, float(start), float(end))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AbC-_123xyz",
        "AbC_30_40",
        "../a_30_0_40_0",
        "a_30_0_40_0\n",
        "a_3\u0660_0_40_0",
        "_30_0_40_0",
        "a_30_0_40_x",
    ],
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(CorpusError, match="no key"):
        read_key(text)


def test_a_clip_has_what_the_release_says_of_it(tmp_path):
    tar(tmp_path / "S0A" / "000.tar", [member(f"{KEY}.json", {**SAID, "speech": "A man speaks."})])
    tar(tmp_path / "0M0" / "x.tar", [member(f"{OTHER}.flac", sound()), member(f"{OTHER}.json", SAID)])
    found = records(tmp_path)
    assert set(found) == {KEY, OTHER}
    record = found[KEY]
    assert (record.recording, record.origin) == ("AbC-_123xyz", "https://www.youtube.com/watch?v=AbC-_123xyz")
    assert (record.span.start_seconds, record.span.end_seconds, record.duration_seconds) == (30.0, 40.0, 10.0)
    assert (record.source, record.licence, record.domain) == ("acavcaps", LICENCE, "S0A")
    assert not is_permissive(record.licence)
    captions = record.captions["acavcaps"]
    assert (captions.long, captions.speech, captions.music) == (SAID["long"], "A man speaks.", "")
    assert reasons(found) == ["its audio is not there, neither in the tars nor in input.audio"]
    assert Record.from_line(record.to_line()) == record
    heard = describe(found[OTHER].heard("tags", Findings(version="1")))
    assert (heard.domain, set(heard.captions)) == ("0M0", {"acavcaps", "template"})


@pytest.mark.parametrize(
    "line",
    [{KEY: {name: [text, f"{text} again"] for name, text in SAID.items()}}, {"id": KEY, **SAID}, {"key": KEY, **SAID}],
)
def test_lines_of_json_are_read_by_key(tmp_path, line):
    (tmp_path / "SM0.jsonl").write_text(f"\n{json.dumps(line)}\n")
    record = records(tmp_path)[KEY]
    assert (record.captions["acavcaps"].short, record.domain) == (SAID["short"], "SM0")
    assert ("acavcaps-2" in record.captions) == (KEY in line)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_domain_is_that_of_the_nearest_folder(tmp_path, domain):
    tar(tmp_path / domain / "000.tar", [member(f"{KEY}.json", SAID)])
    assert records(tmp_path)[KEY].domain == domain
    tar(tmp_path / domain / "000.tar", [member(f"00A/{KEY}.json", SAID)])
    assert records(tmp_path)[KEY].domain == "00A"
    assert records(tmp_path / domain)[KEY].domain == "00A"


def test_a_domain_that_no_folder_names_is_what_the_captions_say_or_none(tmp_path):
    tar(tmp_path / "000.tar", [member(f"{KEY}.json", SAID), member(f"{OTHER}.json", {**SAID, "domain": "SMA"})])
    found = records(tmp_path)
    assert (found[KEY].domain, found[OTHER].domain) == (None, "SMA")


@given(
    st.dictionaries(
        st.sampled_from(["long", "short", "speech", "music", "sound", "environment", "more"]),
        st.one_of(st.none(), st.text(max_size=4), st.integers(), st.lists(st.text(max_size=4) | st.none(), max_size=3)),
    )
)
def test_captions_fit_a_record_or_are_refused(fields):
    try:
        found = captions_of(fields)
    except CorpusError:
        return
    record = {"id": "a", "source": "s", "recording": "r", "licence": "l", "duration_seconds": 1.0}
    captions = Record.from_fields({**record, "captions": found}).captions
    assert captions["acavcaps"].long
    assert {c.maker for c in captions.values()} == {"acavcaps"}


HOSTILE = [
    ("leads out of the tar", member(f"../../{OTHER}.json", SAID)),
    ("leads out of the tar", member(f"/etc/{OTHER}.json", SAID)),
    ("a link or a device", link(f"{OTHER}.json", "/etc/passwd")),
    ("is no key", member("x.json", SAID)),
    ("is no key", member("no-times.json", SAID)),
    ("is no key", member("\udcff_1_0_2_0.json", SAID)),
    ("greater than 0", member("a_5_0_5_0.json", SAID)),
    ("greater than 0", member("a_9_0_5_0.json", SAID)),
    ("less than or equal to 86400", member("a_0_0_90000_0.json", SAID)),
    ("String should match pattern", member(f"{'a' * 90}_5_0_6_0.json", SAID)),
    ("there already", member(f"{KEY}.json", SAID)),
    ("there already", member(f"sub/{KEY}.json", SAID)),
    ("audio is there already", member(f"sub/{KEY}.flac", sound())),
    ("is not JSON", member(f"{OTHER}.json", b'{"long": ')),
    ("is not JSON", member(f"{OTHER}.json", b"\xff\xfe")),
    ("is not JSON", member(f"{OTHER}.json", b"[" * 100_000)),
    ("not an object", member(f"{OTHER}.json", [SAID])),
    ("no long and no short", member(f"{OTHER}.json", {})),
    ("no long and no short", member(f"{OTHER}.json", {"long": " ", "short": []})),
    ("long is 5, not text", member(f"{OTHER}.json", {"long": 5})),
    ("long is {'a': 1}, not text", member(f"{OTHER}.json", {"long": [{"a": 1}]})),
    ("not text in Unicode", member(f"{OTHER}.json", b'{"long": "\\ud800"}')),
    ("captions have at most", member(f"{OTHER}.json", {"long": "a" * 2**20})),
    ("audio is not there", member(f"{OTHER}.json", SAID)),
]


@pytest.mark.parametrize(("told", "bad"), HOSTILE)
def test_one_bad_member_is_dropped_and_the_rest_goes_on(tmp_path, told, bad):
    good = [member(f"{KEY}.json", SAID), member(f"{KEY}.flac", sound())]
    last = [member("zzz_1_0_11_0.json", SAID), member("zzz_1_0_11_0.flac", sound())]
    tar(tmp_path / "00A" / "0.tar", [*good, bad, *last])
    found = records(tmp_path)
    assert kept(found) == [KEY, "zzz_1_0_11_0"]
    [reason] = reasons(found)
    assert told in reason
    assert not (tmp_path.parent / f"{OTHER}.json").exists()


def test_many_members_of_one_name_are_each_told(tmp_path):
    tar(tmp_path / "0.tar", [member(f"{KEY}.json", SAID)] * 4 + [member("x.json", SAID)] * 3)
    assert len(records(tmp_path)) == 7


def test_captions_that_cannot_be_read_keep_their_audio_from_being_heard(tmp_path):
    tar(tmp_path / "0.tar", [member(f"{KEY}.json", b"{"), member(f"{KEY}.flac", sound())])
    assert kept(records(tmp_path)) == []
    tar(tmp_path / "0.tar", [member(f"{KEY}.flac", sound())])
    assert records(tmp_path)[KEY].captions == {}


@pytest.mark.parametrize("lost", [1, 700, 9_000])
def test_of_a_tar_that_is_cut_short_what_was_before_is_there(tmp_path, lost):
    path = tar(
        tmp_path / "0.tar",
        [member(f"{key}.{end}", x) for key in (KEY, OTHER) for end, x in (("json", SAID), ("flac", sound()))],
    )
    whole = path.read_bytes().rstrip(b"\0")
    path.write_bytes(whole[:-lost])
    (tmp_path / "1.tar").write_bytes(b"no tar at all" * 99)
    found = records(tmp_path)
    assert KEY in kept(found)
    assert sum("tar" in reason or "cut short" in reason for reason in reasons(found)) == 2
    assert read(tmp_path)[KEY].dropped is None
    assert OTHER not in kept(found) or read(tmp_path)[OTHER].dropped.step == "read"


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", "null", '{"id": 5, "long": "x"}', '{"../x": {"long": "x"}}', '{"a": 1}']
)
def test_one_bad_line_is_dropped_and_the_rest_goes_on(tmp_path, line):
    good = json.dumps({KEY: SAID})
    (tmp_path / "a.jsonl").write_text(f"{line}\n{good}\n{good}\n")
    found = records(tmp_path)
    assert len(found) == 3
    assert found[KEY].captions["acavcaps"].long == SAID["long"]
    assert any("there already" in reason for reason in reasons(found))


def test_audio_is_that_of_the_tar_else_the_clip_else_the_span_of_the_video(tmp_path):
    names = [f"{video}_2_0_5_0" for video in ("inTar", "byKey", "ofVideo", "short", "broken", "nowhere")]
    own = tmp_path / "own"
    (own / "deep").mkdir(parents=True)
    (own / "byKey_2_0_5_0.flac").write_bytes(sound(3.0, rate_hz=44_100))
    (own / "deep" / "ofVideo.flac").write_bytes(sound(8.0))
    (own / "short.flac").write_bytes(sound(4.0))
    (own / "broken.flac").write_bytes(b"fLaC?")
    members = [member(f"{name}.json", SAID) for name in names] + [
        member("inTar_2_0_5_0.flac", sound(2.9, rate_hz=8000))
    ]
    folder = tar(tmp_path / "release" / "0.tar", members).parent
    assert not kept(records(folder))[1:]
    found = read(folder, audio=str(own))
    assert set(found) == set(names) - {"nowhere_2_0_5_0"}
    assert [r.duration_seconds for r in found.values() if not r.dropped] == [2.9, 3.0, 3.0]
    assert "2.00 s of audio, and its key says 3.00 s" in found["short_2_0_5_0"].dropped.reason
    assert "broken.flac" in found["broken_2_0_5_0"].dropped.reason
    clips = AcavCapsInput(InputConfig(acavcaps=str(folder), audio=str(own)))
    whole = decode_flac(sound(8.0))
    np.testing.assert_array_equal(decode_flac(clips.flac("ofVideo_2_0_5_0")), whole[32_000:80_000])
    for name, told in (("nowhere_2_0_5_0", "not there any more"), ("../own/short", "no key")):
        with pytest.raises(CorpusError, match=told):
            clips.flac(name)


def test_too_long_clips_are_told_and_a_limit_is_of_those_that_can_be_heard(tmp_path):
    members = [
        member(f"v{n}_0_0_{n}_0.{end}", x) for n in (5, 6, 70) for end, x in (("json", SAID), ("flac", sound(n)))
    ]
    tar(tmp_path / "0.tar", [*members, *(member(f"w{n}_0_0_5_0.json", SAID) for n in range(20))])
    found = records(tmp_path)
    assert kept(found) == ["v5_0_0_5_0", "v6_0_0_6_0"]
    assert "70.0 s are more than the 60 s of input.longest_seconds" in reasons(found)[0]
    assert {name[0] for name in records(tmp_path, limit=3)} == {"v"}


def test_folders_with_nothing_in_them_are_refused(tmp_path):
    for told, folder in (("no such folder", tmp_path / "x"), ("holds no .tar and no .jsonl", tmp_path)):
        with pytest.raises(CorpusError, match=told):
            records(folder)
    tar(tmp_path / "0.tar", [])
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(CorpusError, match="no clip in its 2 files"):
        records(tmp_path)
