"""Small real sentence models and fluency checkers: random BERTs with a vocabulary of letters and a few words."""

import json
import string
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

WORDS = "a the man dog barks rain on roof speaks music plays while and woman sings loud quiet with in of is noise birds"
NUM_OUTPUTS = 5


def _vocabulary(folder: Path) -> int:
    """Write a WordPiece vocabulary; [CLS] and [SEP] are not 101 and 102, so that code with those numbers fails."""
    letters = string.ascii_lowercase + string.digits
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    pieces += [letter for letter in letters if letter not in pieces] + [f"##{letter}" for letter in letters] + ["."]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return len(pieces)


def _bert(vocab_size: int, seed: int, num_layers: int = 2) -> BertModel:
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    generator = torch.Generator().manual_seed(seed)
    model = BertModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.2, generator=generator)
    return model


def tiny_sentence_model(folder: Path, *, longest: int = 32) -> Path:
    """A sentence-transformers model in ``folder``: a BERT and the mean of its outputs, at most ``longest`` pieces."""
    _bert(_vocabulary(folder), seed=1).save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 128, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    limits = {"max_seq_length": longest, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limits), encoding="utf-8")
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    return folder


def fluency_state(vocab_size: int) -> tuple[BertModel, dict[str, torch.Tensor]]:
    """The encoder of a tiny fluency checker, and its state dict with the classifier's weights, as the released one."""
    model = _bert(vocab_size, seed=2)
    generator = torch.Generator().manual_seed(3)
    state = {f"encoder.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    state["clf.weight"] = torch.randn(NUM_OUTPUTS, 128, generator=generator)
    state["clf.bias"] = torch.randn(NUM_OUTPUTS, generator=generator)
    return model, state


def tiny_checkpoint(folder: Path, name: str = "own.ckpt", **changes: Any) -> Path:
    """A fluency checker as a .ckpt of the released form, with its vocabulary beside it."""
    model, state = fluency_state(_vocabulary(folder))
    # Older releases of transformers stored this buffer.
    state["encoder.embeddings.position_ids"] = torch.arange(model.config.max_position_embeddings)[None]
    content = {"model_type": "bert-base-uncased", "num_classes": NUM_OUTPUTS, "state_dict": state, **changes}
    torch.save(content, folder / name)
    return folder / name


def tiny_fluency_folder(folder: Path) -> Path:
    """The same checker as a folder with safetensors."""
    model, state = fluency_state(_vocabulary(folder))
    model.config.save_pretrained(folder)
    save_file(state, folder / "model.safetensors")
    return folder
