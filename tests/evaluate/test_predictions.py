"""Whatever kills a run, and however many processes share it, the file at its end is the same."""

import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from full_disk import largest_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_tasks import lines_of

from opendasheng.errors import ConfigError, EvaluationError
from opendasheng.evaluate.asking import key_of
from opendasheng.evaluate.predictions import Finished, Predictions

SETTINGS = "current"


def a_row(number: int, settings: str = SETTINGS, error: str | None = None) -> dict[str, Any]:
    row = {"id": f"clip {number}", "text": "t", "model_output": "" if error else f"answer {number}"}
    return {**row, **({"error": error} if error else {}), "settings": settings}


def order(numbers: list[int], settings: str = SETTINGS) -> "array[int]":
    return array("Q", [key_of(a_row(number, settings)) for number in numbers])


def write(folder: Path, rows: list[dict[str, Any]], rank: int = 0, num_ranks: int = 1) -> Predictions:
    files = Predictions(folder, rank, num_ranks)
    with files.journal(rows[0]["settings"] if rows else SETTINGS) as journal:
        for row in rows:
            journal.write(row)
    return files


def test_rows_are_put_in_order_once_all_are_there(tmp_path: Path) -> None:
    files = write(tmp_path, [a_row(2), a_row(0)])
    assert files.finish(order([0, 1, 2])) is None
    assert [row["id"] for row in lines_of(files.path)] == ["clip 2", "clip 0"]
    assert write(tmp_path, [a_row(1)]).finish(order([0, 1, 2])) == Finished(0)
    assert lines_of(files.path) == [a_row(0), a_row(1), a_row(2)]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]


def test_an_answer_counts_more_than_a_failure_and_the_last_failure_more_than_others(tmp_path: Path) -> None:
    write(tmp_path, [a_row(0), a_row(1, error="old")], rank=1, num_ranks=2)
    files = write(tmp_path, [a_row(0, error="late"), a_row(1, error="new")], rank=2, num_ranks=3)
    assert files.finish(order([0, 1])) == Finished(1)
    assert lines_of(files.path) == [a_row(0), a_row(1, error="new")]


def test_answers_that_are_not_wanted_are_kept_and_found_again(tmp_path: Path) -> None:
    write(tmp_path, [a_row(0), a_row(1), a_row(2)]).finish(order([0, 1, 2]))
    other = write(tmp_path, [a_row(0, "other"), a_row(1, "other", error="x")])
    assert other.finish(order([0, 1], "other")) == Finished(1)
    assert lines_of(other.path) == [a_row(0, "other"), a_row(1, "other", error="x")]
    assert lines_of(tmp_path / "predictions.kept.jsonl") == [a_row(0), a_row(1), a_row(2)]
    again = Predictions(tmp_path)
    assert set(order([0, 1, 2])) <= again.answered()
    assert again.finish(order([2, 0])) == Finished(0)
    assert lines_of(again.path) == [a_row(2), a_row(0)]
    assert again.answered() == {*order([0, 1, 2]), *order([0], "other")}
    assert again.finish(order([0], "other")) == Finished(0)


def test_a_row_that_another_program_wrote_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"dataset_name": "NSynth", "model_output": "bass"}\n')
    with pytest.raises(ConfigError, match="line 1 is no answer that this program wrote"):
        Predictions(tmp_path).journal(SETTINGS)
    path.rename(tmp_path / "predictions.rank-7.jsonl").write_text("3\n")
    with pytest.raises(EvaluationError, match="row 1 is no prediction that this program wrote"):
        Predictions(tmp_path).answered()


def test_nobody_finishes_while_another_process_writes(tmp_path: Path) -> None:
    write(tmp_path, [a_row(0)], 0, 2)
    late = Predictions(tmp_path, 1, 2)
    with late.journal(SETTINGS) as journal:
        journal.write(a_row(1))
        assert Predictions(tmp_path, 0, 2).finish(order([0, 1])) is None
        with pytest.raises(ConfigError, match="another process is writing it"):
            Predictions(tmp_path, 1, 2).journal(SETTINGS)
    assert late.finish(order([0, 1])) == Finished(0)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]


