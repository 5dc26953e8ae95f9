"""The experts by name. Each is imported when it is made."""

import inspect
from collections.abc import Mapping
from importlib import import_module

from opendasheng.curate.expert import Expert
from opendasheng.errors import ConfigError

_ROOM = "opendasheng.curate.experts"
EXPERTS = {
    "levels": f"{_ROOM}.levels:Levels",
    "spectrum": f"{_ROOM}.spectrum:Spectrum",
    "activity": f"{_ROOM}.activity:Activity",
    "tags": f"{_ROOM}.tags:Tags",
    "speech": f"{_ROOM}.speech:Speech",
    "pitch": f"{_ROOM}.pitch:Pitch",
    "speakers": f"{_ROOM}.speakers:Speakers",
    "quality": f"{_ROOM}.quality:Quality",
    "reverberation": f"{_ROOM}.reverberation:Reverberation",
    "emotion": f"{_ROOM}.classifier:Emotion",
    "age": f"{_ROOM}.classifier:Age",
    "voice_quality": f"{_ROOM}.classifier:VoiceQuality",
    "genre": f"{_ROOM}.classifier:Genre",
    "mood": f"{_ROOM}.classifier:Mood",
    "scene": f"{_ROOM}.classifier:Scene",
    "rhythm": f"{_ROOM}.rhythm:Rhythm",
    "match": f"{_ROOM}.match:Match",
}
"""Where each is: a module and a class in it."""


def expert_class(name: str) -> type[Expert]:
    """The class of an expert: one of ours, or ``MODULE:CLASS`` of anybody's. Raises :class:`ConfigError` for a name
    that there is not."""
    module, _, cls = EXPERTS.get(name, name).partition(":")
    if not cls:
        raise ConfigError(f"there is no expert {name!r}; there are {', '.join(EXPERTS)}, and MODULE:CLASS of your own")
    try:
        found = getattr(import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"expert {name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Expert)):
        raise ConfigError(f"expert {name}: this is no class of opendasheng.curate.expert.Expert")
    return found


def make(name: str, options: Mapping[str, str]) -> Expert:
    """An expert with its ``options``. Raises what its constructor does, and :class:`ConfigError` for an option that it
    has not."""
    cls = expert_class(name)
    known = inspect.signature(cls).parameters
    stray = sorted(set(options) - set(known))
    if stray:
        there = f"there are {', '.join(known)}" if known else "it has none"
        raise ConfigError(f"experts.{name}: no option {stray[0]!r}; {there}")
    missing = [key for key, option in known.items() if key not in options and option.default is option.empty]
    if missing:
        raise ConfigError(f"experts.{name}.{missing[0]} is not set, and the expert needs it")
    return cls(**options)
