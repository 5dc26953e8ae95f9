"""Values that make no sense are refused before anything is read or made, by an error that names the option."""

import math
import re
from dataclasses import fields

import pytest

from opendasheng.data.mixture import MixtureConfig
from opendasheng.errors import ConfigError
from opendasheng.model.pretraining import MAEConfig
from opendasheng.recipe import from_dict
from opendasheng.train.config import (
    ComputeConfig,
    DataConfig,
    DistilConfig,
    LoopConfig,
    LoraConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
)

TABLES = {
    "data": DataConfig,
    "model": ModelConfig,
    "mae": MAEConfig,
    "distil": DistilConfig,
    "lora": LoraConfig,
    "optim": OptimConfig,
    "loop": LoopConfig,
    "compute": ComputeConfig,
}


@pytest.mark.parametrize(
    ("table", "values", "told"),
    [
        ("data", {"batch_seconds": math.inf}, "batch_seconds is inf; it is a finite number"),
        ("data", {"crop_seconds": 1e308}, "crop_seconds is 1e+308; it is at most 86400"),
        ("data", {"batch_clips": 2**31}, "batch_clips is 2147483648; it is at most 2147483647"),
        ("model", {"encoder_dim": 0}, "encoder_dim is 0; it is 1 or more"),
        ("model", {"encoder_depth": 0}, "encoder_depth is 0; it is 1 or more"),
        ("model", {"encoder_heads": 3}, "encoder_heads is 3; it divides model.encoder_dim 256"),
        ("model", {"decoder_layers": 0}, "decoder_layers is 0; it is 1 or more"),
        ("model", {"decoder_heads": 0}, "decoder_heads is 0; it is 1 or more"),
        ("model", {"decoder_heads": 3}, "decoder_heads is 3; it divides model.decoder_dim 256 into even numbers"),
        (
            "model",
            {"decoder_heads": 6},
            "decoder_heads is 6; it divides model.decoder_dim 256 into even numbers",
        ),
        (
            "model",
            {"decoder_dim": 12},
            "decoder_heads is 4; it divides model.decoder_dim 12 into even numbers",
        ),
        ("model", {"decoder_kv_heads": 0}, "decoder_kv_heads is 0; it is 1 or more"),
        ("model", {"decoder_kv_heads": 3}, "decoder_kv_heads is 3; it divides model.decoder_heads 4"),
        ("model", {"max_positions": 0}, "max_positions is 0; it is 1 or more"),
        ("model", {"max_positions": -5}, "max_positions is -5; it is 1 or more"),
        ("model", {"vocab_size": 261}, "vocab_size is 261; bytes and markers need 262"),
        ("model", {"vocab_size": 2**70}, "vocab_size is 1180591620717411303424; it is at most 2147483647"),
        ("mae", {"decoder_depth": 0}, "decoder_depth is 0; it is 1 or more"),
        ("mae", {"decoder_dim": 0}, "decoder_dim is 0; it is 1 or more"),
        ("mae", {"decoder_heads": 0}, "decoder_heads is 0; it is 1 or more"),
        ("mae", {"decoder_heads": 3}, "decoder_heads is 3; it divides mae.decoder_dim 512"),
        ("distil", {"ctc_weight": -1.0}, "ctc_weight is -1.0; it is 0 or more"),
        ("distil", {"min_count": -1}, "min_count is -1; it is 0 or more"),
        ("optim", {"lr": math.inf}, "lr is inf; it is a finite number"),
        ("optim", {"weight_decay": math.inf}, "weight_decay is inf; it is a finite number"),
        ("loop", {"epochs": math.inf}, "epochs is inf; it is a finite number"),
        ("loop", {"epochs": 1e300}, "epochs is 1e+300; it is at most 1000000"),
        ("compute", {"threads": 100_000_000}, "threads is 100000000; it is at most 1024"),
        ("compute", {"workers": 100_000_000}, "workers is 100000000; it is at most 1024"),
    ],
)
def test_a_value_without_sense_is_refused_with_its_option(table, values, told):
    with pytest.raises(ConfigError, match=f"^{table}\\.{re.escape(told)}"):
        TABLES[table](**values)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_every_number_is_finite(value):
    kinds = [*TABLES.items(), ("", MixtureConfig)]
    numbers = [(name, kind, f.name) for name, kind in kinds for f in fields(kind) if f.type is float]
    assert len(numbers) > 15
    for name, kind, option in numbers:
        with pytest.raises(ConfigError, match=rf"^{name}\.?{option} is {value}; it is"):
            kind(**{option: value})


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_a_seed_that_generators_do_not_take_is_refused(seed):
    with pytest.raises(ConfigError, match=f"^seed is {seed}; it is (0 or more|at most 4294967295)$"):
        RunConfig("x", seed=seed)
    assert RunConfig("x", seed=2**32 - 1).seed == 4294967295


def test_a_whole_number_that_no_float_holds_is_refused():
    with pytest.raises(ConfigError, match="here: lr has more than 300 digits"):
        from_dict(OptimConfig, {"lr": 10**400}, "here")


def test_the_smallest_sizes_that_make_sense_are_taken():
    ModelConfig(
        "",
        encoder_dim=1,
        encoder_depth=1,
        encoder_heads=1,
        decoder_dim=2,
        decoder_layers=1,
        decoder_heads=1,
        decoder_kv_heads=1,
        decoder_hidden=1,
        vocab_size=262,
        max_positions=1,
    )
    ModelConfig(decoder_type="qwen3", decoder_heads=6)  # brings the width of its heads