def test_the_same_failure_of_a_changed_row_is_a_row_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, [a_row(0, error="broken")])
    changed = {**a_row(0, error="broken"), "text": "corrected"}
    files = write(tmp_path, [changed, changed])
    assert len(lines_of(files.path)) == 2
    assert files.finish(array("Q", [key_of(changed)])) == Finished(1)
    assert lines_of(files.path) == [changed]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_history_of_kills_ends_in_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Runs of one or several processes are cut off anywhere, also within a line, and go on with other numbers."""
    folder = tmp_path_factory.mktemp("history")
    numbers = list(range(data.draw(st.integers(1, 8))))
    wanted = order(numbers)
    for _ in range(data.draw(st.integers(0, 4))):
        total = data.draw(st.integers(1, 3))
        for rank in range(total):
            files = Predictions(folder, rank, total)
            with files.journal(SETTINGS) as journal:
                known = files.answered()
                todo = data.draw(st.permutations([n for n in numbers[rank::total] if wanted[n] not in known]))
                done = data.draw(st.integers(0, len(todo)))
                for number in todo[:done]:
                    journal.write(a_row(number, error=data.draw(st.sampled_from([None, None, "broken"]))))
            if data.draw(st.booleans()) and done < len(todo):
                line = json.dumps(a_row(todo[done])).encode()
                own = folder / (f"predictions.rank-{rank}.jsonl" if total > 1 else "predictions.jsonl")
                with own.open("ab") as file:
                    file.write(line[: data.draw(st.integers(1, len(line)))])
            elif data.draw(st.booleans()):
                files.finish(wanted)
    files = Predictions(folder)
    with files.journal(SETTINGS) as journal:
        known = files.answered()
        for number in numbers:
            if wanted[number] not in known:
                journal.write(a_row(number))
    assert files.finish(wanted) == Finished(0)
    expected = "".join(json.dumps(a_row(number)) + "\n" for number in numbers)
    assert files.path.read_text() == expected
    assert [path.name for path in folder.iterdir()] == ["predictions.jsonl"]


@pytest.mark.parametrize("cut", [0, 1])
def test_a_kill_between_the_two_files_loses_nothing(cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finished file and that of kept answers cannot be replaced in one step."""
    write(tmp_path, [a_row(0), a_row(1)]).finish(order([0, 1]))
    write(tmp_path, [a_row(0, "other")]).finish(order([0], "other"))  # now two answers are kept
    write(tmp_path, [a_row(1, "other")])
    before = Predictions(tmp_path).answered()
    replaced = 0
    whole = Path.replace

    def replace(path: Path, target: Path) -> Path:
        nonlocal replaced
        if replaced == cut:
            raise KeyboardInterrupt
        replaced += 1
        return whole(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        Predictions(tmp_path).finish(order([1, 0]))
    assert Predictions(tmp_path).answered() == before
    monkeypatch.setattr(Path, "replace", whole)
    assert Predictions(tmp_path).finish(order([1, 0])) == Finished(0)
    assert lines_of(tmp_path / "predictions.jsonl") == [a_row(1), a_row(0)]
    assert Predictions(tmp_path).answered() == before


# Disks, folders and files in the way


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("precious")
    for folder in (file, file / "small", file / "small" / "deeper"):
        with pytest.raises(ConfigError) as raised:
            Predictions(folder).journal(SETTINGS)
        said = f"{folder}: the folder for predictions cannot be made ({file} is a file); choose another --output"
        assert str(raised.value) == said
    assert file.read_text() == "precious"
    with pytest.raises(ConfigError, match=r"cannot be made \(embedded null byte\)"):
        Predictions(tmp_path / "a\0b").journal(SETTINGS)


def test_a_line_that_nests_too_deep_is_named(tmp_path: Path) -> None:
    deep = b'{"id": ' + b"[" * 100_000 + b"\n"
    (tmp_path / "predictions.rank-1.jsonl").write_bytes(deep)
    with pytest.raises(EvaluationError, match="row 1 is no prediction that this program wrote"):
        Predictions(tmp_path).answered()
    (tmp_path / "predictions.jsonl").write_bytes(deep)
    with pytest.raises(ConfigError, match="line 1 is no answer that this program wrote"):
        Predictions(tmp_path).journal(SETTINGS)
    (tmp_path / "predictions.jsonl").write_bytes(deep[:-1])  # torn, as far as one can tell
    with Predictions(tmp_path).journal(SETTINGS):
        assert (tmp_path / "predictions.jsonl").read_bytes() == b""


@pytest.mark.parametrize("name", ["predictions.jsonl", "predictions.kept.jsonl"])
def test_a_disk_that_fills_up_at_the_end_loses_nothing(name: str, tmp_path: Path) -> None:
    write(tmp_path, [a_row(number, "other") for number in range(40)])
    files = write(tmp_path, [a_row(0)])
    before = files.path.read_bytes()
    # Forty rows are too many for the disk: those that are wanted, or those that are kept.
    wanted = order(list(range(40)), "other") if name == "predictions.jsonl" else order([0])
    with largest_file(1000), pytest.raises(EvaluationError) as raised:
        files.finish(wanted)
    assert str(raised.value).startswith(
        f"{tmp_path / name}: cannot be written anew, in order (File too large); all answers stay"
    )
    assert files.path.read_bytes() == before
    assert files.finish(wanted) == Finished(0)
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, [a_row(0, "other")])
    write(tmp_path, [a_row(0)])
    (tmp_path / "predictions.kept.jsonl").mkdir()
    with pytest.raises(EvaluationError, match=r"predictions\.kept\.jsonl: cannot be written anew, .*directory"):
        Predictions(tmp_path).finish(order([0]))


def test_a_disk_that_fills_up_on_the_way_is_named_and_what_is_written_counts(tmp_path: Path) -> None:
    full = pytest.raises(ConfigError, match=r"predictions\.jsonl: cannot be written \(File too large\); what is in it")
    with largest_file(1000), full:
        write(tmp_path, [a_row(number) for number in range(40)])
    files = Predictions(tmp_path)
    assert len(files.answered()) == files.path.read_bytes().count(b"\n") >= 5
    with files.journal(SETTINGS) as journal:
        known = files.answered()
        for number in range(40):
            if order([number])[0] not in known:
                journal.write(a_row(number))
    assert files.finish(order(list(range(40)))) == Finished(0)
    assert lines_of(files.path) == [a_row(number) for number in range(40)]
