"""A fluency checker is read from safetensors or the released form, without running anything, or refused."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_sentences import tiny_checkpoint, tiny_fluency_folder
from transformers import AutoTokenizer, BertConfig, BertModel

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.fluency import RELEASED, load_fluency_model, plain

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


def test_probabilities_are_those_of_padded_batches(tmp_path):
    """As the published checker has them: padded to 256 pieces, the last of five outputs."""
    folder = tiny_fluency_folder(tmp_path)
    state = load_file(folder / "model.safetensors")
    bert = BertModel.from_pretrained(folder)
    bert.load_state_dict({key.removeprefix("encoder."): state[key] for key in state if key.startswith("encoder.")})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [*TEXTS, "dog " * 300]
    padded = tokenizer(
        [plain(text) for text in texts], padding="max_length", truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.inference_mode():
        first = bert.eval()(**padded).last_hidden_state[:, 0]
        expected = torch.sigmoid(first @ state["clf.weight"].T + state["clf.bias"])[:, -1]
    model = load_fluency_model(str(folder), batch_size=2, device="cpu")
    np.testing.assert_allclose(model(texts), expected.numpy(), atol=2e-5)


def test_heads_of_another_width_are_taken_from_a_config(tmp_path):
    """No weight tells how many heads there are, and another number gives other probabilities without an error."""
    path = tiny_checkpoint(tmp_path, model_type=str(tmp_path))
    with pytest.raises(EvaluationError, match=r"tells its heads; put config\.json beside it"):
        load_fluency_model(str(path), device="cpu")
    BertConfig(num_attention_heads=2).save_pretrained(tmp_path)
    right = load_fluency_model(str(path), device="cpu")(TEXTS)
    np.testing.assert_allclose(right, load_fluency_model(str(tiny_checkpoint(tmp_path / "b")), device="cpu")(TEXTS))
    BertConfig(num_attention_heads=4).save_pretrained(tmp_path)
    assert np.abs(load_fluency_model(str(path), device="cpu")(TEXTS) - right).max() > 1e-4


def test_only_the_released_file_is_no_stand_in(tmp_path, monkeypatch):
    path = tiny_checkpoint(tmp_path)
    assert load_fluency_model(str(path), device="cpu").is_stand_in
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(RELEASED, "echecker_clotho_audiocaps_base.ckpt", digest)
    assert not load_fluency_model(str(path), device="cpu").is_stand_in


def test_half_a_surrogate_pair_is_read_as_a_question_mark(tmp_path):
    model = load_fluency_model(str(tiny_fluency_folder(tmp_path)), device="cpu")
    assert 0 < model(["a dog \ud800"])[0] < 1


def test_how_far_is_read_can_be_limited(tmp_path):
    model = load_fluency_model(str(tiny_fluency_folder(tmp_path)), device="cpu")
    long = "dog barks " * 100
    assert model([long], 64)[0] == pytest.approx(model(["dog barks " * 31])[0], abs=1e-6)
    assert model([long], 64)[0] != model([long])[0]
    assert len(model([])) == 0


class Runs:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    trace = tmp_path / "trace"
    for name, save in (
        ("zip.ckpt", torch.save),
        ("bare.ckpt", lambda what, path: path.write_bytes(pickle.dumps(what))),
    ):
        save({"state_dict": {}, "model_type": Runs(trace)}, tmp_path / name)
        with pytest.raises(EvaluationError, match=name):
            load_fluency_model(str(tmp_path / name), device="cpu")
    assert not trace.exists()


def changed(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("clf.bias"), "no classifier"),
        (lambda state: state.update({"clf.weight": torch.zeros(5, 3)}), "no classifier"),
        (lambda state: state.pop("encoder.embeddings.LayerNorm.bias"), "do not fit"),
        (lambda state: state.update({"encoder.extra": torch.zeros(1)}), "do not fit"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, change, message):
    folder = tiny_fluency_folder(tmp_path)
    changed(folder, change)
    with pytest.raises(EvaluationError, match=message) as caught:
        load_fluency_model(str(folder), device="cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_needs_all_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENDASHENG_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    alone = tiny_checkpoint(tmp_path / "alone")
    (alone.parent / "vocab.txt").unlink()
    wrong = tiny_checkpoint(tmp_path / "wrong", state_dict={"encoder.x": torch.zeros(1)})
    other = tmp_path / "other.ckpt"
    torch.save([1, 2], other)
    noise = tmp_path / "noise.ckpt"
    noise.write_bytes(b"\0\1" * 50)
    for path, message in (
        (tmp_path / "empty", "model.safetensors"),
        (alone, "tokenizer"),
        (wrong, "not that of a BERT"),
        (other, "state_dict"),
        (noise, "noise.ckpt"),
    ):
        with pytest.raises(EvaluationError, match=message):
            load_fluency_model(str(path), device="cpu")


def test_the_released_files_are_known_by_their_checksums(tmp_path):
    assert RELEASED["echecker_clotho_audiocaps_base.ckpt"].startswith("1a719f090af70614")
    path = tiny_checkpoint(tmp_path, "echecker_clotho_audiocaps_tiny.ckpt")
    with pytest.raises(EvaluationError, match="90ed0ac5033ec497"):
        load_fluency_model(str(path), device="cpu")
    other = path.rename(tmp_path / "mine.ckpt")
    assert "mine.ckpt" in load_fluency_model(str(other), device="cpu").name
