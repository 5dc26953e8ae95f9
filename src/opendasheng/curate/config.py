"""What is curated, by whom and on what: a recipe as data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from opendasheng.data.clip import SPLITS
from opendasheng.errors import ConfigError
from opendasheng.files import is_name
from opendasheng.hub import MATCHING
from opendasheng.options import require

PERMISSIVE = "permissive"
"""In the place of names of licences: all that data/licences.toml calls so."""
_LEAST_CLIP_SECONDS = 0.1


@dataclass(frozen=True)
class InputConfig:
    """Which clips, by one of ``corpus``, ``acavcaps`` and ``audio``: the first ``limit`` of them when drawn evenly over
    their sources; 0: all."""

    corpus: str = ""
    """A built corpus (`opendasheng corpus build` or `import`)."""
    sources: tuple[str, ...] = ()
    """Names of source folders of the corpus; none: all."""
    splits: tuple[str, ...] = ()
    """Of the corpus, such as train, so that what is tested there is not curated for training; none: all."""
    limit: int = 0
    longest_seconds: float = 60.0
    """Longer clips are dropped, and told."""
    acavcaps: str = ""
    """A folder with ACAVCaps as it was released."""
    audio: str = ""
    """A folder of audio files, to be cut into clips; with ``acavcaps``, those that its clips are taken from."""
    clip_seconds: float = 10.0
    """What clips cut from ``audio`` alone last at most."""
    licence: str = ""
    """Of all recordings in ``audio`` alone."""

    def __post_init__(self) -> None:
        require(self, "input", above_zero=("longest_seconds",), not_negative=("limit",))
        stray = next((name for name in self.splits if name not in SPLITS), None)
        if stray is not None:
            raise ConfigError(f"input.splits has {stray!r}; a corpus has {', '.join(SPLITS)}")
        if self.clip_seconds < _LEAST_CLIP_SECONDS:
            raise ConfigError(f"input.clip_seconds is {self.clip_seconds:g}; it is {_LEAST_CLIP_SECONDS:g} or more")
        ways = [name for name in ("corpus", "acavcaps", "audio") if getattr(self, name)]
        if len(ways) > 1 and ways != ["acavcaps", "audio"]:
            raise ConfigError(f"input: {' and '.join(ways)} are set; clips come from one of them, leave the others out")
        if self.sources and not self.corpus:
            raise ConfigError("input.sources are those of a corpus, and input.corpus is not set; leave them out")
        if ways == ["audio"] and not self.licence.strip():
            raise ConfigError("input.licence is not set; say under which licence the recordings of input.audio are")
        if self.licence and ways != ["audio"]:
            raise ConfigError("input.licence is that of input.audio alone; other clips come with theirs, leave it out")


@dataclass(frozen=True)
class PoolConfig:
    """Experts that hear a clip one after the other in one process, and what each such process takes of a machine."""

    experts: tuple[str, ...]
    workers: int = 1
    """Processes; as many at most as the machines have room for."""
    cpus: float = 1.0
    gpus: float = 0.0
    batch_clips: int = 8
    """Clips that a process is given at a time."""

    def __post_init__(self) -> None:
        require(
            self,
            "pools",
            above_zero=("cpus",),
            not_negative=("gpus",),
            at_least_1=("workers", "batch_clips"),
            at_most={"workers": 2**16, "batch_clips": 4096, "cpus": 1024, "gpus": 64},
        )
        if not self.experts:
            raise ConfigError("pools: a pool without experts hears nothing; name some in experts")


@dataclass(frozen=True)
class WriterConfig:
    """A language model that writes captions and questions, behind servers of OpenAI's interface."""

    endpoints: tuple[str, ...] = ()
    """Addresses such as http://127.0.0.1:8080/v1, asked in turn; none, and no ``gguf``: nothing is written."""
    gguf: str = ""
    """In their place, the file of a model that is served on this machine while the run lasts (llama.cpp)."""
    context_tokens: int = 4096
    """Of the model in ``gguf``, for a prompt and its answer."""
    model: str = ""
    """Its name there; empty: the only one that the first server has."""
    clips: int = 0
    """So many of the clips in which something is heard, drawn evenly over the sources; 0: all."""
    concurrency: int = 4
    """Clips under way at a time."""
    attempts: int = 3
    """How often it is asked for the same of a clip, where its answers are not taken."""
    temperature: float = 0.7
    """Of the second and later attempts; the first takes the likeliest words."""
    max_tokens: int = 1024
    """Of an answer, its reasoning included."""
    bounded: bool = False
    """Whether the schema limits the lengths of texts and lists, which not every server takes; a ``gguf`` always has
    it."""
    timeout_seconds: float = 300.0
    server_attempts: int = 6
    """How often a server that fails is tried for one answer."""
    prompt_price: float = 0.0
    """Of a million tokens, in any currency, for the report."""
    completion_price: float = 0.0
    api_key_env: str = "OPENAI_API_KEY"
    """The variable of the environment that holds the key, if there is one."""

    def __post_init__(self) -> None:
        require(
            self,
            "writer",
            above_zero=("timeout_seconds",),
            not_negative=("clips", "temperature", "prompt_price", "completion_price"),
            at_least_1=("concurrency", "attempts", "context_tokens", "max_tokens", "server_attempts"),
            at_most={"concurrency": 1024, "attempts": 100, "context_tokens": 2**20, "server_attempts": 1000},
        )
        if self.endpoints and self.gguf:
            raise ConfigError("writer: endpoints and gguf are both set; leave one out")


