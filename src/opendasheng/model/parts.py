"""What a model is put together from, where only what training added is passed on: ``parts.json`` beside adapters."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from opendasheng.errors import CheckpointError
from opendasheng.files import is_name
from opendasheng.model.encoder import DashengEncoder
from opendasheng.model.loading import save_dasheng_encoder

PARTS = "parts.json"
ENCODER = "encoder.safetensors"
"""An encoder that comes with the adapters, since its name may mean another one day."""
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""Peft's names for the files of adapters."""
_OF_A_MODEL = ("config.json", "merges.txt", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


@dataclass(frozen=True)
class Parts:
    """An encoder, a text decoder, a projector of random weights between them, and adapters to merge in turn."""

    encoder: str
    """:data:`ENCODER` where it lies beside ``parts.json``, else a hub id, or of a path the name of the run or its last
    part."""
    encoder_sha256: str
    """:func:`digest_of_encoder`."""
    decoder: str
    """A folder, a hub id or a .gguf file; of a path, its last part."""
    decoder_sha256: str
    """:func:`digest_of_decoder`."""
    seed: int
    """Of torch's generator, which draws the projector and the embeddings of new markers."""
    adapters: tuple[str, ...]
    """Folders beside ``parts.json`` in peft's form, each for the model with those before it merged."""

    def write(self, folder: Path) -> None:
        """``parts.json`` in ``folder``."""
        (folder / PARTS).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Parts":
        """From ``parts.json`` of ``folder``. Raises :class:`CheckpointError` where it is missing or says something
        else."""
        try:
            told = json.loads((folder / PARTS).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CheckpointError(f"{folder}: no {PARTS}, so it is not known what its adapters belong to") from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder / PARTS}: it cannot be read ({error}); get it again") from error
        wanted: dict[str, type] = dict.fromkeys(cls.__annotations__, str) | {"seed": int, "adapters": list}
        if not isinstance(told, dict) or {name: type(value) for name, value in told.items()} != wanted:
            raise CheckpointError(f"{folder / PARTS}: it needs {', '.join(wanted)} and nothing else; get it again")
        if not 0 <= told["seed"] < 2**32 or not told["adapters"]:
            raise CheckpointError(
                f"{folder / PARTS}: seed {told['seed']} and {len(told['adapters'])} adapters cannot be; get it again"
            )
        for name in told["adapters"]:
            if not isinstance(name, str) or not is_name(name) or not (folder / name).is_dir():
                raise CheckpointError(f"{folder / PARTS}: no folder of adapters {name!r} beside it; get it again")
        return cls(**{**told, "adapters": tuple(told["adapters"])})


def write_encoder(encoder: DashengEncoder, path: Path) -> None:
    """An encoder as a file of its own, in float16 where that loses nothing."""
    weights = [value for value in encoder.state_dict().values() if value.is_floating_point()]
    is_half = all(torch.equal(value.half().float(), value.float()) for value in weights)
    save_dasheng_encoder(encoder, path, torch.float16 if is_half else torch.float32)


def digest_of_encoder(encoder: DashengEncoder) -> str:
    """sha256 of its weights as float32, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(f"{name} {list(tensor.shape)}\n".encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def digest_of_decoder(place: Path) -> str:
    """sha256 of a file, or of what a folder holds of a model: weights, config and tokenizer, with their names."""
    digest: Any = hashlib.sha256()
    paths = [place] if place.is_file() else sorted(path for path in place.iterdir() if _is_of_a_model(path))
    for path in paths:
        digest.update(b"" if place.is_file() else f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return str(digest.hexdigest())


def _is_of_a_model(path: Path) -> bool:
    return path.suffix == ".safetensors" or path.name in _OF_A_MODEL
