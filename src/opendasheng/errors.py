"""The one exception tree. Whatever a user can cause is a ``DashengError`` with the offending value and the way out."""


class DashengError(Exception):
    """Base of every error that OpenDasheng raises on purpose."""


class AudioError(DashengError):
    """A clip that cannot be heard: missing, empty, undecodable, too short, too long, not finite."""


class ConfigError(DashengError):
    """A configuration, recipe or option that names something impossible or unknown."""


class CheckpointError(DashengError):
    """Weights that do not fit: a missing or unexpected tensor, a wrong shape, a pickle."""


class CorpusError(DashengError):
    """A source package, shard or index that is missing, damaged or not what its checksum says. ``clip_id`` is that of
    the clip whose audio cannot be read, or empty."""

    def __init__(self, message: str = "", *, clip_id: str = "") -> None:
        super().__init__(message)
        self.clip_id = clip_id


class TrainingError(DashengError):
    """A training run that must stop: a loss that is not finite, a run folder that does not match its recipe."""


class EndpointError(DashengError):
    """A server of chat completions that cannot be asked, or that refuses a question."""


class EvaluationError(DashengError):
    """A prediction file, task, dataset or scoring model that cannot be used; the message names file, row and field."""


class CurationError(DashengError):
    """A record, journal or recipe of curation that cannot be used; the message names file, line and field."""
