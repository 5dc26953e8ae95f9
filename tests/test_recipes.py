"""Every recipe parses, names a model that can be built, and an error in one is found with its place."""

import json
from pathlib import Path

import pytest
import torch
from helpers import tiny_processor

from opendasheng.corpora.registry import sources
from opendasheng.curate.catalogue import EXPERTS
from opendasheng.curate.config import CurationConfig
from opendasheng.data.clip import Clip
from opendasheng.data.mixture import Mixture
from opendasheng.data.rates import refuse_unknown
from opendasheng.errors import ConfigError
from opendasheng.model import MiDashengLMModel
from opendasheng.recipe import from_dict, read_recipe
from opendasheng.train.config import load_recipe, to_json
from opendasheng.train.starting import model_config

ALL = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
RECIPES = [path for path in ALL if not path.name.startswith("curate-")]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_parses_and_comes_back(path):
    config = load_recipe(path)
    assert config.name == path.stem
    assert from_dict(type(config), json.loads(to_json(config)), "again") == config


@pytest.mark.parametrize("path", [path for path in ALL if path not in RECIPES], ids=lambda path: path.name)
def test_a_recipe_of_curation_names_experts_that_there_are(path):
    config = read_recipe(CurationConfig, path)
    assert config.name == path.stem
    assert {name for pool in config.pools for name in pool.experts} <= set(EXPERTS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_names_a_model_that_can_be_built(path):
    config = load_recipe(path)
    with torch.device("meta"):
        model = MiDashengLMModel(model_config(config.model, tiny_processor()))
    assert sum(p.numel() for p in model.parameters()) > 1e6


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_names_sources_of_the_catalogue(path):
    refuse_unknown(load_recipe(path).data.mixture.repeats, sources())


def test_the_bundled_models_recipe_draws_from_sources_by_name():
    config = load_recipe(RECIPES[0].parent / "mini-align.toml")
    sources = set(config.data.mixture.repeats) - {"speech", "sound", "music"}
    clips = [Clip(name, name, "CC0-1.0", "train", "sound", 1.0, labels=("dog",)) for name in sorted(sources)]
    assert Mixture(clips, config.data.mixture, 0).epoch(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nsed = 1', "unknown key 'sed'; did you mean 'seed'"),
        ('name = "x"\n[loop]\nstepz = 1', "loop: unknown key 'stepz'; did you mean 'steps'"),
        ('name = "x"\n[loop]\nsteps = "many"', "loop: steps must be of type int, not 'many'"),
        ('name = "x"\n[data]\nmixture = 3', "data: mixture must be a table"),
        ('name = "x"\n[data.mixture.repeats]\nsound = "often"', "repeats.sound must be of type float"),
        ('name = "x"\n[data.mixture.task_weights]\nsing = 1.0', "no task 'sing'"),
        *(
            (f'name = "{name}"', "cannot name a folder; give one without a path")
            for name in ("", ".", "..", "../x", "x/", "./x", "/", "a/b", "a\\u0000")
        ),
        ('name = "x"\nstage = "sfd"', "stage 'sfd' is unknown"),
        ('name = "x"\n[loop]\nsteps = 0', r"loop\.steps is 0; it is 1 or more"),
        ('name = "x"\n[loop]\nlog_every = 0', r"loop\.log_every is 0"),
        ('name = "x"\n[optim]\nlr = nan', r"optim\.lr is nan; it is above 0"),
        ('name = "x"\n[optim]\nclip_norm = 0', r"optim\.clip_norm is 0\.0"),
        ('name = "x"\n[data]\nbatch_seconds = nan', r"data\.batch_seconds is nan"),
        ('name = "x"\n[compute]\nworkers = -1', r"compute\.workers is -1; it is 0 or more"),
        ('name = "x"\n[optim]\nbeta2 = 1.0', r"optim\.beta2 is 1\.0; it is from 0 to below 1"),
        ('name = "x"\n[model]\ninit = "mini"\nencoder = "e"', r"model\.init 'mini' and model\.encoder 'e': .*set one"),
        ('name = "x"\n[model]\ninit = "mini"\ndecoder = "d"', r"model\.init 'mini' and model\.decoder 'd'"),
        *(
            (
                f'name = "x"\nstage = "{stage}"\n[{table}]\n{option}',
                rf"{table}\..*has no effect in stage {stage}; leave",
            )
            for stage in ("mae", "distil", "contrast")
            for table, option in (
                ("model", 'init = "mini"'),
                ("model", 'decoder = "d"'),
                ("model", 'trains = ["decoder"]'),
                ("lora", 'targets = ["a"]'),
                ("lora", "four_bit = true"),
                ("optim", "spelling_weight = 0.5"),
                ("data", "batch_tokens = 99"),
                ("data", "max_answer_tokens = 99"),
            )
        ),
        ("seed = 1", "'name' is required"),
        ("name = ", "not a TOML file"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_place(tmp_path, text, message):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: no such recipe"):
        load_recipe(tmp_path / "none.toml")
