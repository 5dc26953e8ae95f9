"""A random text decoder of a few thousand parameters, as a folder and as a .gguf file."""

from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TOKENS = [*sorted(ByteLevel.alphabet()), "ab"]
WIDTH, HIDDEN, HEADS = 32, 64, 2


def a_decoder(folder: Path, *, own_markers: tuple[str, ...] = ()) -> LlamaForCausalLM:
    """A random Llama with a tokenizer of bytes, one merge, ``<|endoftext|>`` and ``own_markers``."""
    letters = Tokenizer(BPE(vocab={token: number for number, token in enumerate(TOKENS)}, merges=[("a", "b")]))
    letters.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(own_markers)})
    tokenizer.chat_template = "{{ 'none of ours' }}"
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    decoder = LlamaForCausalLM(config).eval()
    decoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return decoder


def a_gguf(path: Path, decoder: LlamaForCausalLM) -> None:
    """The weights of ``decoder`` as llama.cpp keeps them: rows of queries and keys in its own order."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(decoder.config.rms_norm_eps)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*TOKENS, "<|endoftext|>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * len(TOKENS) + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["a b"])
    for name in ("bos", "eos", "pad", "unk"):
        getattr(writer, f"add_{name}_token_id")(len(TOKENS))
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    names |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    names |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    state = decoder.state_dict()
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    for layer in range(2):
        for ours, theirs in names.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                halves = weight.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH)
                weight = halves.transpose(1, 2).reshape(WIDTH, WIDTH)
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", weight.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
