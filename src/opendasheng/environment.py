"""What the environment says, and what is said through it to libraries that read it."""

import os

_OFFLINE = ("OPENDASHENG_OFFLINE", "HF_HUB_OFFLINE")
_TRUE = ("1", "true", "yes", "on")


def is_offline() -> bool:
    """Whether OPENDASHENG_OFFLINE or HF_HUB_OFFLINE is set to a true value: nothing may be fetched then."""
    return any(os.environ.get(name, "").strip().lower() in _TRUE for name in _OFFLINE)


def prepare(*, offline: bool) -> None:
    """Settings that libraries read when they are imported: no chatter, and where ``offline`` no network either."""
    if offline:
        for name in (*_OFFLINE, "HF_DATASETS_OFFLINE"):
            os.environ[name] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
