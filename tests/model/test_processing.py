"""Expansion of placeholders, the released call, and loading without remote code."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from helpers import SPECIAL_TOKENS, tiny_processor, tiny_tokenizer, write_released_processor
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoProcessor,
    BatchFeature,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

import opendasheng.model  # noqa: F401  registers the Auto classes
from opendasheng.errors import AudioError, ConfigError
from opendasheng.lengths import num_audio_tokens
from opendasheng.model.conversation import default_chat_template
from opendasheng.model.processing import MiDashengLMProcessor, expand_placeholders

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "processor.json").read_text(encoding="utf-8"))
MARKERS = {"audio_token": "<|AUDIO|>", "audio_bos": "<|audio_bos|>", "audio_eos": "<|audio_eos|>"}
SLOT = "<|audio_bos|><|AUDIO|><|audio_eos|>"
PROCESSOR = tiny_processor()  # for tests that leave it as it is


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples).astype(np.float32)


def kept(inputs: BatchFeature, row: int = 0) -> list[int]:
    """The ids of a row, padding left out."""
    return inputs["input_ids"][row][inputs["attention_mask"][row].bool()].tolist()


def count_audio(inputs: BatchFeature) -> list[int]:
    return (inputs["input_ids"] == PROCESSOR.audio_token_id).sum(-1).tolist()


# Placeholders


@pytest.mark.parametrize("case", GOLDEN["expansion"], ids=lambda case: case["text"][0][:30])
def test_expansion_matches_the_reference(case: dict[str, Any]) -> None:
    assert expand_placeholders(case["text"], case["audio_lengths"], **MARKERS) == case["expanded"]
    # And the whole call tokenizes just that.
    inputs = PROCESSOR(text=case["text"], audio=[noise(n) for n in case["audio_lengths"]])
    tokenizer = tiny_tokenizer()
    assert [kept(inputs, row) for row in range(len(case["text"]))] == [
        tokenizer.encode(text) for text in case["expanded"]
    ]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("<|AUDIO|><|audio_eos|>", "<|AUDIO|><|audio_eos|>"),
        ("<|AUDIO|><|AUDIO|>", SLOT * 2),
        ("<|audio_bos|> <|AUDIO|>", f"<|audio_bos|> {SLOT}"),
        ("<placeholder><|AUDIO|>", f"<placeholder>{SLOT}"),
    ],
)
def test_expansion_looks_only_at_direct_neighbours(text: str, expanded: str) -> None:
    lengths = [3040] * text.count("<|AUDIO|>")
    assert expand_placeholders([text], lengths, **MARKERS) == [expanded]


@pytest.mark.parametrize(("text", "num_clips"), [(SLOT, 0), ("no slot", 1), (SLOT * 2, 3)])
def test_counts_must_agree(text: str, num_clips: int) -> None:
    num_slots = text.count("<|AUDIO|>")
    with pytest.raises(ConfigError, match=rf"{num_slots} <\|AUDIO\|> placeholders but {num_clips} clips"):
        PROCESSOR(text=text, audio=[noise(16000)] * num_clips)


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(1, 70_000), max_size=3), min_size=1, max_size=4))
def test_every_batch_holds_the_tokens_of_its_clips(lengths: list[list[int]]) -> None:
    texts = [f"row {row} " + "x".join([SLOT] * len(clips)) for row, clips in enumerate(lengths)]
    flat = [n for clips in lengths for n in clips]
    inputs = PROCESSOR(text=texts, audio=[noise(n) for n in flat])
    assert count_audio(inputs) == [sum(map(num_audio_tokens, clips)) for clips in lengths]
    assert not flat or inputs["audio_length"].tolist() == flat


# The call


def test_outputs_as_released() -> None:
    clips = [noise(16000), noise(3040, seed=1)]
    inputs = PROCESSOR(text=[f"a long question about it {SLOT}", SLOT], audio=clips, sampling_rate=16000)
    assert list(inputs) == ["input_ids", "attention_mask", "input_values", "audio_length"]
    assert list(inputs) == PROCESSOR.model_input_names
    assert {name: value.dtype for name, value in inputs.items()} == {
        "input_ids": torch.int64,
        "attention_mask": torch.int64,
        "input_values": torch.float32,
        "audio_length": torch.int64,
    }
    assert inputs["audio_length"].tolist() == [16000, 3040]
    np.testing.assert_array_equal(inputs["input_values"][0], clips[0])
    np.testing.assert_array_equal(inputs["input_values"][1, :3040], clips[1])
    assert not inputs["input_values"][1, 3040:].any()


def test_text_is_padded_on_the_left() -> None:
    inputs = PROCESSOR(text=["short", "this one is much longer"])
    assert list(inputs) == ["input_ids", "attention_mask"]
    mask = inputs["attention_mask"]
    assert mask[0].tolist() == sorted(mask[0].tolist())
    assert mask[0, 0] == 0
    assert (inputs["input_ids"][mask == 0] == PROCESSOR.tokenizer.pad_token_id).all()
    assert kept(inputs, 0) == tiny_tokenizer().encode("short")


def test_padding_of_audio_matches_the_reference() -> None:
    golden = GOLDEN["feature_extractor"]
    clips = [np.arange(n) / n for n in golden["audio_length"]]
    inputs = PROCESSOR(text=SLOT * len(clips), audio=clips)
    assert str(inputs["input_values"].dtype) == golden["dtype"]
    assert inputs["input_values"].tolist() == golden["input_values"]
    assert inputs["audio_length"].tolist() == golden["audio_length"]


@pytest.mark.parametrize("kind", ["list", "float64", "tensor", "bfloat16", "int16", "path", "string", "bytes"])
def test_a_clip_comes_in_many_forms(kind: str, tmp_path: Path) -> None:
    pcm = np.round(noise(4000) * 256).astype(np.int16) * 128  # exact in bfloat16 and in 16-bit files
    clip = (pcm / 32768).astype(np.float32)
    path = tmp_path / "clip.wav"
    soundfile.write(path, pcm, 16000, subtype="PCM_16")
    forms = {
        "list": [clip],
        "float64": clip.astype(np.float64),
        "tensor": torch.from_numpy(clip),
        "bfloat16": torch.from_numpy(clip).bfloat16(),
        "int16": pcm,
        "path": path,
        "string": str(path),
        "bytes": path.read_bytes(),
    }
    inputs = PROCESSOR(text=SLOT, audio=forms[kind])
    np.testing.assert_array_equal(inputs["input_values"], clip[None])


def test_other_tensor_types() -> None:
    arrays = PROCESSOR(text=SLOT, audio=noise(4000), return_tensors="np")
    assert {type(value) for value in arrays.values()} == {np.ndarray}
    assert arrays["input_ids"].dtype == arrays["audio_length"].dtype == np.int64
    lists = PROCESSOR(text=["a", "longer"], padding=False, return_tensors=None)
    assert [len(ids) for ids in lists["input_ids"]] == [len(tiny_tokenizer().encode(x)) for x in ("a", "longer")]


def test_options_of_the_tokenizer() -> None:
    right = PROCESSOR(text=["short", "this one is longer"], text_kwargs={"padding_side": "right"})
    assert right["attention_mask"][0, 0] == 1
    assert PROCESSOR(text="short", pad_to_multiple_of=64)["input_ids"].shape == (1, 64)
    padded = PROCESSOR(text=SLOT, audio=noise(4000), audio_kwargs={"pad_to_multiple_of": 1024})
    assert padded["input_values"].shape == (1, 4096)
    assert padded["audio_length"].tolist() == [4000]


def test_nothing_is_cut_silently() -> None:
    # The limit counts text tokens: were it one of samples too, the clip would be cut to 30.
    inputs = PROCESSOR(text=SLOT, audio=noise(16000), truncation=True, max_length=30)
    assert inputs["input_values"].shape == (1, 16000)
    with pytest.raises(ConfigError, match="of 5 audio tokens are left after truncation"):
        PROCESSOR(text=SLOT, audio=noise(16000), truncation=True, max_length=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": [1]}, "images and videos"),
        ({"videos": [1]}, "images and videos"),
        ({"sampling_rate": 44100}, "sampling_rate is 44100"),
        ({"audio_kwargs": {"sampling_rate": 8000}}, "sampling_rate is 8000"),
        ({"audio_kwargs": {"truncation": True}}, "unknown processor option 'truncation'"),
        ({"paddng": True}, "did you mean padding?"),
        ({"text": None}, "text must be a string"),
        ({"text": [1]}, "text must be a string"),
    ],
)
def test_refused_calls(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PROCESSOR(**{"text": SLOT, "audio": noise(16000), **options})


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((2, 16000), np.float32), r"clip 1 of 2: .*one-dimensional, not \(2, 16000\)"),
        (np.zeros(0, np.float32), "clip 1 of 2: .*0 samples"),
        (np.array([0.0, np.nan], np.float32), "clip 1 of 2: .*not a finite"),
        ("absent.wav", r"clip 1 of 2: .*absent\.wav"),
        (0.5, "clip 1 of 2: .*not float"),
    ],
)
def test_refused_clips_are_named(clip: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        PROCESSOR(text=SLOT * 2, audio=[noise(4000), clip])


# Parts and folders


def test_ids_come_from_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    assert PROCESSOR.audio_token_id == tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    assert PROCESSOR.audio_bos_token_id == tokenizer.convert_tokens_to_ids("<|audio_bos|>")
    assert PROCESSOR.audio_eos_token_id == tokenizer.convert_tokens_to_ids("<|audio_eos|>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": None}, "needs a tokenizer"),
        ({"model_subsampling": 4}, "model_subsampling is 4"),
        ({"audio_token": "<|sound|>"}, r"audio_token '<\|sound\|>' is \d+ tokens"),
        ({"audio_eos_token": "<|stop|>"}, r"audio_eos_token '<\|stop\|>' is \d+ tokens"),
        ({"feature_extractor": Wav2Vec2FeatureExtractor(do_normalize=True)}, "do_normalize is True"),
        ({"feature_extractor": Wav2Vec2FeatureExtractor(sampling_rate=8000)}, "sampling_rate is 8000"),
    ],
)
def test_parts_that_cannot_serve(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MiDashengLMProcessor(**{"tokenizer": tiny_tokenizer(), **options})


def test_save_and_load(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<snd>"]})
    saved = MiDashengLMProcessor(tokenizer=tokenizer, audio_token="<snd>", chat_template="{{ mood }}")
    saved.save_pretrained(tmp_path)
    for loaded in (AutoProcessor.from_pretrained(tmp_path), MiDashengLMProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is MiDashengLMProcessor
        assert loaded.to_dict() == saved.to_dict()
        assert loaded.to_dict()["model_subsampling"] == 5
        assert loaded.audio_token == "<snd>"
        assert loaded.audio_token_id == saved.audio_token_id
        assert loaded.chat_template == "{{ mood }}"
        call = {"text": "Hear <snd> now", "audio": noise(9000)}
        for name, value in saved(**call).items():
            assert torch.equal(loaded(**call)[name], value), name


@pytest.fixture
def released(tmp_path: Path) -> Path:
    write_released_processor(tmp_path, chat_template="released {{ audio_token }}")
    auto_map = {
        "AutoConfig": "processing_midashenglm.Config",
        "AutoModelForCausalLM": "processing_midashenglm.Model",
    }
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "midashenglm", "auto_map": auto_map}))
    return tmp_path


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def refuse_to_answer(*_: Any) -> str:
    raise AssertionError("asked whether to trust remote code")


@pytest.mark.parametrize("options", [{}, {"trust_remote_code": False}, {"trust_remote_code": True}])
@pytest.mark.parametrize("loader", [AutoProcessor, MiDashengLMProcessor])
def test_released_folder_loads_without_remote_code(
    released: Path, loader: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", refuse_to_answer)
    processor = loader.from_pretrained(released, **options)
    assert type(processor) is MiDashengLMProcessor
    assert processor.chat_template == "released {{ audio_token }}"
    prompt = f"Caption it. {SLOT}<|im_end|>\n"
    inputs = processor(text=[prompt, "a"], audio=noise(16000))
    assert torch.equal(inputs["input_ids"], PROCESSOR(text=[prompt, "a"], audio=noise(16000))["input_ids"])
    assert all(len(processor.tokenizer.encode(token)) == 1 for token in SPECIAL_TOKENS)


def test_the_code_of_a_folder_is_not_carried_along(released: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    MiDashengLMProcessor.from_pretrained(released).save_pretrained(copy)
    assert "auto_map" not in "".join(file.read_text(encoding="utf-8") for file in copy.iterdir())


def test_released_folder_without_its_processor_class(released: Path) -> None:
    # Then transformers goes by config.json.
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        edit(released / name, processor_class=None)
    assert type(AutoProcessor.from_pretrained(released)) is MiDashengLMProcessor


def test_missing_files_mean_defaults(released: Path) -> None:
    for name in ("preprocessor_config.json", "processor_config.json", "chat_template.jinja"):
        (released / name).unlink()
    processor = AutoProcessor.from_pretrained(released)
    assert type(processor) is MiDashengLMProcessor
    assert processor.feature_extractor.to_dict() == PROCESSOR.feature_extractor.to_dict()
    assert processor.chat_template == default_chat_template()
    edit(released / "tokenizer_config.json", chat_template="of the tokenizer")
    assert AutoProcessor.from_pretrained(released).chat_template == "of the tokenizer"


def test_settings_may_be_chosen_on_loading(released: Path) -> None:
    processor = MiDashengLMProcessor.from_pretrained(released, chat_template="{{ 1 }}", audio_eos_token="<|im_end|>")
    assert processor.chat_template == "{{ 1 }}"
    assert processor.audio_eos_token == "<|im_end|>"


def test_markers_of_the_tokenizer_are_used(released: Path) -> None:
    (released / "processor_config.json").unlink()
    names = {"audio_token": "<|im_start|>"}
    edit(released / "tokenizer_config.json", extra_special_tokens=names, **names)
    assert MiDashengLMProcessor.from_pretrained(released).audio_token == "<|im_start|>"


def test_another_feature_extractor_is_refused(released: Path) -> None:
    WhisperFeatureExtractor().save_pretrained(released)
    with pytest.raises(ConfigError, match="'WhisperFeatureExtractor'; only Wav2Vec2"):
        MiDashengLMProcessor.from_pretrained(released)
