"""A run as data: frozen dataclasses read from a TOML recipe, with every key checked."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from opendasheng.data.clip import MAX_SECONDS
from opendasheng.data.mixture import MixtureConfig
from opendasheng.errors import ConfigError
from opendasheng.files import is_name
from opendasheng.model.pretraining import MAEConfig
from opendasheng.options import require
from opendasheng.recipe import read_recipe
from opendasheng.train.tokenizer import SMALLEST

PARTS = ("audio_encoder", "audio_projector", "decoder")

# Decoders whose heads share the width of the model and turn pairs of their numbers; others may bring a width of heads.
_SHARED_WIDTH = ("", "qwen2", "qwen2_5_omni_text", "llama", "mistral", "smollm3")

STAGES: dict[str, dict[str, Any]] = tomllib.loads(
    files("opendasheng.train").joinpath("stages.toml").read_text(encoding="utf-8")
)
"""What each stage trains, by name: see ``stages.toml``."""


@dataclass(frozen=True)
class DataConfig:
    """Where clips come from and how they are batched."""

    corpus: str = "corpus"
    """Folder of a built corpus (`opendasheng corpus build`)."""
    permissive_only: bool = False
    """Learn from clips under permissive licences alone (``data/licences.toml``)."""
    batch_seconds: float = 120.0
    """Padded audio seconds of a batch, at most."""
    batch_clips: int = 48
    """Clips of a batch, at most."""
    batch_tokens: int = 0
    """Decoder positions of a batch, of audio, text and padding, at most; 0: as many as there are."""
    max_answer_tokens: int = 512
    """Clips with a longer answer are left out, and told."""
    crop_seconds: float = 10.0
    """Of stage mae: longest stretch of a clip, at most a chunk of the encoder (10.08)."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)

    def __post_init__(self) -> None:
        require(
            self,
            "data",
            above_zero=("batch_seconds", "crop_seconds"),
            not_negative=("batch_tokens",),
            at_least_1=("batch_clips", "max_answer_tokens"),
            at_most={"crop_seconds": MAX_SECONDS},
        )


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a model that starts from random weights, or the folder of one that goes on."""

    init: str = ""
    """Folder in the released layout to start from; empty: random weights of the sizes below."""
    trains: tuple[str, ...] = ()
    """Parts that learn in full, of audio_encoder, audio_projector and decoder; empty: those of the stage."""
    encoder: str = ""
    """An encoder to start from: its file (`model/model.safetensors` of a run of stage mae), or a whole model (a folder,
    a hub id or `mini`) that has one; empty: random weights."""
    decoder: str = ""
    """A pretrained text decoder beside ``encoder``: a folder or hub id of any causal model, or a .gguf file."""
    encoder_dim: int = 256
    encoder_depth: int = 6
    encoder_heads: int = 4
    decoder_type: str = "qwen2"
    decoder_dim: int = 256
    decoder_layers: int = 4
    decoder_heads: int = 4
    decoder_kv_heads: int = 2
    decoder_hidden: int = 768
    vocab_size: int = 4096
    max_positions: int = 4096

    def __post_init__(self) -> None:
        sizes = tuple(f.name for f in dataclasses.fields(self) if f.type is int)
        require(self, "model", at_least_1=sizes)
        if self.vocab_size < SMALLEST:
            raise ConfigError(
                f"model.vocab_size is {self.vocab_size}; bytes and markers need {SMALLEST}, so it is that or more"
            )
        if self.decoder_type in _SHARED_WIDTH and self.decoder_dim % (2 * self.decoder_heads):
            raise ConfigError(
                f"model.decoder_heads is {self.decoder_heads}; it divides model.decoder_dim {self.decoder_dim} into "
                "even numbers"
            )
        for whole, by in (("encoder_dim", "encoder_heads"), ("decoder_heads", "decoder_kv_heads")):
            size, parts = getattr(self, whole), getattr(self, by)
            if size % parts:
                raise ConfigError(f"model.{by} is {parts}; it divides model.{whole} {size}")
        for name in ("encoder", "decoder"):
            if self.init and getattr(self, name):
                raise ConfigError(
                    f"model.init {self.init!r} and model.{name} {getattr(self, name)!r}: a run starts from a whole "
                    "model or from its parts; set one of them to ''"
                )


@dataclass(frozen=True)
class LoraConfig:
    """Adapters of ``rank``, scaled by ``alpha / rank``, on the linear layers that ``targets`` name; none: no adapters.

    A target is a pattern of module names such as ``decoder.*.q_proj``. The defaults are the paper's for pre-training.
    """

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.1
    targets: tuple[str, ...] = ()
    four_bit: bool = False
    """Keep frozen layers of encoder and decoder in 4 bits (QLoRA, bitsandbytes)."""

    def __post_init__(self) -> None:
        require(self, "lora", at_least_1=("rank", "alpha"), below_1=("dropout",))


@dataclass(frozen=True)
class DistilConfig:
    """Of stage distil: who teaches, and how much spelling the transcripts counts beside the teacher's features."""

    teacher: str = ""
    """A Whisper model: a folder or hub id of transformers, or a ``model.bin`` of CTranslate2."""
    ctc_weight: float = 0.5
    """Weight of the CTC loss; both losses are sums over patches."""
    min_count: int = 20
    """A character is spelt when the transcripts have it this often."""

    def __post_init__(self) -> None:
        require(self, "distil", not_negative=("ctc_weight", "min_count"))


