"""Tables of one's own become shards row by row; what cannot be used is told, and nothing finished is overwritten."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tiny_packages as packages

from opendasheng.cli import main
from opendasheng.corpora.importing import Table, import_table
from opendasheng.data.clip import Question
from opendasheng.data.shards import ShardReader
from opendasheng.data.tasks import examples
from opendasheng.errors import CorpusError


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.wav").write_bytes(packages.tone(200 + 100 * number))
    (folder / "rubbish.wav").write_bytes(b"no audio")
    return folder


def write(path: Path, text: str) -> Path:
    """Surrogates from U+DC80 stand for bytes that are not UTF-8."""
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path


def test_rows_become_clips_with_what_is_asked(sounds: Path, tmp_path: Path) -> None:
    table = write(
        tmp_path / "rows.csv",
        "\ufeffaudio,user_prompt,prediction,system_prompt,note,split\n"
        '0.wav,"What, please?",A tone.,Be short.,x,train\n'
        "1.wav,,Higher.,,,dev\n"
        "2.wav,Again?,Höher.,,,test\n",
    )
    found = import_table(Table(table, sounds, prompt="Which?", licence="CC0-1.0"), tmp_path / "corpus" / "mine")
    assert (found.num_clips, found.left_out) == (3, [])
    clips = ShardReader(tmp_path / "corpus").clips
    assert [clip.questions for clip in clips] == [
        (Question("What, please?", "A tone.", "Be short."),),
        (Question("Which?", "Higher."),),
        (Question("Again?", "Höher."),),
    ]
    assert [(clip.split, clip.source, clip.licence, clip.origin) for clip in clips] == [
        ("train", "mine", "CC0-1.0", "0.wav"),
        ("dev", "mine", "CC0-1.0", "1.wav"),
        ("test", "mine", "CC0-1.0", "2.wav"),
    ]
    [asked] = examples(clips[0])
    assert (asked.task, asked.prompt, asked.answer, asked.system) == ("ask", "What, please?", "A tone.", "Be short.")


def test_json_lines_are_rows_too(sounds: Path, tmp_path: Path) -> None:
    table = write(
        sounds / "rows.jsonl",
        "".join(json.dumps({"audio": f"{number}.wav", "prediction": f"Tone {number}."}) + "\n" for number in range(3)),
    )
    assert import_table(Table(table), tmp_path / "mine").num_clips == 3


def test_rows_that_cannot_be_used_are_told_and_the_others_go_on(sounds: Path, tmp_path: Path, capsys) -> None:
    table = write(
        tmp_path / "rows.csv",
        "audio,prediction,split\n0.wav,Yes.,\ngone.wav,Yes.,\nrubbish.wav,Yes.,\n,Yes.,\n1.wav,,\n1.wav,Yes.,later\n",
    )
    command = ["corpus", "import", str(table), "--output", str(tmp_path / "corpus"), "--audio-root", str(sounds)]
    assert main(command) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].endswith("rows: 1 clips, 0.000 h; 5 rows left out")
    for number, words in enumerate(
        ("gone.wav", "rubbish.wav", "there is no audio", "no prediction", "split is 'later'"), 2
    ):
        assert any(f"row {number}: " in line and words in line for line in said), words
    assert main(command) == 1  # kept, and what was left out is told again
    assert capsys.readouterr().err.splitlines() == said


def test_rows_with_commas_that_nobody_quoted_are_not_cut(sounds: Path, tmp_path: Path) -> None:
    table = write(
        sounds / "rows.csv",
        'audio,prediction,user_prompt\n0.wav,A dog barks, then a car passes,What?,\n\n2.wav,"Rain, then wind",\n',
    )
    found = import_table(Table(table), tmp_path / "mine")
    assert found.left_out == [
        f"{table}: row 1: it has 5 fields, the header has 3; quote values that hold commas",
    ]
    assert [clip.questions[0].answer for clip in ShardReader(tmp_path / "mine").clips] == ["Rain, then wind"]


def test_rows_that_are_cut_short_are_left_out(sounds: Path, tmp_path: Path) -> None:
    """One that has lost its split would go to train."""
    table = write(sounds / "rows.csv", "audio,prediction,split\n0.wav,a,test\n1.wav\n1.wav,b\n2.wav,c,\n2.wav,d")
    found = import_table(Table(table, dev_percent=0), tmp_path / "mine")
    assert found.left_out == [
        f"{table}: row {row}: it has {fields} fields, the header has 3; is it cut short? "
        "Leave a field empty where there is nothing"
        for row, fields in ((2, 1), (3, 2), (5, 2))
    ]
    clips = ShardReader(tmp_path / "mine").clips
    assert [(clip.questions[0].answer, clip.split) for clip in clips] == [("a", "test"), ("c", "train")]


def test_columns_without_a_name_are_not_one_column_twice(sounds: Path, tmp_path: Path) -> None:
    table = write(sounds / "rows.csv", "audio,prediction,,\n0.wav,a,,\n")
    assert import_table(Table(table), tmp_path / "mine").num_clips == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"audio": "1.wav", "prediction": "x"', "it is not JSON (Expecting ',' delimiter, character 37)"),
        ("[" * 100_000, "it is not JSON"),
        ('"x"', "it is no JSON object"),
        ('{"audio": "1.wav", "prediction": "\udcff"}', "it is not text in UTF-8"),
    ],
)
def test_a_broken_line_of_json_is_left_out_and_the_others_go_on(row, words, sounds: Path, tmp_path: Path) -> None:
    good = '{"audio": "0.wav", "prediction": "kept"}'
    table = write(sounds / "rows.jsonl", f"{good}\n\n{row}\n{good}\n")
    found = import_table(Table(table), tmp_path / "mine")
    assert found.num_clips == 2
    [told] = found.left_out
    assert told.startswith(f"{table}: row 3: {words}")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"1.wav,{'x' * 200_000}", "line 3 is no row of CSV (field larger than field limit"),
        ('1.wav,"two\nlines"x', "lines 3 to 4 are no row of CSV ("),
        ("1.wav,\udcff", "it is not text in UTF-8"),
    ],
)
def test_a_broken_row_of_csv_is_left_out_and_the_others_go_on(row, words, sounds: Path, tmp_path: Path) -> None:
    table = write(sounds / "rows.csv", f"audio,prediction\n0.wav,kept\n{row}\n2.wav,kept\n")
    found = import_table(Table(table), tmp_path / "mine")
    assert [clip.origin for clip in ShardReader(tmp_path / "mine").clips] == ["0.wav", "2.wav"]
    [told] = found.left_out
    assert told.startswith(f"{table}: row 2: {words}")


def test_a_finished_import_is_kept_and_another_tables_not_overwritten(sounds: Path, tmp_path: Path) -> None:
    table = write(sounds / "rows.csv", "audio,prediction\n0.wav,Yes.\n")
    folder = tmp_path / "mine"
    import_table(Table(table), folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    import_table(Table(table), folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    write(table, "audio,prediction\n1.wav,No.\n")
    with pytest.raises(CorpusError, match="another table; --force replaces it"):
        import_table(Table(table), folder)
    assert import_table(Table(table), folder, force=True).num_clips == 1
    assert ShardReader(folder).clips[0].origin == "1.wav"


def test_recordings_that_changed_are_read_again(sounds: Path, tmp_path: Path) -> None:
    table, folder = Table(write(sounds / "rows.csv", "audio,prediction\n0.wav,a\nlate.wav,b\n")), tmp_path / "mine"
    assert len(import_table(table, folder).left_out) == 1
    (sounds / "late.wav").write_bytes(packages.tone(900))
    assert import_table(table, folder).left_out == []
    before = [ShardReader(folder).audio(clip) for clip in range(2)]
    written = (folder / "index.json").stat().st_mtime_ns
    os.utime(sounds / "late.wav")  # the same content, at another time
    import_table(table, folder)
    assert (folder / "index.json").stat().st_mtime_ns == written
    replaced = packages.tone(700)
    assert len(replaced) == (sounds / "0.wav").stat().st_size
    (sounds / "0.wav").write_bytes(replaced)
    import_table(table, folder)
    after = [ShardReader(folder).audio(clip) for clip in range(2)]
    assert [np.array_equal(*pair) for pair in zip(before, after, strict=True)] == [False, True]


def test_an_import_of_recordings_that_are_gone_is_not_made_again(sounds: Path, tmp_path: Path) -> None:
    table, folder = Table(write(sounds / "rows.csv", "audio,prediction\n0.wav,a\n1.wav,b\n")), tmp_path / "mine"
    import_table(table, folder)
    (sounds / "1.wav").unlink()
    with pytest.raises(CorpusError, match=r"1 recordings that are not there any more, the first '1\.wav'; .*--force"):
        import_table(table, folder)
    assert len(ShardReader(folder).clips) == 2
    assert import_table(table, folder, force=True).num_clips == 1


@pytest.mark.parametrize("key", ["left_out", "recordings"])
def test_an_index_without_what_an_import_says_is_damaged(key: str, sounds: Path, tmp_path: Path) -> None:
    table, folder = Table(write(sounds / "rows.csv", "audio,prediction\n0.wav,a\n")), tmp_path / "mine"
    import_table(table, folder)
    index = json.loads((folder / "index.json").read_text())
    del index["info"][key]
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(CorpusError, match=f"index.json is damaged: {key} of its info is missing; --force"):
        import_table(table, folder)
    assert import_table(table, folder, force=True).num_clips == 1


@pytest.mark.parametrize("index", ['{"format": 1, "source": ', '{"my": "web site"}', '{"format": 2}'])
def test_an_index_that_cannot_be_read_is_not_replaced(index: str, sounds: Path, tmp_path: Path) -> None:
    table, folder = Table(write(sounds / "rows.csv", "audio,prediction\n0.wav,a\n")), tmp_path / "mine"
    import_table(table, folder)
    other = Table(write(sounds / "other.csv", "audio,prediction\n1.wav,b\n"))
    (folder / "index.json").write_text(index)
    (folder / "notes.tmp").write_text("precious")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CorpusError, match=r"index\.json .*only --force replaces it"):
        import_table(other, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert import_table(other, folder, force=True).num_clips == 1


@pytest.mark.parametrize("there", ["shard-00000.tar", "notes.txt"])
def test_a_folder_of_somebody_else_is_not_written_into(there: str, sounds: Path, tmp_path: Path) -> None:
    table = Table(write(sounds / "rows.csv", "audio,prediction\n0.wav,Yes.\n"))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / there).write_bytes(b"precious")
    with pytest.raises(CorpusError, match=f"holds '{there}' and no finished import; .*--force"):
        import_table(table, folder)
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [(there, b"precious")]
    assert import_table(table, folder, force=True).num_clips == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", "../../elsewhere"])
def test_a_name_leads_nowhere_else(name: str, sounds: Path, tmp_path: Path, capsys) -> None:
    table = write(sounds / "rows.csv", "audio,prediction\n0.wav,Yes.\n")
    assert main(["corpus", "import", str(table), "--output", str(tmp_path / "corpus"), "--name", name]) == 2
    assert "is no name for a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sounds"]


@pytest.mark.parametrize("name", ["x" * 88, "x" * 200, "\u00e9" + 80 * "x", "a\udcff"])
def test_a_name_that_no_id_can_begin_with_is_told_before_rows_are_read(
    name: str, sounds: Path, tmp_path: Path, capsys
) -> None:
    table = write(sounds / "rows.csv", "audio,prediction\n0.wav,Yes.\n")
    assert main(["corpus", "import", str(table), "--output", str(tmp_path / "corpus"), "--name", name]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert f"the source's name {name!r} " in said
    assert "row" not in said
    assert not (tmp_path / "corpus").exists()
    assert import_table(Table(table), tmp_path / "corpus" / ("x" * 87)).num_clips == 1


def test_more_than_all_recordings_cannot_be_for_dev(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["corpus", "import", "rows.csv", "--output", str(tmp_path), "--dev-percent", "1000"])
    assert "--dev-percent: '1000' is not a whole number of at least 0 and at most 100" in capsys.readouterr().err


def test_splits_of_a_column_go_by_other_names_too(sounds: Path, tmp_path: Path) -> None:
    table = write(sounds / "rows.csv", "audio,prediction,split\n0.wav,x,Validation\n1.wav,y,training\n2.wav,z,test\n")
    assert import_table(Table(table), tmp_path / "mine").left_out == []
    assert [clip.split for clip in ShardReader(tmp_path / "mine").clips] == ["dev", "train", "test"]


def test_text_and_paths_that_cannot_be_written_are_left_out(sounds: Path, tmp_path: Path) -> None:
    lines = [
        '{"audio": "0\\u0000.wav", "prediction": "x"}',
        '{"audio": "0.wav", "prediction": "\\ud800"}',
        '{"audio": "../rows.jsonl", "prediction": "x"}',
        '{"audio": "0.wav", "prediction": "kept"}',
    ]
    table = write(sounds / "rows.jsonl", "\n".join(lines))
    found = import_table(Table(table), tmp_path / "mine")
    for line, words in zip(found.left_out, ("is no path", "is not text in Unicode", "is no path"), strict=True):
        assert words in line
    assert [clip.questions[0].answer for clip in ShardReader(tmp_path / "mine").clips] == ["kept"]


def test_a_damaged_import_is_made_again(sounds: Path, tmp_path: Path) -> None:
    table = Table(write(sounds / "rows.csv", "audio,prediction\n0.wav,Yes.\n"))
    import_table(table, tmp_path / "mine")
    [shard] = (tmp_path / "mine").glob("*.tar")
    shard.write_bytes(b"")
    import_table(table, tmp_path / "mine")
    assert len(ShardReader(tmp_path / "mine").audio(0)) > 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "audio,answer\n0.wav,x\n", "no column 'prediction', but audio, answer"),
        ("a.csv", "", "no column 'audio', but nothing"),
        ("a.csv", '"audio,prediction\n0.wav,x\n', "no CSV file"),
        ("a.csv", "audio,prediction,prediction\n0.wav,x,y\n", "the column 'prediction' more than once; rename"),
        ("a.csv", "audio,prediction,note,note\n0.wav,x,y,z\n", "the column 'note' more than once; rename"),
        ("a.csv", "\udcff\udcfea\0u\0", "its header is not text in UTF-8"),
        ("a.csv", 'audio,prediction\n"0.wav,x\n1.wav,y\n', "row 1: lines 2 to 3 are no row of CSV"),
        ("a.jsonl", "[1]\n{}\n", "none of its rows can be used; the first: .*row 1: it is no JSON object"),
        ("a.jsonl", "{\n", "row 1: it is not JSON"),
        ("a.csv", "audio,prediction\nx.wav,y\n", "none of its rows can be used; the first: .*row 1: .*x.wav"),
        ("a.jsonl", '{"audio": 3, "prediction": "y"}\n', "row 1: audio is 3, not text"),
    ],
)
def test_a_table_of_another_form_is_said_to_be(name, text, message, sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=message):
        import_table(Table(write(sounds / name, text)), tmp_path / "mine")
    with pytest.raises(CorpusError, match="there is no such file"):
        import_table(Table(tmp_path / "nowhere.csv"), tmp_path / "other")


def test_recordings_keep_their_split(sounds: Path, tmp_path: Path) -> None:
    """All rows of one recording fall together, whatever else is in the table."""
    rows = "".join(f"{number % 3}.wav,Answer {number}.\n" for number in range(12))
    import_table(Table(write(sounds / "rows.csv", f"audio,prediction\n{rows}"), dev_percent=50), tmp_path / "mine")
    splits: dict[str, set[str]] = {}
    for clip in ShardReader(tmp_path / "mine").clips:
        splits.setdefault(clip.origin, set()).add(clip.split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_recording_keeps_its_split_however_it_is_spelled(sounds: Path, tmp_path: Path) -> None:
    spelled = [f"{before}{number}.wav" for number in range(3) for before in ("", "./", "../sounds/", f"{sounds}/")]
    rows = "".join(f"{name},x\n" for name in spelled)
    import_table(Table(write(sounds / "rows.csv", f"audio,prediction\n{rows}"), dev_percent=30), tmp_path / "mine")
    clips = ShardReader(tmp_path / "mine").clips
    assert [clip.origin for clip in clips] == spelled
    splits = [{clip.split for clip in clips if clip.origin.endswith(f"{number}.wav")} for number in range(3)]
    assert splits == [{"dev"}, {"dev"}, {"train"}]
