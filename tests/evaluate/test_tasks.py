"""The bundled tasks against the paper: every row of its tables, every prompt, and a score for each of them."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from opendasheng import prompts
from opendasheng.corpora.registry import RECIPES
from opendasheng.data.tasks import language_names
from opendasheng.evaluate.metrics import metric_class
from opendasheng.evaluate.metrics.base import Resources
from opendasheng.evaluate.registry import task_of, tasks
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.scoring import Score, judge, summarise
from opendasheng.evaluate.task import MODELS, Task, split_cell

HERE = Path(__file__).parent
COPIES = [HERE / "fixtures" / "prompt.csv", Path(__file__).parents[3] / "shared" / "published" / "prompt.csv"]
CELLS = {"midashenglm": "MiDashengLM", "qwen2.5-omni": "Qwen2.5-Omni", "kimi-audio": "Kimi-Audio-Instruct"}

# Typed from the tables of the paper once more, apart from the task files: table, task, and what MiDashengLM,
# Qwen2.5-Omni and Kimi-Audio-Instruct get; - where the paper has ">100".
PAPER = """
 7 musiccaps                       59.71 43.71 35.43
 7 songdescriber                   45.39 45.31 44.63
 7 audiocaps                       62.18 60.79 49.00
 7 clotho                          49.20 47.55 48.01
 7 autoacd                         66.52 55.93 44.76
 8 mecat-long                      60.11 48.34 40.83
 8 mecat-short                     61.38 45.29 45.72
 8 mecat-pure-speech               50.69 37.27 25.57
 8 mecat-pure-sound                53.78 46.60 35.75
 8 mecat-pure-music                66.17 50.68 39.54
 8 mecat-mixed-speech              51.06 37.43 27.12
 8 mecat-mixed-sound               32.40 32.07 19.44
 8 mecat-mixed-music               59.50 34.71 16.18
 8 mecat-environment               51.38 47.84 16.66
 9 voxceleb1-pairs                 92.36 59.71 82.72
 9 voxlingua107                    93.41 51.03 73.65
 9 voxceleb-gender                 96.12 99.82 99.69
 9 vggsound                        52.11  0.97  2.20
 9 cochlscene                      74.06 23.88 18.34
 9 nsynth                          80.52 60.45 38.09
 9 fma-large                       63.73 66.77 27.91
 9 fsdkaggle2018                   75.25 31.38 24.75
 9 audioset                         8.86  6.48  3.47
 9 fsd50k                          37.58 23.87 27.23