@dataclass(frozen=True)
class ContrastConfig:
    """Of stage contrast: the text tower, the space that both towers share, and where its loss starts (GLAP's
    values)."""

    text_model: str = ""
    """A sentence model with word pieces, a folder or a hub id, whose tokens' vectors the text tower takes."""
    text_dim: int = 256
    """Principal components of those vectors that are kept."""
    embed_size: int = 512
    temperature: float = 0.07
    bias: float = -10.0

    def __post_init__(self) -> None:
        require(self, "contrast", above_zero=("temperature",), at_least_1=("text_dim", "embed_size"))


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with linear warm-up and a cosine to a share of the peak (paper, Table 4)."""

    lr: float = 1e-3
    min_lr_share: float = 0.1
    warmup_steps: int = 300
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    eight_bit: bool = False
    """Keep the moments in 8 bits (torchao): a quarter of their memory."""
    clip_norm: float = 1.0
    accumulate: int = 1
    """Batches whose gradients are summed before a step, over all processes together."""
    spelling_weight: float = 0.0
    """Weight of a CTC loss by which the audio tokens spell transcripts through the decoder's head; 0: none."""
    average_share: float = 0.0
    """Average the weights of all steps, later ones weighing more, and validate and save the average: its weights are
    such a share of the steps so far old in the mean, at most 0.5; 0: the weights of the last step."""

    def __post_init__(self) -> None:
        require(
            self,
            "optim",
            above_zero=("lr", "clip_norm"),
            not_negative=("warmup_steps", "weight_decay", "spelling_weight"),
            at_least_1=("accumulate",),
            shares=("min_lr_share", "average_share"),
            at_most={"average_share": 0.5},
            below_1=("beta1", "beta2"),
        )


@dataclass(frozen=True)
class LoopConfig:
    """How long, and what happens along the way. All counts are optimiser steps."""

    steps: int = 3000
    epochs: float = 0.0
    """Passes through the data, in place of ``steps``; 0: ``steps`` count."""
    log_every: int = 10
    save_every: int = 200
    eval_every: int = 200
    eval_batches: int = 20
    samples: int = 4
    """Dev clips answered in words at each evaluation."""
    test_clips: int = 300
    """Test clips of each task, answered once when the last step is done; 0: none."""
    keep_checkpoints: int = 2
    max_loss_jump: float = 4.0
    """A loss of so many times the median of the 100 steps before, or of as many as there are from 10 on, ends the run;
    0: none does."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, into the run's folder."""

    def __post_init__(self) -> None:
        require(
            self,
            "loop",
            not_negative=("epochs", "eval_batches", "samples", "test_clips", "max_loss_jump"),
            at_least_1=("steps", "log_every", "save_every", "eval_every", "keep_checkpoints"),
            at_most={"epochs": 1e6},
        )


