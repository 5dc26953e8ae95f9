"""A run goes on with what it was begun with, and says what is another."""

import json
from dataclasses import replace

import pytest

from opendasheng.errors import TrainingError
from opendasheng.train.config import to_json
from opendasheng.train.folder import CONFIG, check_config


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


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"name": "run", "sed": 1}', "unknown key 'sed'"), ("{", "Expecting property name"), ("[]", "cannot be read")],
)
def test_a_config_that_cannot_be_read_is_named(begun, text, message):
    config = begun()
    (config.folder / CONFIG).write_text(text)
    with pytest.raises(TrainingError, match=rf"config\.json.*{message}.*another name, or remove"):
        check_config(config.folder, config)
