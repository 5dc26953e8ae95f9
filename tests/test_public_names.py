"""The names others rely on: documented, importable, and no more than those."""

import subprocess
import sys
from importlib import import_module

import pytest

import opendasheng

CONTRACT = {"Engine", "Result", "__version__", "load", "load_audio", "num_audio_tokens"}
MODEL = {
    "AudioProjector",
    "DashengConfig",
    "DashengEncoder",
    "LogMel",
    "MiDashengLMConfig",
    "MiDashengLMModel",
    "MiDashengLMProcessor",
    "load_dasheng_encoder",
}


def test_the_package_has_these_names():
    assert set(opendasheng.__all__) == set(dir(opendasheng)) == CONTRACT
    assert all(getattr(opendasheng, name) for name in CONTRACT)
    with pytest.raises(AttributeError, match="nothing"):
        _ = opendasheng.nothing


def test_the_model_has_these_names():
    assert set(import_module("opendasheng.model").__all__) == MODEL


@pytest.mark.parametrize("name", sorted((CONTRACT - {"__version__"}) | {f"model.{name}" for name in MODEL}))
def test_every_name_says_what_it_is(name):
    module, _, attribute = f"opendasheng.{name}".rpartition(".")
    assert getattr(import_module(module), attribute).__doc__


def test_the_models_names_load_without_the_engine():
    code = "import sys, opendasheng.model; sys.exit('opendasheng.engine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