@dataclass(frozen=True)
class FilterConfig:
    """Captions are compared with what the expert ``match`` reports, which needs the same ``model``."""

    model: str = ""
    """mini-match (bundled), a folder, or GLAP's weights; empty: nothing is filtered."""
    threshold: float = 0.0
    """The least cosine; a clip of which no caption reaches it is dropped (`opendasheng eval match` chooses one)."""
    text: Literal["short", "long"] = "short"
    """Which caption of a maker is compared; a small model knows short ones alone."""

    def __post_init__(self) -> None:
        if not -1 <= self.threshold <= 1:
            raise ConfigError(f"filter.threshold is {self.threshold}; a cosine is from -1 to 1")


@dataclass(frozen=True)
class SplitConfig:
    """What is kept by its licence, and what of it is for testing; a recording and its copies stay on one side."""

    licences: tuple[str, ...] = ()
    """Clips under others are dropped: names, or :data:`PERMISSIVE` for those of data/licences.toml; none: all kept."""
    test_percent: float = 5.0
    """Of the recordings, not of the clips or hours."""
    duplicate_cosine: float = 0.99
    """From this cosine of their vectors on, by the expert match, clips of like length and spectrum count as copies. It
    was measured with a small model (docs/curation.md); a lower one finds more copies, and joins more that are none."""

    def __post_init__(self) -> None:
        require(
            self, "split", not_negative=("test_percent",), shares=("duplicate_cosine",), at_most={"test_percent": 100}
        )
        if not all(name.strip() for name in self.licences):
            raise ConfigError(f"split.licences has an empty name; give names of licences, or {PERMISSIVE!r}")


@dataclass(frozen=True)
class DatasetConfig:
    """The clips that are kept, as shards for training, with a card."""

    write: bool = False
    """Whether the data set is written at the end of the run."""
    makers: tuple[Literal["acavcaps", "model", "template"], ...] = ("acavcaps", "model", "template")
    """Whose captions a clip has, those of the first whose captions reach ``filter.threshold``: the release that it came
    with, the language model, or the template. Without model its questions are left out too."""

    def __post_init__(self) -> None:
        if len(set(self.makers)) != len(self.makers) or not self.makers:
            told = ", ".join(self.makers) or "empty"
            raise ConfigError(f"dataset.makers is {told}; name each of those whose captions are taken once")


@dataclass(frozen=True)
class CurationConfig:
    """A whole run of curation."""

    name: str
    output: str = "curated"
    """Folder in which the run's own folder, called by its name, is made."""
    cluster: str = ""
    """Address of a Ray cluster, such as auto or ray://HOST:10001; empty: this machine alone."""
    patience_seconds: float = 300.0
    """How long an expert may hear one clip; then its process is ended, and the second time the clip given up."""
    input: InputConfig = field(default_factory=InputConfig)
    pools: tuple[PoolConfig, ...] = ()
    """One after the other: an expert may go by what those before it report."""
    experts: dict[str, dict[str, str]] = field(default_factory=dict)
    """Options of experts by their name, such as the folder of a model."""
    writer: WriterConfig = field(default_factory=WriterConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)

    def __post_init__(self) -> None:
        require(self, "", above_zero=("patience_seconds",))
        if not is_name(self.name):
            raise ConfigError(f"name {self.name!r} cannot name a folder; give one without a path")
        named = [expert for pool in self.pools for expert in pool.experts]
        if not named:
            raise ConfigError("pools is empty: name experts in a table [[pools]]")
        twice = next((expert for expert in named if named.count(expert) > 1), None)
        if twice is not None:
            raise ConfigError(f"pools: {twice!r} is named twice, and an expert hears a clip once")
        if self.filter.model and "match" not in named:
            raise ConfigError("filter.model is set, and no pool has the expert 'match', whose vectors it needs")
        if self.filter.model and self.experts.get("match", {}).get("model", MATCHING) != self.filter.model:
            raise ConfigError(f"filter.model is {self.filter.model!r}; set experts.match.model to the same")
        stray = sorted(set(self.experts) - set(named))
        if stray:
            raise ConfigError(f"experts.{stray[0]}: no pool has this expert; the pools have {', '.join(named)}")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.output) / self.name
