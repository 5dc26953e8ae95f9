"""Where a model runs."""

import torch

from opendasheng.errors import ConfigError


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device of a name such as "cpu" or "cuda:1"; "auto" is the fastest kind there is.

    Raises :class:`ConfigError` for one that this machine has not.
    """
    kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(kind for kind, present in kinds.items() if present))
    present = ", ".join(kind for kind, here in kinds.items() if here)
    try:
        picked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"device {device!r} is none; this machine has {present}") from error
    beyond = picked.type == "cuda" and (picked.index or 0) >= torch.cuda.device_count()
    if not kinds.get(picked.type, False) or beyond:
        raise ConfigError(f"device {str(device)!r} is not on this machine, which has {present}")
    return picked
