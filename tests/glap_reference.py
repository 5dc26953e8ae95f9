"""Tiny random weights by the names of GLAP's checkpoint, and what they give by the published formulas."""

import math

import torch
from torch.nn import functional

from opendasheng.model import DashengConfig, DashengEncoder, LogMel

WIDTH, DEPTH, HIDDEN, VOCAB = 16, 2, 24, 256_206
AUDIO = DashengConfig(embed_dim=32, depth=2, num_heads=4)
SPACE = 32


def weights():
    """Of both towers: names as published, sizes not."""
    torch.manual_seed(7)
    tensors = {f"audio_encoder.model.{name}": value for name, value in _original(DashengEncoder(AUDIO)).items()}
    text = {"encoder_frontend.embed.weight": (VOCAB, WIDTH), "layer_norm.weight": (WIDTH,), "layer_norm.bias": (WIDTH,)}
    for n in range(DEPTH):
        layer = f"encoder.layers.{n}."
        for norm in ("self_attn_layer_norm", "ffn_layer_norm"):
            text |= {f"{layer}{norm}.weight": (WIDTH,), f"{layer}{norm}.bias": (WIDTH,)}
        for part in ("q_proj", "k_proj", "v_proj", "output_proj"):
            text |= {f"{layer}self_attn.{part}.weight": (WIDTH, WIDTH), f"{layer}self_attn.{part}.bias": (WIDTH,)}
        text |= {f"{layer}ffn.inner_proj.weight": (HIDDEN, WIDTH), f"{layer}ffn.inner_proj.bias": (HIDDEN,)}
        text |= {f"{layer}ffn.output_proj.weight": (WIDTH, HIDDEN), f"{layer}ffn.output_proj.bias": (WIDTH,)}
    tensors |= {f"text_encoder.model.{name}": 0.2 * torch.randn(shape) for name, shape in text.items()}
    for part, size in (("audio_proj", AUDIO.embed_dim), ("text_proj", WIDTH)):
        tensors |= {f"{part}.0.weight": torch.randn(SPACE, size) / size**0.5, f"{part}.0.bias": torch.randn(SPACE)}
        tensors |= {f"{part}.2.weight": torch.randn(SPACE, SPACE) / SPACE**0.5, f"{part}.2.bias": torch.randn(SPACE)}
    return tensors


def _original(encoder):
    """An encoder's weights, statistics of its input that are not 0 and 1 among them, by the original's names."""
    encoder.init_bn.running_mean.copy_(torch.randn(64) - 20)
    encoder.init_bn.running_var.copy_(torch.rand(64) + 90)
    encoder.init_bn.weight.data.copy_(torch.rand(64) + 0.5)
    encoder.init_bn.bias.data.copy_(torch.randn(64) / 10)
    return {
        name.replace("init_bn.", "init_bn.1."): value.detach().clone() for name, value in encoder.state_dict().items()
    }


def text_vectors(tensors, ids, mask):
    """SONAR: scaled embeddings, sinusoids from position 2 on, pre-norm blocks with ReLU, mean over tokens."""
    t = {name.removeprefix("text_encoder.model."): value for name, value in tensors.items() if "text_encoder" in name}
    x = t["encoder_frontend.embed.weight"][ids] * math.sqrt(WIDTH)
    half = WIDTH // 2
    angles = torch.outer(
        torch.arange(2, 2 + ids.shape[1]).float(), torch.exp(torch.arange(half) * -math.log(10_000) / (half - 1))
    )
    x = x + torch.cat([angles.sin(), angles.cos()], dim=1)

    def norm(name, value):
        return functional.layer_norm(value, (WIDTH,), t[f"{name}.weight"], t[f"{name}.bias"])

    def linear(name, value):
        return value @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    for n in range(DEPTH):
        layer = f"encoder.layers.{n}"
        y = norm(f"{layer}.self_attn_layer_norm", x)
        q, k, v = (linear(f"{layer}.self_attn.{part}_proj", y) for part in "qkv")
        scores = (q @ k.transpose(1, 2) / math.sqrt(WIDTH)).masked_fill(~mask[:, None], -torch.inf)
        x = x + linear(f"{layer}.self_attn.output_proj", scores.softmax(-1) @ v)
        y = norm(f"{layer}.ffn_layer_norm", x)
        x = x + linear(f"{layer}.ffn.output_proj", linear(f"{layer}.ffn.inner_proj", y).relu())
    x = norm("layer_norm", x) * mask[..., None]
    return _projected(tensors, "text_proj", x.sum(1) / mask.sum(1, keepdim=True))


def audio_vector(tensors, wave):
    """One clip: zeros behind the normalised spectrogram up to whole chunks where it is longer than one, the mean of
    each chunk, and the mean of those."""
    t = {name.removeprefix("audio_encoder.model."): value for name, value in tensors.items() if "audio_enc" in name}
    mel = LogMel()(torch.from_numpy(wave)[None])
    bn = [t[f"init_bn.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    spectrogram = functional.batch_norm(mel, *bn, training=False, eps=1e-5)[:, None]
    if mel.shape[2] > 1008:
        spectrogram = functional.pad(spectrogram, (0, -mel.shape[2] % 1008))
    means = []
    for chunk in spectrogram.split(1008, dim=-1):
        x = functional.conv2d(chunk, t["patch_embed.proj.weight"], t["patch_embed.proj.bias"], stride=(64, 4))
        x = (x + t["time_pos_embed"][..., : x.shape[-1]] + t["freq_pos_embed"]).flatten(2).transpose(1, 2)
        for n in range(AUDIO.depth):
            x = _block({name.removeprefix(f"blocks.{n}."): value for name, value in t.items()}, x)
        means.append(functional.layer_norm(x, (AUDIO.embed_dim,), t["norm.weight"], t["norm.bias"], eps=1e-6).mean(1))
    return _projected(tensors, "audio_proj", torch.stack(means).mean(0))


def _block(t, x):
    y = functional.layer_norm(x, (AUDIO.embed_dim,), t["norm1.weight"], t["norm1.bias"], eps=1e-6)
    q, k, v = (
        (y @ t["attn.qkv.weight"].T + t["attn.qkv.bias"]).unflatten(-1, (3, AUDIO.num_heads, -1)).permute(2, 0, 3, 1, 4)
    )
    heads = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
    x = x + heads.transpose(1, 2).flatten(2) @ t["attn.proj.weight"].T + t["attn.proj.bias"]
    y = functional.layer_norm(x, (AUDIO.embed_dim,), t["norm2.weight"], t["norm2.bias"], eps=1e-6)
    y = functional.gelu(y @ t["mlp.fc1.weight"].T + t["mlp.fc1.bias"])
    return x + y @ t["mlp.fc2.weight"].T + t["mlp.fc2.bias"]


def _projected(tensors, part, x):
    x = (x @ tensors[f"{part}.0.weight"].T + tensors[f"{part}.0.bias"]).relu()
    x = x @ tensors[f"{part}.2.weight"].T + tensors[f"{part}.2.bias"]
    return x / x.norm(dim=-1, keepdim=True)
