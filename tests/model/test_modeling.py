"""The whole model against the reference; alone and in batches; splice, loss, generation."""

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from opendasheng.errors import AudioError, ConfigError
from opendasheng.lengths import num_audio_tokens
from opendasheng.model import MiDashengLMConfig, MiDashengLMModel

LOGITS = 2e-3
INVARIANCE = 2e-5
IDS = reference.META["token_ids"]
TEXT_CONFIG = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}


def tiny_config(model_type, **text):
    return MiDashengLMConfig(
        audio_encoder_config={"embed_dim": 16, "depth": 1, "num_heads": 2},
        text_config=TEXT_CONFIG | ({"model_type": model_type} if model_type else {}) | text,
        audio_token_id=IDS["AUDIO"],
    )


def row(num_samples, seed=0):
    """Token ids of one conversation with a clip of each of these lengths, text between them."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 290, (4,), generator=random).tolist()
    for samples in num_samples:
        ids += [IDS["audio_bos"], *[IDS["AUDIO"]] * num_audio_tokens(samples), IDS["audio_eos"]]
        ids += torch.randint(0, 290, (3,), generator=random).tolist()
    return ids


def batch(conversations, seed=0):
    """Conversations, each a list of clip lengths, as the model's inputs, padded on the left."""
    rows = [row(lengths, seed + i) for i, lengths in enumerate(conversations)]
    width = max(map(len, rows))
    lengths = [samples for conversation in conversations for samples in conversation]
    inputs = {
        "input_ids": torch.tensor([[IDS["PAD"]] * (width - len(ids)) + ids for ids in rows]),
        "attention_mask": torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in rows]),
    }
    if lengths:
        inputs["input_values"], inputs["audio_length"] = reference.clips(lengths)
    return inputs


@pytest.mark.parametrize("name", ["1s", "10.09s"])
def test_logits_equal_the_reference(golden_model, name):
    decoder = {"qwen2": "q25", "qwen3": "q3"}[golden_model.config.text_config.model_type]
    stored = reference.tensors("logits")
    audio_1S, length_1 = reference.clips([reference.LENGTHS[name]])
    input_ids = stored[f"input_ids.{name}"][None]
    with torch.inference_mode():
        logits = golden_model(
            input_ids, attention_mask=torch.ones_like(input_ids), input_values=audio_1S, audio_length=length_1
        ).logits
    assert (logits[0] - stored[f"logits.{decoder}.{name}"]).abs().max() <= LOGITS


CONVERSATIONS = st.lists(st.lists(st.integers(257, 90_000), max_size=3), min_size=1, max_size=5)


@settings(max_examples=40)
@given(CONVERSATIONS)
def test_a_conversation_does_not_depend_on_its_batch(golden_model, conversations):
    with torch.inference_mode():
        together = golden_model(**batch(conversations)).logits
        for i, lengths in enumerate(conversations):
            alone = golden_model(**batch([lengths], seed=i)).logits[0]
            assert torch.isfinite(alone).all()
            assert (together[i, -len(alone) :] - alone).abs().max() <= INVARIANCE


def test_losses_do_not_depend_on_padding(golden_model):
    """The mean over a batch is the mean over its rows, weighted by what they are asked to predict."""
    conversations = [[20_000], [], [9_000, 3_040]]
    whole = batch(conversations)
    # The first token of a row is predicted from nothing: alone it has no place before it, in a batch only padding.
    first = whole["attention_mask"].cumsum(-1) <= 1
    labels = whole["input_ids"].masked_fill(first, -100)
    with torch.inference_mode():
        together = golden_model(**whole, labels=labels).loss
        rows = [batch([lengths], seed=i) for i, lengths in enumerate(conversations)]
        losses = [(golden_model(**one, labels=one["input_ids"]).loss, one["input_ids"].shape[1] - 1) for one in rows]
    expected = sum(loss * count for loss, count in losses) / sum(count for _, count in losses)
    assert together.item() == pytest.approx(expected.item(), rel=1e-5)


def test_greedy_text_does_not_depend_on_its_batch(golden_model):
    conversations = [[16_000], [3040, 5000], [], [30_000]]
    together = golden_model.generate(**batch(conversations), max_new_tokens=8, do_sample=False)
    assert together.shape == (4, 8)
    for i, lengths in enumerate(conversations):
        alone = golden_model.generate(**batch([lengths], seed=i), max_new_tokens=8, do_sample=False)
        assert together[i].tolist() == alone[0].tolist()


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama", "qwen2_5_omni_text", None])
def test_any_decoder_takes_audio_and_learns_from_it(model_type):
    torch.manual_seed(0)
    model = MiDashengLMModel(tiny_config(model_type))
    inputs = batch([[8000], [4000, 6000]])
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    output = model(**inputs, labels=labels)
    shifted = torch.nn.functional.cross_entropy(
        output.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
    )
    assert output.loss.item() == pytest.approx(shifted.item(), rel=1e-5)
    output.loss.backward()
    assert model.audio_encoder.patch_embed.proj.weight.grad.abs().max() > 0


