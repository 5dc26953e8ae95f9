"""X-ARES's data on disk: a folder for each task, with WebDataset tars of ``KEY.flac`` (or another) and ``KEY.json``."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from opendasheng.audio import load_audio
from opendasheng.data.shards import encode_flac
from opendasheng.errors import DashengError, EvaluationError
from opendasheng.evaluate.xares.dataset import Audio, Sample, Split
from opendasheng.evaluate.xares.tasks import Loan, Task
from opendasheng.files import write_atomically

AUDIO_TYPES: Final = ("flac", "wav", "mp3", "ogg", "m4a", "wma")
READY: Final = ".audio_tar_ready"  # what the package leaves in a folder whose data are all there
_MEMBER: Final = re.compile(r"((?:.*/)?[^.]+)\.([^/]*)")
_SAMPLES, _SAMPLE_BYTES = 64, 2**14


@dataclass(frozen=True)
class _Place:
    """Where a member lies in a tar."""

    tar: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.tar.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class TarDataset:
    """The tars of one official task below ``root``, in the order of their names; audio is decoded when asked for.

    Any rate and number of channels: channels are averaged, other rates resampled (by soxr, where the package takes
    torchaudio's windowed sinc).
    """

    def __init__(self, root: str | Path, task: Task) -> None:
        self.folder = Path(root) / task.name
        self.task = task

    def split(self, name: str) -> Split:
        """The samples of a split or fold.

        Raises :class:`EvaluationError` where there is no such tar, or one is damaged, or audio comes without JSON.
        """
        pattern = self.task.splits[name]
        tars = sorted(self.folder.glob(pattern))
        if not tars:
            raise EvaluationError(
                f"{self.folder}: no {pattern} for the split {name} of {self.task.title}; unpack the task's data there"
            )
        samples = [sample for tar in tars for sample in _samples(tar)]
        return Split(tuple(samples), hashlib.sha256("".join(map(_fingerprint, tars)).encode()).hexdigest())


def is_there(root: str | Path, task: Task) -> bool:
    """Whether a task has tars for all of its splits below ``root``."""
    return all(any((Path(root) / task.name).glob(pattern)) for pattern in task.splits.values())


def _samples(tar: Path) -> Iterable[Sample]:
    found: dict[str, dict[str, _Place]] = {}
    try:
        with tarfile.open(tar, "r:") as archive:
            for member in archive:
                match = _MEMBER.fullmatch(member.name)
                if member.isfile() and match:
                    found.setdefault(match[1], {})[match[2].lower()] = _Place(tar, member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise EvaluationError(f"{tar}: not a readable tar ({error}); fetch it again") from error
    for key, places in found.items():
        audio = next((places[kind] for kind in AUDIO_TYPES if kind in places), None)
        if audio is None or "json" not in places:
            raise EvaluationError(f"{tar}: {key} has {', '.join(places)}; a sample is an audio file and a JSON file")
        yield Sample(key, _json(places["json"], key), _Decoder(audio, key))


@dataclass(frozen=True)
class _Decoder:
    place: _Place
    key: str

    def __call__(self) -> Audio:
        try:
            return load_audio(self.place.read())
        except DashengError as error:
            raise EvaluationError(f"{self.place.tar}: {self.key}: {error}") from error


def _json(place: _Place, key: str) -> Any:
    try:
        return json.loads(place.read())
    except ValueError as error:
        raise EvaluationError(f"{place.tar}: {key}.json is not JSON ({error})") from error


def _fingerprint(tar: Path) -> str:
    """Name, size, and samples spread over the content: audio that was exchanged shows, and large tars stay quick."""
    size = tar.stat().st_size
    digest = hashlib.sha256(f"{tar.name}\0{size}\0".encode())
    with tar.open("rb") as file:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            digest.update(file.read())
        else:
            for number in range(_SAMPLES):
                file.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def write_task(root: str | Path, task: Task, splits: Mapping[str, Iterable[Sample]]) -> Path:
    """Write data in the format of ``task``: one tar of 16 kHz mono FLAC for each split or fold; the task's folder.

    The package then takes the data for downloaded. The same samples give the same bytes. Where validation and test
    share their tars, those of test are written. Raises :class:`EvaluationError` for a split that the task lacks, for
    one that is not given, and where the folder is there already.
    """
    folder = Path(root) / task.name
    if folder.exists():
        raise EvaluationError(f"{folder}: it exists already; nothing is overwritten, choose another folder")
    if set(splits) != set(task.splits):
        raise EvaluationError(f"{task.name}: its splits are {', '.join(task.splits)}, not {', '.join(splits)}")
    folder.mkdir(parents=True)
    for file, samples in {task.splits[name].replace("*", "-000000"): splits[name] for name in task.splits}.items():
        write_atomically(folder / file, _tar(samples))
    (folder / READY).touch()
    return folder


def _tar(samples: Iterable[Sample]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            words = json.dumps(sample.json, ensure_ascii=False, sort_keys=True).encode()
            for kind, content in (("flac", encode_flac(sample.audio())), ("json", words)):
                header = tarfile.TarInfo(f"{sample.key}.{kind}")
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def lend(sample: Sample, task: Task, loan: Loan, official: Task) -> Sample | None:
    """A sample of our ``task`` in the words of the official one; None where those lack its label."""
    ours, theirs = task.label, official.label
    if ours.events is not None and theirs.events is not None:
        events = [
            {
                theirs.events[0]: event[ours.events[0]],
                theirs.events[1]: event[ours.events[1]],
                theirs.key: loan.values[event[ours.key]],
            }
            for event in sample.json
            if event[ours.key] in loan.values
        ]
        return replace(sample, json=events) if events else None
    value = loan.values.get(sample.json[ours.key])
    return None if value is None else replace(sample, json={theirs.key: value})
