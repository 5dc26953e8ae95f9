"""OpenDasheng: an open implementation of MiDashengLM. Importing this loads neither torch nor transformers."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opendasheng.audio import load_audio as load_audio
    from opendasheng.engine import Engine as Engine
    from opendasheng.engine import Result as Result
    from opendasheng.engine import load as load
    from opendasheng.lengths import num_audio_tokens as num_audio_tokens

__version__ = "0.1.0"

# What transformers imports where it is installed tells at length which kernels it does without.
for _library in ("bitsandbytes", "torchao", "torch.utils._pytree"):
    logging.getLogger(_library).setLevel(logging.ERROR)

_HOME = {
    "Engine": "opendasheng.engine",
    "Result": "opendasheng.engine",
    "load": "opendasheng.engine",
    "load_audio": "opendasheng.audio",
    "num_audio_tokens": "opendasheng.lengths",
}

__all__ = ["Engine", "Result", "__version__", "load", "load_audio", "num_audio_tokens"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'opendasheng' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
