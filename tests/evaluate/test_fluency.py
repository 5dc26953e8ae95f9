"""A fluency checker is read from safetensors or the released form, without running anything, or refused."""

import numpy as np
import pytest
import torch
from tiny_sentences import tiny_checkpoint, tiny_fluency_folder

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.fluency import load_fluency_model, plain

TEXTS = ["A dog barks.", "rain rain rain on", "", "The man speaks while music plays."]


def test_both_forms_say_the_same(tmp_path):
    folder = load_fluency_model(str(tiny_fluency_folder(tmp_path / "folder")), device="cpu")
    checkpoint = load_fluency_model(str(tiny_checkpoint(tmp_path / "file")), device="cpu")
    found = folder(TEXTS)
    np.testing.assert_allclose(found, checkpoint(TEXTS), atol=1e-6)
    assert found.dtype == np.float32
    assert ((found > 0) & (found < 1)).all()
    assert len({round(float(value), 6) for value in found}) > 1
    np.testing.assert_allclose(folder(TEXTS[:1]), found[:1], atol=1e-6)  # whatever stands beside it


def test_texts_are_read_without_case_and_punctuation(tmp_path):
    model = load_fluency_model(str(tiny_fluency_folder(tmp_path)), device="cpu")
    assert model(["A DOG, barks!"])[0] == model(["a dog barks"])[0]
    assert plain("It's Rain-y.") == "its rainy"


def test_what_is_no_checker_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="no such folder or file"):
        load_fluency_model(str(tmp_path / "nowhere"))
    renamed = tiny_checkpoint(tmp_path / "a", "echecker_clotho_audiocaps_base.ckpt")
    with pytest.raises(EvaluationError, match=r"(?i)sha"):
        load_fluency_model(str(renamed), device="cpu")
    evil = tmp_path / "evil.ckpt"
    torch.save({"model_type": print, "state_dict": {}}, evil)
    with pytest.raises(EvaluationError):
        load_fluency_model(str(evil), device="cpu")
