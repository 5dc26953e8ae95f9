"""Speech recognition with a frozen language model."""

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares import asr, linear
from opendasheng.evaluate.xares.metrics import one_minus_wer
from opendasheng.evaluate.xares.tasks import Training

SENTENCES = ("rain falls", "a dog barks")


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> asr.LanguageModel:
    """A small Qwen2 that knows two sentences, with the tests' tokenizer and the benchmark's separator."""
    from helpers import tiny_tokenizer

    folder = tmp_path_factory.mktemp("lm")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [asr.SEPARATOR]})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    loaded = asr.load_language_model(str(folder))
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    rows = [torch.tensor([loaded.tokens(text)]) for text in SENTENCES]
    for step in range(80):
        ids = rows[step % len(rows)]
        optimiser.zero_grad()
        # Whatever stands before the separator must do for the model to read on.
        noise = torch.randn(1, 6, 32) * 0.02
        embeds = torch.cat([noise, model.get_input_embeddings()(ids)], 1)
        logits = model(inputs_embeds=embeds).logits[0, 6:-1]
        torch.nn.functional.cross_entropy(logits, ids[0, 1:]).backward()
        optimiser.step()
    model.save_pretrained(folder)
    return asr.load_language_model(str(folder))


def spoken(lm: asr.LanguageModel, texts: list[str], seed: int = 0) -> asr.Spoken:
    """Frames of one direction for each text, longer ones for later texts."""
    random = np.random.default_rng(seed)
    kinds = {text: place for place, text in enumerate(sorted(set(texts)))}
    frames = [
        (4 * np.eye(16)[kinds[text]] + 0.1 * random.normal(size=(5 + 3 * (i % 4), 16))).astype(np.float32)
        for i, text in enumerate(texts)
    ]
    return asr.Spoken(frames, texts, lm)


def test_text_stands_between_separator_and_end(lm) -> None:
    tokens = lm.tokens("a dog")
    assert lm.tokenizer.convert_ids_to_tokens(tokens[0]) == asr.SEPARATOR
    assert tokens[-1] == lm.tokenizer.eos_token_id
    assert lm.text(tokens) == "a dog"


def test_the_loss_is_on_text_only_and_batch_mates_do_not_matter(lm) -> None:
    data = spoken(lm, ["a dog barks", "rain", "a man speaks, then music plays"])
    head = asr.adapter(16, lm, seed=0)
    loss = asr.TextLoss(lm)
    with torch.no_grad():
        alone = [loss(head, data.batch([item])).item() for item in range(3)]
        counts = [len(lm.tokens(text)) for text in data.texts]
        expected = np.average(alone, weights=counts)
        assert loss(head, data.batch([0, 1, 2])).item() == pytest.approx(expected, rel=1e-5)
        assert loss(head, data.batch([2, 0, 1])).item() == pytest.approx(expected, rel=1e-5)
        frames = head(torch.from_numpy(data.frames[0]))
        ids = torch.tensor(lm.tokens(data.texts[0]))
        embeds = torch.cat([frames, lm.model.get_input_embeddings()(ids)])[None]
        logits = lm.model(inputs_embeds=embeds).logits[0, len(frames) - 1 : -1]
        assert alone[0] == pytest.approx(torch.nn.functional.cross_entropy(logits, ids).item(), rel=1e-5)


def test_the_adapter_is_gated_and_the_language_model_stays_as_it_is(lm) -> None:
    head = asr.adapter(16, lm, seed=0)
    x = torch.randn(3, 16)
    torch.testing.assert_close(head(x), head.out(torch.nn.functional.silu(head.gate(x)) * head.value(x)))
    assert head.gate.out_features == lm.model.config.intermediate_size
    before = {name: weight.clone() for name, weight in lm.model.named_parameters()}
    linear.fit(head, spoken(lm, ["a", "b"]), asr.TextLoss(lm), None, Training(epochs=1, batch_size=2), seed=0)
    assert all(torch.equal(weight, before[name]) for name, weight in lm.model.named_parameters())


def test_it_learns_to_write_what_was_said(lm) -> None:
    texts = list(SENTENCES) * 6
    data = spoken(lm, texts)
    head = asr.adapter(16, lm, seed=0)

    def score(head: torch.nn.Module) -> float:
        return asr.score_forced(head, data, 5)

    with torch.no_grad():
        assert score(head) < 1.0
    training = Training(epochs=40, batch_size=4)
    fitted = linear.fit(head, data, asr.TextLoss(lm), score, training, seed=0)
    heard = spoken(lm, [*SENTENCES, SENTENCES[1]], seed=9)
    assert fitted.valid_score == 1.0
    assert one_minus_wer(asr.transcribe(fitted.head, heard), heard.texts) == 1.0


def test_the_decoder_of_our_own_model_will_do(model_folder) -> None:
    lm = asr.load_language_model(str(model_folder))
    assert not hasattr(lm.model, "audio_encoder")
    assert lm.separator == lm.end == lm.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert len(asr.transcribe(asr.adapter(16, lm, 0), spoken(lm, ["a"]))) == 1


def test_what_is_no_language_model_is_refused(tmp_path) -> None:
    with pytest.raises(EvaluationError, match="not a language model that can be loaded"):
        asr.load_language_model(str(tmp_path))
