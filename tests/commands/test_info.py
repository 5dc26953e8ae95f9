"""What ``info`` tells, with and without a bundled model."""

import json
from pathlib import Path

import pytest
import torch

from opendasheng import __version__, hub
from opendasheng.cli import main


def info(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["info", "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_versions_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    found = info(capsys)
    assert found["versions"]["opendasheng"] == __version__
    assert found["versions"]["torch"] == torch.__version__
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert found["machine"]["devices"][-1] == "cpu"
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for topic in found.values() for name in topic)


def test_the_bundled_model(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    engine: object,
) -> None:
    monkeypatch.setattr(hub, "bundled_folder", lambda: tmp_path)
    assert info(capsys)["bundled"] == {"name": "mini", "state": "not built"}
    monkeypatch.setattr(hub, "bundled_folder", lambda: model_folder)
    bundled = info(capsys)["bundled"]
    assert bundled["path"] == str(model_folder)
    assert bundled["parameters"] == sum(tensor.numel() for tensor in engine.model.state_dict().values())
