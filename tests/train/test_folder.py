"""A run goes on with what it was begun with, and says what is another."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from opendasheng.data.shards import ShardReader, ShardWriter
from opendasheng.errors import TrainingError
from opendasheng.train.config import to_json
from opendasheng.train.folder import CONFIG, DATA, check_config, check_data, data_to_json
from opendasheng.train.loop import Run

# Holds a folder, and has a child that ends with its standard input, as a reader of clips may outlive a killed run.
_HOLD = """
import os, pathlib, sys
from opendasheng.train.folder import hold
lock = hold(pathlib.Path(sys.argv[1]))
if os.fork():
    print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def begun(tiny_run):
    """The config of a run whose folder has it, less the keys that are given, as before there were such options."""

    def begin(*unknown):
        config = tiny_run()
        values = json.loads(to_json(config))
        for table, key in unknown:
            del values[table][key]
        config.folder.mkdir(exist_ok=True)
        (config.folder / CONFIG).write_text(json.dumps(values))
        return config

    return begin


def test_an_option_that_was_unknown_then_has_its_default(begun):
    config = begun(("data", "max_answer_tokens"), ("loop", "tensorboard"))
    check_config(config.folder, config)
    with pytest.raises(TrainingError, match=r"run: data\.max_answer_tokens is 512 there and 99 here; give"):
        check_config(config.folder, replace(config, data=replace(config.data, max_answer_tokens=99)))


def test_what_differs_is_named_with_both_values(begun):
    config = begun()
    mixture = replace(config.data.mixture, repeats={"speech": 2.0})
    other = replace(config, seed=4, data=replace(config.data, mixture=mixture))
    with pytest.raises(TrainingError, match=r"speech is 'not set' there and 2\.0 here, seed is 3 .* 4 here"):
        check_config(config.folder, other)
    check_config(config.folder, replace(config, loop=replace(config.loop, max_loss_jump=9.0)))


def test_a_run_may_be_moved_and_watched_otherwise(tiny_run, cut_short, tmp_path):
    whole = Run(tiny_run("whole"))
    whole.train()
    config = tiny_run("moved")
    cut_short(Run(config))
    (tmp_path / "elsewhere").mkdir()
    shutil.move(config.folder, tmp_path / "elsewhere" / "moved")
    watched = {"save_every": 5, "log_every": 2, "eval_every": 1, "keep_checkpoints": 1, "samples": 2, "test_clips": 2}
    config = replace(config, output=str(tmp_path / "elsewhere"), loop=replace(config.loop, **watched, tensorboard=True))
    run = Run(config)
    run.train()
    a, b = (load_file(folder / "model" / "model.safetensors") for folder in (whole.folder, run.folder))
    assert all(torch.equal(a[name], b[name]) for name in a)
    record, of_whole = (json.loads((folder / "record.json").read_text()) for folder in (run.folder, whole.folder))
    assert record["heard_hours"] == pytest.approx(of_whole["heard_hours"], rel=1e-6)
    assert record["dev_losses"].keys() == {"3", "4", "5", "6"}
    assert record["dev_losses"].items() >= of_whole["dev_losses"].items()
    assert {row["num_clips"] for row in record["test"]} == {2}
    assert len(list((run.folder / "checkpoints").iterdir())) == 1
    # What is tested stays, and with it the config that the card reads.
    Run(replace(config, loop=replace(config.loop, test_clips=4))).train()
    assert json.loads((run.folder / CONFIG).read_text())["loop"]["test_clips"] == 2
    with pytest.raises(TrainingError, match=r"loop\.eval_batches is 20 there and 1 here"):
        Run(replace(config, loop=replace(config.loop, eval_batches=1)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "run", "sed": 1}', "unknown key 'sed'"),
        ("{", "Expecting property name"),
        ("[]", "cannot be read"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(begun, text, message):
    config = begun()
    (config.folder / CONFIG).write_text(text)
    with pytest.raises(TrainingError, match=rf"config\.json.*{message}.*another name, or remove"):
        check_config(config.folder, config)


def test_two_runs_do_not_share_a_folder(tiny_run):
    config = tiny_run()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(config.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(TrainingError, match="run: a run is going on there; wait for it, or give this one another name"):
        Run(config)
    assert not (config.folder / CONFIG).exists()
    holder.kill()
    holder.wait()
    Run(config)  # though a child of the holder lives on
    holder.stdin.close()


def test_a_run_goes_on_with_the_clips_that_it_began_with_alone(tiny_run, tiny_corpus, tmp_path, cut_short):
    corpus = shutil.copytree(tiny_corpus, tmp_path / "grown")
    config = tiny_run()
    config = replace(config, data=replace(config.data, corpus=str(corpus)))
    cut_short(Run(config))
    reader = ShardReader(tiny_corpus, split="train")
    for source, split in (("more", "train"), ("tested", "test")):
        with ShardWriter(corpus / source, source=source, fingerprint="1") as writer:
            writer.add(replace(reader.clips[0], id=f"{source}-0", source=source, split=split), reader.audio(0))
    with pytest.raises(TrainingError, match=r"grown are not .*run began with: more is new; build .* another name"):
        Run(config)
    (config.folder / DATA).rename(tmp_path / DATA)  # as of a run before it was told
    Run(config)
    assert [row["source"] for row in json.loads((config.folder / DATA).read_text())] == ["more", "synthetic"]
    (tmp_path / DATA).rename(config.folder / DATA)
    shutil.rmtree(corpus / "more")
    assert Run(config).train() is not None  # the test clip is no draw


@pytest.mark.parametrize("text", ["", "7", '["synthetic"]', '[{"source": "synthetic"}]', "[" * 100_000])
def test_a_list_of_clips_that_cannot_be_read_is_named(begun, text):
    config = begun()
    (config.folder / DATA).write_text(text)
    with pytest.raises(TrainingError, match=rf"{DATA} cannot be read.*another name"):
        check_data(config.folder, ShardReader(config.data.corpus, split="train").clips, config.data.corpus)


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", ""), ("tokenizer.json", None), ("tokenizer.json", "{"), ("model.safetensors", "short")],
)
def test_a_start_that_is_damaged_is_named(tiny_run, cut_short, name, content):
    config = tiny_run("damaged")
    cut_short(Run(config))
    path = config.folder / "initial" / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(TrainingError, match=r"damaged/initial, from which this run began, is damaged \(.*\): give"):
        Run(config)


def test_sources_that_differ_are_named(tiny_corpus, tmp_path):
    clips = ShardReader(tiny_corpus, split="train").clips
    second = [replace(clip, source="second") for clip in clips]
    (tmp_path / DATA).write_text(data_to_json([*clips, *second]))
    check_data(tmp_path, [*clips, *second], "corpus")
    told = [replace(second[0], captions=("A dog barks.",)), *second[1:]]
    has_others = r"second has other clips \(12 then, 12 now\)"
    for other, message in (
        (clips, "second is gone"),
        ([*clips, *told], has_others),
        ([*clips, *second[::-1]], has_others),
        ([*second, *clips], "its sources are in another order"),
    ):
        with pytest.raises(TrainingError, match=f"with: {message}; build"):
            check_data(tmp_path, other, "corpus")
    (tmp_path / DATA).write_text("{")
    with pytest.raises(TrainingError, match=r"data\.json cannot be read"):
        check_data(tmp_path, clips, "corpus")