@dataclass(frozen=True)
class ComputeConfig:
    """What a run computes on and how; nothing of it but ``precision`` changes what is learnt."""

    workers: int = 1
    """Processes that read clips ahead of the loop; 0: the loop reads them itself."""
    threads: int = 0
    """Threads of torch; 0 leaves its choice."""
    activation_checkpointing: bool = False
    """Keep what goes into each block alone and compute the rest again for the gradients: less memory, more time."""
    sharded: bool = False
    """Each process holds a part of weights, gradients and optimiser state (FSDP2); under torchrun."""
    shard_over: int = 0
    """Processes, one after the other in rank, that hold a sharded model between them, such as those of a machine, while
    gradients are summed over all (hybrid sharding); 0: all processes."""
    device: str = "auto"
    """Where the model learns, such as cpu or cuda; auto: the fastest kind there is."""
    precision: Literal["auto", "fp32", "bf16", "bf32"] = "auto"
    """Of the products of a step; weights and optimiser are float32 always. bf16: autocast. bf32: linear layers alone
    multiply in bfloat16, on a CPU that has units for it. auto: bf16 on CUDA, elsewhere fp32."""

    def __post_init__(self) -> None:
        # torch ends the process where it is asked for more threads than the machine can start.
        most = {"workers": 1024, "threads": 1024}
        require(self, "compute", not_negative=("workers", "threads", "shard_over"), at_most=most)
        if self.shard_over and not self.sharded:
            raise ConfigError(f"compute.shard_over is {self.shard_over}, and does nothing without compute.sharded")


@dataclass(frozen=True)
class RunConfig:
    """A whole run. ``stage`` is one of :data:`STAGES`."""

    name: str
    stage: str = "align"
    output: str = "runs"
    """Folder in which the run's own folder, called by its name, is made."""
    seed: int = 0
    """Of all that is random: from 0 to 4294967295."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    mae: MAEConfig = field(default_factory=MAEConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ConfigError(f"stage {self.stage!r} is unknown; there are {', '.join(STAGES)}")
        require(self, "", not_negative=("seed",), at_most={"seed": 2**32 - 1})
        if not is_name(self.name):  # elsewhere a run would remove what is called like its own
            raise ConfigError(f"name {self.name!r} cannot name a folder; give one without a path")
        unknown = set(self.model.trains) - set(PARTS)
        if unknown:
            raise ConfigError(f"model.trains: no part {min(unknown)!r}; there are {', '.join(PARTS)}")
        for key in STAGES[self.stage].get("without_effect", ()):
            table, _, name = key.partition(".")
            options = getattr(self, table)
            value, default = getattr(options, name), getattr(type(options)(), name)
            if value != default:
                raise ConfigError(f"{key} is {value!r}: it has no effect in stage {self.stage}; leave it out")

    @property
    def trains(self) -> tuple[str, ...]:
        """Parts of the model that learn in full."""
        return self.model.trains or tuple(STAGES[self.stage].get("trains", ()))

    @property
    def adapters(self) -> LoraConfig:
        """The adapters of the run, on the targets of its stage where it names none; none where the decoder learns."""
        if self.lora.targets or "decoder" in self.trains:
            return self.lora
        targets = STAGES[self.stage].get("adapters", ())
        frozen = tuple(target for target in targets if target.partition(".")[0] not in self.trains)
        return dataclasses.replace(self.lora, targets=frozen)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.output) / self.name


def load_recipe(path: str | Path) -> RunConfig:
    """Read a recipe of a run. Raises what :func:`~opendasheng.recipe.read_recipe` does."""
    return read_recipe(RunConfig, path)


def to_json(config: RunConfig) -> str:
    """The resolved config, as written into the run folder."""
    return json.dumps(dataclasses.asdict(config), indent=1, sort_keys=True) + "\n"
