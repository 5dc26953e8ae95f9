"""An audio-text model of a few weights, its words, and noise to hear."""

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from opendasheng.model import DashengConfig, DashengEncoder
from opendasheng.model.audio_text import AudioTextModel, AudioTextScorer
from opendasheng.model.bag_of_tokens import BagOfTokens, TokenizedTexts

WORDS = ("[UNK]", "a", "dog", "barks", "loud", "##ly")


def tokenizer():
    made = Tokenizer(models.WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return TokenizedTexts(made)


def scorer(pooling="patches", seed=1):
    torch.manual_seed(seed)
    encoder = DashengEncoder(DashengConfig(embed_dim=16, depth=1, num_heads=2))
    for values in (encoder.time_pos_embed, encoder.init_bn.running_mean, encoder.init_bn.bias):
        values.data.normal_()
    return AudioTextScorer(AudioTextModel(encoder, BagOfTokens(len(WORDS), 12), 12, 8, pooling), tokenizer())


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16_000))).astype(np.float32)
