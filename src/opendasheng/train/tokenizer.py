"""A small byte-level BPE tokenizer of our own, with the class and special tokens of the released one (SPEC 4.4)."""

import json
from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from opendasheng.errors import ConfigError

PAD = "<|endoftext|>"
START_OF_TURN, END_OF_TURN = "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (START_OF_TURN, END_OF_TURN, "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
_NUM_BYTES = 256
# Entries of bytes and special tokens, without a merge.
SMALLEST = _NUM_BYTES + len(SPECIAL_TOKENS) + 1


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Learn merges from ``texts`` until, with all bytes and special tokens, there are ``vocab_size`` entries.

    Every string can be encoded, since all bytes are in the vocabulary; fewer entries come out when the texts offer
    no more merges. The same texts give the same tokenizer. Raises :class:`ConfigError` for a vocabulary that cannot
    hold bytes and special tokens.
    """
    num_merged = vocab_size - len(SPECIAL_TOKENS) - 1
    if num_merged < _NUM_BYTES:
        raise ConfigError(f"vocab_size {vocab_size} is too small for {_NUM_BYTES} bytes and the special tokens")
    learner = Tokenizer(BPE())
    learner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=num_merged,
        min_frequency=2,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        eos_token=END_OF_TURN,
        pad_token=PAD,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    return tokenizer