def test_tied_heads_share_one_tensor():
    for tied in (True, False):
        model = MiDashengLMModel(tiny_config("qwen3", tie_word_embeddings=tied))
        assert (model.decoder.lm_head.weight is model.decoder.model.embed_tokens.weight) is tied


def test_mrope_keys_equal_plain_rope():
    torch.manual_seed(0)
    plain = MiDashengLMModel(tiny_config("qwen2", rope_theta=1e6)).eval()
    scaling = {"mrope_section": [2, 3, 3], "rope_type": "default", "type": "default"}
    mrope = MiDashengLMModel(tiny_config("qwen2_5_omni_text", rope_theta=1e6, rope_scaling=scaling)).eval()
    mrope.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        assert torch.equal(plain(**batch([[8000]])).logits, mrope(**batch([[8000]])).logits)


def test_text_alone_needs_no_audio(golden_model):
    with torch.inference_mode():
        assert golden_model(**batch([[]])).logits.shape == (1, 4, 320)


def test_placeholders_and_tokens_must_match(golden_model):
    inputs = batch([[16_000]])
    inputs["input_values"], inputs["audio_length"] = reference.clips([32_000])
    with pytest.raises(AudioError, match=r"5 audio placeholders.*10\s+audio tokens"):
        golden_model(**inputs)


def test_audio_without_its_token_id_is_refused():
    model = MiDashengLMModel(tiny_config("qwen2"))
    model.config.audio_token_id = None
    with pytest.raises(ConfigError, match="audio_token_id"):
        model(**batch([[8000]]))


@pytest.mark.parametrize(
    "wrong", [{"n_mels": 128}, {"hop_length": 320}, {"num_heads": 3}, {"patch_size": [16, 16]}, {"patch_size": 16}]
)
def test_an_encoder_that_is_not_dasheng_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MiDashengLMConfig(audio_encoder_config=wrong)


@pytest.mark.parametrize("kind", ["yarn", "linear"])
def test_the_old_spelling_of_a_rope_type_is_read(kind):
    scaling = {"factor": 4.0, "original_max_position_embeddings": 128}
    for old in (
        {"type": kind, **scaling},
        {"rope_type": kind, **scaling},
        {"rope_type": kind, "type": kind, **scaling},
    ):
        config = tiny_config("qwen2", rope_scaling=old)
        assert config.text_config.rope_parameters["rope_type"] == kind
        assert config.text_config.rope_parameters["factor"] == 4.0


@pytest.mark.parametrize("scaling", [{"type": "mrope"}, {"rope_type": "mrope", "type": "mrope"}, {"type": "default"}])
def test_every_spelling_of_mrope_is_plain_rope(scaling):
    config = tiny_config("qwen2_5_omni_text", rope_scaling=scaling | {"mrope_section": [2, 3, 3]})
    assert config.text_config.rope_parameters == {"rope_type": "default", "rope_theta": 1_000_000.0}
    MiDashengLMModel(config)


def test_an_embedding_can_grow():
    model = MiDashengLMModel(tiny_config("qwen2"))
    model.resize_token_embeddings(330)
    assert model.decoder.lm_head.weight.shape[0] == model.decoder.model.embed_tokens.weight.shape[0] == 330


def test_front_end_keys_may_be_repeated_or_left_open():
    repeated = {"n_mels": 64, "f_max": None, "patch_size": [64, 4], "sample_rate": 16_000}
    assert MiDashengLMConfig(audio_encoder_config=repeated).audio_encoder_config.patches_per_chunk == 252


def test_an_unknown_decoder_is_named():
    with pytest.raises(ConfigError, match="nonesuch"):
        MiDashengLMConfig(text_config={"model_type": "nonesuch"})


def test_the_7b_has_the_released_names_and_shapes():
    """738 tensors, 8 281 739 904 parameters, on the meta device (SPEC 5.1)."""
    import json

    config = MiDashengLMConfig(
        text_config={
            "model_type": "qwen2_5_omni_text",
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
        },
        audio_token_id=151646,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    found = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    released = json.loads((reference.FOLDER / "state_dict_names.json").read_text())["7b_verified"]
    assert len(released) == 738
    assert found == released
    assert sum(tensor.numel() for tensor in model.parameters()) == 8_281_739_904
