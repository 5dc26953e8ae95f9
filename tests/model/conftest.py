"""Golden models as folders in the released layout, and loaded."""

import json

import pytest
import reference
from safetensors.torch import save_file

from opendasheng.model import MiDashengLMModel


@pytest.fixture(scope="session", params=["q25", "q3"])
def golden_folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "config.json").write_text(json.dumps(reference.config(request.param)))
    save_file(reference.weights(request.param), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def golden_model(golden_folder):
    return MiDashengLMModel.from_pretrained(golden_folder)