10 librispeech-test-clean           3.7   1.7   1.3
10 librispeech-test-other           6.2   3.4   2.4
10 peoples-speech                  27.8  28.6  22.3
10 aishell2-mic                     3.2   2.5   2.7
10 aishell2-ios                     2.9   2.6   2.6
10 aishell2-android                 3.1   2.7   2.6
10 gigaspeech2-id                  20.8  21.2   -
10 gigaspeech2-th                  36.9  53.8   -
10 gigaspeech2-vi                  18.1  18.6   -
11 muchomusic                      71.35 64.79 67.40
11 mmau-sound                      68.47 67.87 74.17
11 mmau-music                      66.77 69.16 61.08
11 mmau-speech                     63.66 59.76 57.66
11 musicqa                         62.35 60.60 40.00
11 audiocaps-qa                    54.31 53.28 47.34
12 mecat-qa-direct-perception      65.89 49.65 37.45
12 mecat-qa-sound-characteristics  62.10 43.81 32.48
12 mecat-qa-quality-assessment     61.76 40.47 19.24
12 mecat-qa-environment-reasoning  63.02 44.09 37.53
12 mecat-qa-inference-judgement    59.57 42.50 38.83
12 mecat-qa-application-context    60.12 41.92 33.82
"""
# The rows of the published prompt table, and the tasks that are asked with them.
PROMPTED = {
    "LibriSpeech (test-clean / test-other)": ["librispeech-test-clean", "librispeech-test-other"],
    "AISHELL2 (Test-Mic / Test-iOS / Test-Android)": ["aishell2-mic", "aishell2-ios", "aishell2-android"],
    "Gigaspeech2-Indo": ["gigaspeech2-id"],
    "GigaSpeech2-Thai": ["gigaspeech2-th"],
    "GigaSpeech2-Viet": ["gigaspeech2-vi"],
    "VoxCeleb-Gender": ["voxceleb-gender"],
    "VoxCeleb1": ["voxceleb1-pairs"],
    "VoxLingua107": ["voxlingua107"],
    "VGGSound": ["vggsound"],
    "Cochlsence": ["cochlscene"],
    "FSDKaggle2018": ["fsdkaggle2018"],
    "Nsynth": ["nsynth"],
    "Free Music Archive (Large)": ["fma-large"],
    "AudioSet": ["audioset"],
    "FSD50K": ["fsd50k"],
    "Songdescriber": ["songdescriber"],
    "MusicCaps": ["musiccaps"],
    "AudioCaps": ["audiocaps"],
    "Clotho": ["clotho"],
    "AutoACD": ["autoacd"],
    "AudioCaps-QA": ["audiocaps-qa"],
    "MusicQA": ["musicqa"],
    "MMAU": ["mmau-sound", "mmau-music", "mmau-speech", "mmau"],
    "MuChoMusic": ["muchomusic"],
    "MECAT (Short)": ["mecat-short"],
    "MECAT (Long)": ["mecat-long"],
    "MECAT (Speech)": ["mecat-pure-speech", "mecat-mixed-speech"],
    "MECAT (Music)": ["mecat-pure-music", "mecat-mixed-music"],
    "MECAT (Sound)": ["mecat-pure-sound", "mecat-mixed-sound"],
    "MECAT (Environment)": ["mecat-environment"],
}
# Rows that published files or exact counts behind the published percentages confirm.
CONFIRMED = {
    "autoacd": 973,
    "voxlingua107": 1609,
    "voxceleb-gender": 4874,
    "nsynth": 4096,
    "fsdkaggle2018": 1600,
    "fsd50k": 10231,
    "librispeech-test-clean": 2620,
    "muchomusic": 1187,
    "musicqa": 5040,
    "mmau-sound": 333,
    "mmau-music": 334,
    "mmau-speech": 333,
    "mmau": 1000,
    "mecat-long": 20052,
    "mecat-short": 20052,
    "mecat-environment": 20052,
    "mecat-pure-speech": 7839,
    "mecat-pure-sound": 848,
    "mecat-pure-music": 2593,
    **{f"mecat-mixed-{kind}": 8593 for kind in ("speech", "sound", "music")},
    "mecat-qa-direct-perception": 20624,
    "mecat-qa-sound-characteristics": 19767,
    "mecat-qa-quality-assessment": 18942,
    "mecat-qa-environment-reasoning": 18300,
    "mecat-qa-inference-judgement": 19756,
    "mecat-qa-application-context": 2871,
}
BUNDLED = sorted(tasks())
MINI = [name for name in BUNDLED if tasks()[name].group == "mini"]


def rows_of_paper() -> Iterator[tuple[str, str, dict[str, float]]]:
    for line in PAPER.strip().splitlines():
        table, name, *figures = line.split()
        pairs = zip(MODELS, figures, strict=True)
        yield table, name, {model: float(figure) for model, figure in pairs if figure != "-"}


def test_every_row_of_the_paper_is_a_task_with_its_figures() -> None:
    typed = {name: ((table,), figures) for table, name, figures in rows_of_paper()}
    assert len(typed) == 5 + 9 + 10 + 9 + 6 + 6
    ours = {name: (task.tables, task.published) for name, task in tasks().items() if task.tables}
    assert ours == typed


def test_averages_of_the_paper_are_those_of_its_rows() -> None:
    """The rows of the tables that are no tasks: what they are made of."""
    figures = {name: values for _, name, values in rows_of_paper()}
    parts = ("mmau-sound", "mmau-music", "mmau-speech")
    for model, average in tasks()["mmau"].published.items():
        right = [round(figures[name][model] * CONFIRMED[name] / 100) for name in parts]
        assert round(100 * sum(right) / CONFIRMED["mmau"], 2) == average
    questions = [values for name, values in figures.items() if name.startswith("mecat-qa-")]
    for model, average in zip(MODELS, (62.08, 43.74, 33.22), strict=True):
        assert abs(sum(values[model] for values in questions) / 6 - average) < 0.006


@pytest.mark.parametrize("copy", COPIES, ids=["committed", "published"])
def test_prompts_are_those_of_the_published_table(copy: Path) -> None:
    if not copy.is_file():
        pytest.skip("the published prompt table is not beside this checkout")
    with copy.open(encoding="utf-8-sig", newline="") as file:
        table = {row["Dataset"]: row for row in csv.DictReader(file)}
    assert len(table) == 30
    assert set(table) == set(PROMPTED)
    for dataset, names in PROMPTED.items():
        for name in names:
            cells = {model: prompt.table for model, prompt in tasks()[name].prompts.items()}
            assert cells == {model: table[dataset][column] for model, column in CELLS.items()}, name
    prompted = {name for names in PROMPTED.values() for name in names}
    others = {name for name, task in tasks().items() if task.tables} - prompted
    assert others == {"peoples-speech", *(name for _, name, _ in rows_of_paper() if name.startswith("mecat-qa-"))}
    for name in others:
        assert any("prompt" in note for note in tasks()[name].notes), f"{name} does not say where its prompt is from"


def test_the_copy_of_the_prompt_table_is_the_published_one() -> None:
    if not COPIES[1].is_file():
        pytest.skip("the published prompt table is not beside this checkout")
    assert COPIES[0].read_bytes() == COPIES[1].read_bytes()


@pytest.mark.parametrize("name", BUNDLED)
def test_templates_are_the_words_of_their_cells(name: str) -> None:
    """Where a template differs from its cell, it differs in line breaks and places alone."""
    for prompt in tasks()[name].prompts.values():
        filled = prompt.template.format(question="(Question in the data)", options="(Options in the data)")
        assert not set("{}") & set(filled)
        if prompt.table is not None:
            text, system = split_cell(prompt.table)
            assert filled.split() == text.replace("\\n", " ").split()
            assert prompt.system == system


def test_what_is_confirmed_is_confirmed() -> None:
    ours = {name: task.dataset.num_rows for name, task in tasks().items() if task.dataset.confirmed}
    assert {name: count for name, count in ours.items() if name not in MINI} == CONFIRMED


@pytest.mark.parametrize("name", BUNDLED)
def test_a_task_says_what_a_run_needs(name: str) -> None:
    task = tasks()[name]
    assert task.prompts["midashenglm"].template
    assert (set(task.prompts) == set(MODELS)) == (name not in MINI)
    assert 8 <= task.generation["max_new_tokens"] <= 512
    assert task.dataset.licence
    if task.dataset.loader == "jsonl":
        assert task.dataset.note, "it does not say what to do with what is there"
    if task.metric.name == "wer":
        assert "lang" in task.fields
    for note in (*task.notes, task.dataset.note):
        assert not note or note.endswith((".", ")"))


def test_inconsistencies_of_the_paper_are_noted() -> None:
    notes = {name: " ".join(task.notes) for name, task in tasks().items()}
    for name, words in {
        "muchomusic": "71.3564",
        "mmau-sound": "v05.15.25 replaced",
        "mmau": "swaps",
        "mecat-long": "3B",
        "mecat-environment": "55.90",
        "gigaspeech2-th": "shards",
        "gigaspeech2-vi": "in to text",
        "gigaspeech2-id": ">100",
        "librispeech-test-clean": "3.713",
        "fsd50k": "32.17",
        "voxceleb1-pairs": "not published",
        "mini-language": "confounded",
    }.items():
        assert words in notes[name], name


def test_languages_are_called_the_same_everywhere() -> None:
    for name in ("mini-language", "voxlingua107"):
        labels = tasks()[name].labels
        assert labels is not None
        assert set(labels.spelled.values()) == set(labels.names)
        assert {code: labels.spelled.get(code, language) for code, language in language_names().items()} == (
            language_names()
        )
    vox = tasks()["voxlingua107"].labels
    assert vox is not None
    assert len(vox.spelled) == 107


@pytest.mark.parametrize("name", MINI)
def test_mini_tasks_are_of_the_corpus_and_asked_as_training_asks(name: str) -> None:
    task = tasks()[name]
    assert (task.dataset.loader, task.dataset.split, task.published, task.tables) == ("corpus", "test", {}, ())
    sources = task.dataset.source.split()
    assert set(sources) <= set(RECIPES)
    assert task.dataset.confirmed
    if len(sources) == 1:
        assert RECIPES[sources[0]].licence.startswith(task.dataset.licence)
    template = task.prompts["midashenglm"].template
    ours = {prompts.styled(kind, style) for kind in ("caption", "tag") for style in prompts.styles(kind)}
    ours |= {prompts.translate(), prompts.kind(), *(prompts.transcribe(code) for code in language_names())}
    assert template in ours or any("wording is ours" in note for note in task.notes)


def test_mini_tasks_use_every_source_that_is_for_testing() -> None:
    used = {source for name in MINI for source in tasks()[name].dataset.source.split()}
    held_out = {name for name, recipe in RECIPES.items() if "test only" in recipe.summary}
    assert held_out | {"hyperrogue-music", "amazon-queen", "tuxpaint-speech"} <= used
    metrics = {tasks()[name].metric.name for name in MINI}
    assert metrics == {"wer", "cer", "accuracy", "gender_accuracy", "multi_label_map", "sbert", "corpus_bleu"}


class Bag:
    """A sentence encoder that knows 64 kinds of words."""

    name = "bag of words"
    is_stand_in = True

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        vectors = np.full((len(texts), 64), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, sum(word.encode()) % 64] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def num_cut(self, texts: list[str]) -> int:
        return 0


class Fluent:
    """Finds no fault."""

    name = "no fault"
    is_stand_in = True

    def __call__(self, texts: list[str], max_pieces: int = 256) -> NDArray[np.float32]:
        return np.zeros(len(texts), dtype=np.float32)


def fields_of(task: Task, number: int = 1) -> dict[str, Any]:
    """What a row of the task says beside the answer, by its field mapping. Rows 1 and 2 have two labels."""
    labels = ("male", "female") if task.metric.name == "gender_accuracy" else ("yes", "no")
    said = {
        "text": "a dog barks twice in the rain",
        "answer": "a dog barks twice in the rain",
        "question": "What is to be heard?",
        "label": [labels[number - 1]],
        "choices": ["a cat", "a dog", "rain"],
    }
    if task.metric.name == "choice_accuracy":
        said["answer"] = "B"
    constants = {name: column[1:] for name, column in task.fields.items() if column.startswith("=")}
    return {name: said.get(name, "en") for name in task.fields if name not in ("audio", "id")} | constants


def right_answer(task: Task, fields: dict[str, Any]) -> str:
    if "label" in fields:
        return str(fields["label"][0])
    return str(fields["text"] if "text" in fields else fields["answer"])


def score(task: Task, *answers: str) -> Score:
    rows = [
        Row(
            "fixture.jsonl",
            number,
            {
                "dataset_name": task.dataset_names[0],
                "audio": f"{number}.wav",
                "prompt": "a prompt",
                "model_output": answer,
                "model_name": "MiDashengLM",
                **fields_of(task, number),
            },
        )
        for number, answer in enumerate(answers, 1)
    ]
    resources = Resources(Bag, Fluent)
    return summarise(judge(rows, resources=resources), path=None, resamples=20)


@pytest.mark.parametrize("name", BUNDLED)
def test_two_rows_of_a_task_are_scored(name: str) -> None:
    task = tasks()[name]
    right = [right_answer(task, fields_of(task, number)) for number in (1, 2)]
    wrong = {"gender_accuracy": "male", "choice_accuracy": "A"}.get(task.metric.name, "someone plays the violin")
    both, mixed = score(task, *right), score(task, right[0], wrong)
    assert both.task == mixed.task == name
    assert both.num_rows == mixed.num_rows == 2
    best = 100 if metric_class(task.metric.name).higher_is_better else 0
    assert both.compat == pytest.approx(best, abs=0.1)
    assert both.strict == pytest.approx(best, abs=0.1)
    assert abs(mixed.strict - best) > 10
    json.dumps(mixed.to_dict())


@pytest.mark.parametrize("name", BUNDLED)
def test_a_cluster_pattern_finds_something(name: str) -> None:
    """In a file name of the form that the task describes."""
    named = {
        "autoacd": "E5eXRcrX5ME_294.wav",
        "nsynth": "guitar_acoustic_010-066-100.wav",
        "voxceleb-gender": "id10270/5r0dWxy17C8/00001.wav",
        "voxlingua107": "de/qKPqEMPOTrk__U__S3---0123.450-0130.980.wav",
        "cochlscene": "Bus_user0001_14871422_000_001.wav",
        "musicqa": "clip.mp3",
        "audiocaps-qa": "clip.wav",
        **{f"librispeech-test-{kind}": "908-31957-0023.flac" for kind in ("clean", "other")},
        **{f"aishell2-{kind}": "IT0011W0001.wav" for kind in ("mic", "ios", "android")},
    }
    cluster = tasks()[name].cluster
    if cluster is None:
        return
    example = named.get(name, "2NFPJXDGKBk_000123_0a1b2c3d")
    found = re.search(cluster[1], example)
    assert found is not None
    assert found[1]


def test_rows_of_every_task_find_it() -> None:
    for name, task in tasks().items():
        for dataset in task.dataset_names:
            assert task_of(Row("f", 1, {"dataset_name": dataset})).name == name
