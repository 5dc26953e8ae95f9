"""YAMNet: what a graph of its form gives, in floats and quantised, and what is none."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_experts import CLASSES, write_yamnet, yamnet_weights

from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.experts.patches import log_mel_patches
from opendasheng.experts.yamnet import CLASS_MAP, Yamnet, class_names, is_yamnet


def noise(num_samples: int, loud: float = 0.1) -> np.ndarray:
    return (np.random.default_rng(num_samples).normal(size=num_samples) * loud).astype(np.float32)


def by_hand(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and embeddings of patches, by torch."""
    convolution, classifier = map(torch.from_numpy, yamnet_weights())
    wide = torch.nn.functional.conv2d(torch.from_numpy(patches)[:, None], convolution, stride=3)
    pooled = wide.relu().mean((2, 3))
    return torch.sigmoid(pooled @ classifier.T).numpy(), pooled.numpy()


@pytest.mark.parametrize("num_samples", [300, 40_000])
def test_a_graph_of_floats_is_fed_the_log_mel(tmp_path: Path, num_samples: int) -> None:
    model = Yamnet(write_yamnet(tmp_path, scale=None))
    scores, embeddings = by_hand(log_mel_patches(noise(num_samples)))
    assert model.names == CLASSES
    np.testing.assert_allclose(model.scores(noise(num_samples)), scores, rtol=1e-4)
    np.testing.assert_allclose(model.embeddings(noise(num_samples)), embeddings, rtol=1e-4, atol=1e-6)
    assert model.scores(noise(num_samples)).shape == (1 if num_samples == 300 else 5, len(CLASSES))


def test_a_quantised_graph_is_fed_whole_numbers_and_read_before_its_output_is_rounded(tmp_path: Path) -> None:
    model = Yamnet(write_yamnet(tmp_path, scale=0.05, zero=144))
    patches = log_mel_patches(noise(40_000, loud=3.0))
    held = (np.clip(np.round(patches / 0.05) + 144, 0, 255) - 144) * 0.05
    assert (patches > held + 0.05).any()  # louder than the scale reaches: set to its end
    scores, embeddings = by_hand(held.astype(np.float32))
    np.testing.assert_allclose(model.scores(noise(40_000, loud=3.0)), scores, rtol=1e-4)
    np.testing.assert_allclose(model.embeddings(noise(40_000, loud=3.0)), embeddings, rtol=1e-4, atol=1e-6)


def test_it_is_known_by_its_files(tmp_path: Path) -> None:
    folder = write_yamnet(tmp_path / "yamnet")
    assert is_yamnet(folder)
    assert is_yamnet(folder / "model.onnx")
    assert Yamnet(folder).fingerprint == Yamnet(folder / "model.onnx").fingerprint
    assert Yamnet(folder).fingerprint != Yamnet(write_yamnet(tmp_path / "other", scale=None)).fingerprint
    assert not is_yamnet(tmp_path)
    (folder / "config.json").write_text("{}")
    assert not is_yamnet(folder)


def test_what_is_no_yamnet_is_named(tmp_path: Path) -> None:
    wide = write_yamnet(tmp_path / "wide", bands=80)
    with pytest.raises(CheckpointError, match=r"input of shape \[1, 1, 96, 80\], and YAMNet \[1, 1, 96, 64\]"):
        Yamnet(wide)
    few = write_yamnet(tmp_path / "few")
    (few / CLASS_MAP).write_text("index,mid,display_name\n0,/m/0,Speech\n")
    with pytest.raises(CheckpointError, match=r"gives 6 scores, and yamnet_class_map\.csv names 1"):
        Yamnet(few)
    pooled = Yamnet(write_yamnet(tmp_path / "pooled", pool="GlobalMaxPool"))
    with pytest.raises(CheckpointError, match="no GlobalAveragePool"):
        pooled.embeddings(noise(400))
    two = write_yamnet(tmp_path / "two")
    (two / "second.onnx").write_bytes((two / "model.onnx").read_bytes())
    with pytest.raises(CheckpointError, match=r"holds model\.onnx, second\.onnx; name one"):
        Yamnet(two)
    with pytest.raises(CheckpointError, match="there is no ONNX file"):
        Yamnet(tmp_path / "none.onnx")
    several = onnx.load(str(wide / "model.onnx"))
    several.graph.output.append(several.graph.output[0])
    onnx.save(several, str(wide / "model.onnx"))
    with pytest.raises(CheckpointError, match="1 inputs and 2 outputs, not one each"):
        Yamnet(wide)


@pytest.mark.parametrize("kept", [0, 100, 5_000])
def test_a_damaged_file_is_named(tmp_path: Path, kept: int) -> None:
    file = write_yamnet(tmp_path) / "model.onnx"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.onnx: .*fetch it again"):
        Yamnet(tmp_path)


def test_class_maps_are_judged(tmp_path: Path) -> None:
    path = tmp_path / CLASS_MAP
    with pytest.raises(CheckpointError, match="put YAMNet's class map there"):
        class_names(path)
    for rows in ("", "a,b\n1,2\n", *(f"index,display_name\n{row}\n" for row in ("x,Dog", "1,Dog", "0,"))):
        path.write_text(rows)
        with pytest.raises(CheckpointError, match="fetch it again"):
            class_names(path)
    path.write_bytes(b'index,mid,display_name\r\n0,/m/0,"Chicken, rooster"\r\n')
    assert class_names(path) == ("Chicken, rooster",)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'opendasheng\[experts\]'"):
        Yamnet(tmp_path)
