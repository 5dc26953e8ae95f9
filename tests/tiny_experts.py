"""Tiny pretrained-looking experts: a random Whisper as CTranslate2 keeps it, and a graph in the form of YAMNet."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from ctranslate2.converters import TransformersConverter
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

LANGUAGES = ("en", "ru", "nl")
NUM_TIMES = 1501  # marks of 0.02 s in 30 s
CLASSES = ("Speech", "Dog", "Chicken, rooster", "Rain", "Bell", "Silence")


def whisper_tokenizer(many_languages: bool) -> PreTrainedTokenizerFast:
    """Bytes, words and the special tokens in Whisper's order; the converter adds the marks of time.

    CTranslate2 knows a model of many languages by a token without letters, which that of English alone lacks.
    """
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES), "<|translate|>"]
    special += ["<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    plain = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain += [f" word{number}" for number in range(50)] + [""] * many_languages
    tokenizer = Tokenizer(models.BPE({token: place for place, token in enumerate(plain)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=special)


class _Converter(TransformersConverter):
    def load_tokenizer(self, tokenizer_class: Any, model_name_or_path: str, **options: Any) -> Any:
        return PreTrainedTokenizerFast.from_pretrained(model_name_or_path)


def write_whisper(folder: Path, *, many_languages: bool = False, endless: bool = False) -> Path:
    """A folder as ct2-transformers-converter writes it; ``endless`` writes one letter as often as fits."""
    tokenizer = whisper_tokenizer(many_languages)
    num_tokens = len(tokenizer) + NUM_TIMES
    ids = tokenizer.convert_tokens_to_ids
    config = WhisperConfig(
        vocab_size=num_tokens,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=ids("<|endoftext|>"),
        bos_token_id=ids("<|endoftext|>"),
        eos_token_id=ids("<|endoftext|>"),
        decoder_start_token_id=ids("<|startoftranscript|>"),
    )
    model = WhisperForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3, generator=generator)
        if endless:  # one word is always likelier than all else, the end included
            model.model.decoder.layer_norm.bias.fill_(1.0)
            model.model.decoder.embed_tokens.weight[ids("E")] = 2.0
    settings: Any = model.generation_config
    settings.suppress_tokens, settings.begin_suppress_tokens = [], [ids("<|endoftext|>")]
    source = folder.with_name(f"{folder.name}-source")
    model.save_pretrained(source)
    tokenizer.save_pretrained(source)
    _Converter(str(source), copy_files=["tokenizer.json"]).convert(str(folder))
    converted = json.loads((folder / "config.json").read_text())
    # The converter knows them by what the published models say of themselves.
    converted["lang_ids"] = [ids(f"<|{code}|>") for code in LANGUAGES]
    (folder / "config.json").write_text(json.dumps(converted))
    return folder


def yamnet_weights() -> tuple[np.ndarray, np.ndarray]:
    """``(1024, 1, 3, 3)`` of the convolution and ``(len(CLASSES), 1024)`` of the classifier."""
    random = np.random.default_rng(0)
    shapes = (1024, 1, 3, 3), (len(CLASSES), 1024)
    first, second = (random.normal(size=shape, scale=0.1).astype(np.float32) for shape in shapes)
    return first, second


def write_yamnet(
    folder: Path, *, scale: float | None = 0.05, zero: int = 144, pool: str = "GlobalAveragePool", bands: int = 64
) -> Path:
    """convolution, mean, classifier; ``scale`` None is a graph of floats, else input and output are uint8."""
    folder.mkdir(parents=True, exist_ok=True)
    convolution, classifier = yamnet_weights()
    numbers = {"convolution": convolution, "classifier": classifier}
    nodes = [
        helper.make_node("Conv", ["patch", "convolution"], ["wide"], strides=[3, 3]),
        helper.make_node("Relu", ["wide"], ["positive"]),
        helper.make_node(pool, ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "classifier"], ["logits"], transB=1),
    ]
    kind, taken, given = TensorProto.FLOAT, "patch", "logits"
    if scale is not None:
        kind, taken, given = TensorProto.UINT8, "audio", "scores"
        numbers |= {"audio_scale": np.float32(scale), "audio_zero": np.uint8(zero)}
        numbers |= {"scores_scale": np.float32(0.75), "scores_zero": np.uint8(190)}
        nodes.insert(0, helper.make_node("DequantizeLinear", ["audio", "audio_scale", "audio_zero"], ["patch"]))
        nodes.append(helper.make_node("QuantizeLinear", ["logits", "scores_scale", "scores_zero"], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(taken, kind, [1, 1, 96, bands])],
        [helper.make_tensor_value_info(given, kind, [1, len(CLASSES)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    rows = [f'{place},/m/{place},"{name}"' for place, name in enumerate(CLASSES)]
    (folder / "yamnet_class_map.csv").write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    return folder
