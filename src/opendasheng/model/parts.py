"""What a model is put together from, where only what training added is passed on: ``parts.json`` beside adapters."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opendasheng.errors import CheckpointError
from opendasheng.model.encoder import DashengEncoder

PARTS = "parts.json"


@dataclass(frozen=True)
class Parts:
    """An encoder, a text decoder, a projector of random weights between them, and adapters to merge in turn."""

    encoder: str
    """A file, a model folder, a hub id or ``mini``."""
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
        for name in told["adapters"]:
            if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_dir():
                raise CheckpointError(f"{folder / PARTS}: no folder of adapters {name!r} beside it; get it again")
        return cls(**{**told, "adapters": tuple(told["adapters"])})


def digest_of_encoder(encoder: DashengEncoder) -> str:
    """sha256 of its weights as float32, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        if tensor.is_floating_point():
            digest.update(f"{name} {list(tensor.shape)}\n".encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def digest_of_decoder(place: Path) -> str:
    """sha256 of a file, or of the safetensors of a folder one after the other."""
    paths = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    digest: Any = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return str(digest.hexdigest())
