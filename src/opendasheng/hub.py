"""From the name of a model to a local folder in the released layout: the bundled one, a folder, or a hub id."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from opendasheng.environment import is_offline
from opendasheng.errors import CheckpointError

BUNDLED = "mini"
MATCHING = "mini-match"
"""The bundled audio-text model."""

# What a model needs; pickles and remote code stay where they are.
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TOKENIZERS = ("tokenizer.json", "vocab.json", "tokenizer.model")
_MODEL_TYPES = ("midashenglm", "miaudiollm")  # the second in early snapshots (SPEC 4.6)

_SAMPLES, _SAMPLE_BYTES = 64, 2**14


def bundled_folder() -> Path:
    """Where the bundled model belongs, whether or not it has been built."""
    return Path(str(files("opendasheng"))) / BUNDLED


def resolve(name: str | os.PathLike[str], revision: str | None = None, offline: bool | None = None) -> Path:
    """The folder of a model: ``"mini"``, a folder in the released layout, or a hub id, fetched where needed.

    ``revision`` is a branch, tag or commit of a hub id. ``offline`` takes what the cache holds and asks no
    server; None leaves that to HF_HUB_OFFLINE and OPENDASHENG_OFFLINE. HF_ENDPOINT, HF_HOME and HF_TOKEN
    are those of huggingface_hub. Raises :class:`CheckpointError`, in one line, when there is no such model.
    """
    if not isinstance(name, str | os.PathLike):
        raise CheckpointError(f"a model is named by a text or a path, not {name!r}")
    if name == BUNDLED:
        folder = _require_bundled(bundled_folder(), name)
    elif Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    elif Path(name).is_file():
        raise CheckpointError(f"{name}: that is a file; a model is the folder with its config.json")
    elif isinstance(name, str) and _HUB_ID.fullmatch(name) and not name.startswith("."):
        folder = download(name, revision, offline)
    else:
        raise CheckpointError(f"{name}: no such folder, and neither {BUNDLED!r} nor a hub id such as owner/model")
    _require_model(folder, str(name))
    return folder


def place(name: str, also: Sequence[str] = ()) -> Path:
    """A file or folder that is there, :data:`MATCHING`, or the folder of a model of the hub, whatever its kind; of that
    also files of the names ``also`` are fetched. Raises what :func:`resolve` does."""
    if name == MATCHING:
        return _require_bundled(Path(str(files("opendasheng"))) / MATCHING.replace("-", "_"), name)
    path = Path(name).expanduser()
    if path.exists():
        return path
    if name.startswith((".", "/", "~")):
        raise CheckpointError(f"{name}: no such file or folder")
    return download(name, also=also)


def download(repo: str, revision: str | None = None, offline: bool | None = None, *, also: Sequence[str] = ()) -> Path:
    """The folder of a model of the hub, whatever its kind, with what models need and files of the names ``also``.
    Raises what :func:`resolve` does."""
    import httpx
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    if offline is None:
        offline = is_offline()
    where = repo if revision is None else f"{repo} at {revision}"
    try:
        wanted = [*_WANTED, *also]
        return Path(snapshot_download(repo, revision=revision, allow_patterns=wanted, local_files_only=bool(offline)))
    except hub.GatedRepoError as error:
        reason = "the hub shows it only to accounts that were let in: accept its terms and set HF_TOKEN"
        raise CheckpointError(f"{where}: {reason}") from error
    except hub.RepositoryNotFoundError as error:
        reason = "neither a folder here nor a model on the hub (a private one needs HF_TOKEN)"
        raise CheckpointError(f"{where}: {reason}") from error
    except (hub.RevisionNotFoundError, hub.RevisionResolutionError) as error:
        raise CheckpointError(f"{where}: the model has no such revision; leave it out for the newest") from error
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled) as error:
        reason = "it is not in the cache, and the hub is out of reach or switched off (offline)"
        raise CheckpointError(f"{where}: {reason}; connect, or name a folder") from error
    except (httpx.HTTPError, OSError, ValueError) as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(f"{where}: it cannot be fetched ({words}); try again, or name a folder") from error


def _require_bundled(folder: Path, name: str) -> Path:
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{name}: the bundled model is not part of this installation ({folder}); name a folder or a hub id"
        )
    return folder


def _require_model(folder: Path, name: str) -> None:
    kind = read_config(folder, name).get("model_type")
    if kind not in _MODEL_TYPES:
        raise CheckpointError(f"{name}: config.json describes a {kind!r} model, not a {_MODEL_TYPES[0]!r} one")
    # Without them transformers would make up an empty tokenizer.
    if not any((folder / file).is_file() for file in _TOKENIZERS):
        raise CheckpointError(f"{name}: no tokenizer in this model folder: it needs one of {', '.join(_TOKENIZERS)}")


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """``config.json`` of a folder; :class:`CheckpointError` when it is missing or is not a JSON object."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{name}: no config.json, so this is not a model folder") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name}: config.json cannot be read ({error}); fetch the model again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{name}: config.json is not a JSON object; fetch the model again")
    return config


def fingerprint(folder: Path, weights: str = ".safetensors") -> str:
    """16 hex digits that tell models apart: of the small files, and of samples spread over the weights.

    The whole of small weight files, 1 MiB of each large one: enough to see any training, quick for any size.
    ``weights`` is how their names end; of a file of weights its folder counts.
    """
    digest = hashlib.sha256()
    for path in sorted((folder.parent if folder.is_file() else folder).iterdir()):
        if path.suffix not in (".json", ".jinja", ".txt", weights) or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _SAMPLES * _SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for number in range(_SAMPLES):
                file.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]
