"""Small real parts for the tests: a byte-level BPE tokenizer and a processor around it, built in memory."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from opendasheng.model import MiDashengLMConfig, MiDashengLMModel, MiDashengLMProcessor

END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
NUM_BYTES_AND_MERGES = 296

# Enough text for the few dozen merges of the vocabulary.
_TEXT = (
    "A dog barks while rain falls on the roof. A man speaks, then music plays and a woman sings. "
    "Caption the audio. Transcribe the speech into text. What sound is heard? The assistant listens."
)


@cache
def _bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=NUM_BYTES_AND_MERGES, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A new Qwen2 tokenizer: 256 bytes, 40 merges, and six special tokens with the released names.

    302 entries, so its ids fit the 320 rows of the tiny decoders. They are not the released ids: code that
    hard-codes those fails. Turns end with <|im_end|>, padding is <|endoftext|>.
    """
    vocab, merges = _bpe()
    tokenizer = Qwen2Tokenizer(vocab=dict(vocab), merges=list(merges), eos_token="<|im_end|>", pad_token=END_OF_TEXT)
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    return tokenizer


def tiny_processor() -> MiDashengLMProcessor:
    """A new processor around :func:`tiny_tokenizer`, all else by default."""
    return MiDashengLMProcessor(tokenizer=tiny_tokenizer())


def write_released_processor(folder: Path, *, chat_template: str | None = None) -> None:
    """The tokenizer and processor files of the released layout, as transformers 4 wrote them (SPEC 5.3).

    Every file that can names remote code, and that code raises when it is imported. ``config.json`` is left
    to the caller.
    """
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    code = "processing_midashenglm"
    (folder / f"{code}.py").write_text("raise AssertionError('remote code was run')\n")
    auto_map = {name: f"{code}.{name}" for name in ("AutoFeatureExtractor", "AutoProcessor")}
    markers = {
        "audio_token": "<|AUDIO|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    }
    special = [END_OF_TEXT, *SPECIAL_TOKENS]
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in special}
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    files: dict[str, Any] = {
        "tokenizer_config.json": {
            "added_tokens_decoder": {str(ids[token]): {"content": token, **plain} for token in special},
            "additional_special_tokens": special[1:],
            "auto_map": {**auto_map, "AutoTokenizer": [None, f"{code}.Tokenizer"]},
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "extra_special_tokens": markers,
            "pad_token": END_OF_TEXT,
            "padding_side": "right",
            "processor_class": "MiDashengLMProcessor",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
            **markers,
        },
        "preprocessor_config.json": {
            "auto_map": auto_map,
            "do_normalize": False,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "processor_class": "MiDashengLMProcessor",
            "return_attention_mask": True,
            "sampling_rate": 16000,
        },
        "processor_config.json": {
            "auto_map": auto_map,
            "model_subsampling": 5,
            "processor_class": "MiDashengLMProcessor",
            **markers,
        },
        "added_tokens.json": ids,
        "special_tokens_map.json": {"eos_token": "<|im_end|>", "pad_token": END_OF_TEXT},
        "vocab.json": _bpe()[0],
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in _bpe()[1])
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    if chat_template is not None:
        (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")


def tiny_model(decoder: str = "qwen2", *, seed: int = 0, max_positions: int = 4096) -> MiDashengLMModel:
    """A random model for :func:`tiny_processor`: encoder of width 32 and depth 2, decoder of width 32 and 2 layers.

    ``decoder`` is qwen2, qwen3 or llama. Weights are larger than those of a fresh model, so that greedy answers differ
    from clip to clip and do not repeat one token.
    """
    text = {
        "model_type": decoder,
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": max_positions,
        **({} if decoder == "qwen2" else {"head_dim": 8}),
    }
    encoder = {"embed_dim": 32, "depth": 2, "num_heads": 2}
    config = MiDashengLMConfig(encoder, text, audio_token_id=tiny_processor().audio_token_id)
    generator = torch.Generator().manual_seed(seed)
    model = MiDashengLMModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.5 if weight.shape[0] == 320 else 0.2, generator=generator)
    return model.eval()


def tiny_folder(folder: Path, decoder: str = "qwen2", **options: Any) -> Path:
    """:func:`tiny_model` and :func:`tiny_processor` in ``folder``, in the released layout."""
    tiny_model(decoder, **options).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder
