"""Which task a name or a row belongs to."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate import registry
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.task import parse_task, read_task

NAMES = [(name, task.name) for task in registry.tasks().values() for name in task.dataset_names]


def row(dataset_name: object) -> Row:
    return Row("predictions.jsonl", 3, {"dataset_name": dataset_name})


def test_every_bundled_file_is_a_task_of_its_name() -> None:
    assert set(registry.tasks()) == {path.stem for path in registry.task_files()}
    assert registry.tasks()["nsynth"].metric.name == "accuracy"


def test_every_dataset_name_leads_to_its_task() -> None:
    for dataset, name in NAMES:
        assert registry.task_of(row(dataset)).name == name


@given(st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_case_and_signs_of_a_dataset_name_do_not_matter(pair: tuple[str, str], random: object) -> None:
    dataset, name = pair
    letters = [letter for letter in dataset if letter.isalnum()]
    spelled = "".join(
        random.choice((letter.lower(), letter.upper())) + random.choice(("", " ", "_", "-", "/"))  # type: ignore[attr-defined]
        for letter in letters
    )
    assert registry.task_of(row(spelled)).name == name


@pytest.mark.parametrize(
    "published",
    ["LibriSpeech_test-clean", "NSynth", "VoxCeleb-Gender", "FSD50K", "MuChoMusic", "AutoACD", "MusicQA"],
)
def test_rows_of_published_files_find_their_task(published: str) -> None:
    assert registry.task_of(row(published)).published["midashenglm"] > 0


def test_an_unknown_dataset_names_file_row_and_the_nearest() -> None:
    with pytest.raises(EvaluationError, match=r"predictions\.jsonl: row 3: dataset_name 'NSinth' .*near it: nsynth"):
        registry.task_of(row("NSinth"))
    with pytest.raises(EvaluationError, match="row 3: field 'dataset_name' is 5, not text"):
        registry.task_of(row(5))


def test_a_task_is_found_by_name_or_by_file(tmp_path: Path) -> None:
    assert registry.find_task("nsynth").name == "nsynth"
    copied = tmp_path / "mine.toml"
    source = next(path for path in registry.task_files() if path.stem == "nsynth")
    copied.write_text(source.read_text(encoding="utf-8").replace('name = "nsynth"', 'name = "mine"'), encoding="utf-8")
    assert registry.find_task(str(copied)).name == "mine"
    with pytest.raises(EvaluationError, match="there is no task 'nsyth'; did you mean nsynth"):
        registry.find_task("nsyth")
    with pytest.raises(EvaluationError, match=r"gone\.toml: there is no such task file"):
        registry.find_task(str(tmp_path / "gone.toml"))


def test_a_file_is_called_what_its_task_is(tmp_path: Path) -> None:
    source = next(path for path in registry.task_files() if path.stem == "nsynth")
    (tmp_path / "other.toml").write_bytes(source.read_bytes())
    with pytest.raises(EvaluationError, match=r"other\.toml: name is 'nsynth', and the file is called other"):
        registry.read_named(tmp_path / "other.toml")


@pytest.mark.parametrize("spelled", ["NSynth", "n-synth", "N SYNTH"])
def test_two_tasks_cannot_have_one_dataset_name(spelled: str) -> None:
    import tomllib

    first = next(path for path in registry.task_files() if path.stem == "nsynth")
    second = tomllib.loads(first.read_text(encoding="utf-8")) | {"name": "second", "dataset_names": ["Else", spelled]}
    with pytest.raises(EvaluationError) as raised:
        registry.claims([read_task(first), parse_task(second, "second.toml")])
    assert f"second.toml: dataset_names: {spelled!r} is a name of nsynth.toml too" in str(raised.value)


def test_tasks_are_read_without_a_tensor_library() -> None:
    script = (
        "import sys; from opendasheng.evaluate import registry, task; registry.tasks();"
        "print(sorted({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
