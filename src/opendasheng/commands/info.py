"""``opendasheng info``: what is installed, what it runs on, and which model is bundled."""

import argparse
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "numpy", "soundfile", "soxr")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``info``."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it all; 0."""
    found = collect()
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for topic, facts in found.items():
        print(topic)
        for name, value in facts.items():
            print(f"  {name:16} {', '.join(value) if isinstance(value, list) else value}")
    return 0


def collect() -> dict[str, dict[str, Any]]:
    """``versions``, ``machine`` and ``bundled`` (the model), as plain values."""
    import soundfile
    from huggingface_hub.constants import HF_HUB_CACHE

    from opendasheng import __version__

    versions = {"opendasheng": __version__, "python": platform.python_version()}
    versions |= {name: _version(name) for name in _PACKAGES} | {"libsndfile": soundfile.__libsndfile_version__}
    return {"versions": versions, "machine": {**_machine(), "cache": HF_HUB_CACHE}, "bundled": _bundled()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, Any]:
    import torch

    devices = [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return {
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": [*devices, "cpu"],
    }


def _bundled() -> dict[str, Any]:
    from opendasheng.hub import BUNDLED, bundled_folder

    folder = bundled_folder()
    weights = sorted(folder.glob("*.safetensors")) if (folder / "config.json").is_file() else []
    if not weights:
        return {"name": BUNDLED, "state": "not built"}
    return {"name": BUNDLED, "path": str(folder), "parameters": sum(map(_num_parameters, weights))}


def _num_parameters(path: Path) -> int:
    """Numbers in the weights of a safetensors file, buffers included; only its header is read."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    total = 0
    for shape in shapes:
        count = 1
        for extent in shape:
            count *= extent
        total += count
    return total
