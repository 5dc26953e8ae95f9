"""Speaker verification as a question about one clip: two utterances, one after the other, of the same speaker or not.

This is the protocol of the paper's VoxCeleb1 row (Table 9). Which pairs it made is not published, nor how many; here
they are half and half, drawn by a seed, and the same on every machine.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from opendasheng.audio import load_audio
from opendasheng.data.shards import encode_flac
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.rows import hash64
from opendasheng.files import write_atomically
from opendasheng.lengths import SAMPLE_RATE_HZ
from opendasheng.progress import Progress

ROWS = "metadata.jsonl"  # what makes the folder one of audio with rows (sources.files)
_PLAN = "plan.json"
_AUDIO = "audio"
_SUFFIXES = frozenset({".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav"})
_SHOWN = 3


@dataclass(frozen=True, order=True)
class Utterance:
    """A recording of one speaker; ``path`` is below the root that pairs are written from, with forward slashes.

    ``session`` tells recordings apart that were cut into several utterances (in VoxCeleb, a video); "" for none.
    """

    speaker: str
    path: str
    session: str = ""


@dataclass(frozen=True, order=True)
class Pair:
    """Two paths in the order in which they are heard, and whether one speaker says both."""

    first: str
    second: str
    same: bool


@dataclass(frozen=True)
class PairOptions:
    """How pairs are written: seconds of silence between the two, and what an answer calls same and different.

    The words of the published references are not known; the question ("Are the two speakers in this utterance the
    same?") asks for yes or no.
    """

    gap_seconds: float = 0.0
    labels: tuple[str, str] = ("yes", "no")

    def __post_init__(self) -> None:
        if not 0 <= self.gap_seconds <= 60:
            raise EvaluationError(f"a gap of {self.gap_seconds} seconds is not within 0 and 60")
        if not all(label.strip() for label in self.labels) or self.labels[0] == self.labels[1]:
            raise EvaluationError(f"labels are {self.labels!r}; give two different words, such as yes and no")


class Draw:
    """Whole numbers drawn from a seed: the same ones on every machine and in every version of Python."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, 0

    def below(self, limit: int) -> int:
        """A number of 0 to ``limit - 1``."""
        self._count += 1
        return hash64(f"{self._seed}/{self._count}") % limit

    def distinct(self, limit: int, count: int) -> list[int]:
        """``count`` different numbers below ``limit``, every set of them as likely; in memory of ``count``."""
        taken: dict[int, None] = {}
        for last in range(limit - count, limit):
            number = self.below(last + 1)
            taken[last if number in taken else number] = None
        return list(taken)

    def shuffled(self, items: Iterable[Any]) -> list[Any]:
        """The items in a random order."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed


def find_utterances(folder: Path) -> list[Utterance]:
    """The audio files of a folder ``speaker/.../utterance.wav``: the first level names the speaker, levels between a
    session.

    Raises :class:`EvaluationError` for a folder that is not there or has no such file.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: there is no such folder")
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.suffix.lower() in _SUFFIXES and len(parts) > 1 and not hidden and path.is_file():
            found.append(Utterance(parts[0], "/".join(parts), "/".join(parts[1:-1])))
    if not found:
        raise EvaluationError(f"{folder}: no audio file in it lies in a folder of its speaker (speaker/utterance.wav)")
    return found


def read_trials(path: Path) -> list[Pair]:
    """The pairs of a trial list: lines of 1 (same) or 0 and two paths, as VoxCeleb has them. Blank lines are left out.

    Raises :class:`EvaluationError` with file and line for another form, an utterance beside itself, and for a pair that
    is both same and different; a pair that comes twice is one.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: it cannot be read as a list of trials ({error})") from error
    found: dict[frozenset[str], Pair] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or words[0] not in ("0", "1"):
            raise EvaluationError(f"{path}: line {number}: {line[:60]!r} is not 1 or 0 and two paths")
        if any(word.startswith("/") for word in words[1:]):
            raise EvaluationError(
                f"{path}: line {number}: paths are below a root (--root), not absolute as in {line!r}"
            )
        pair = Pair(words[1], words[2], words[0] == "1")
        if pair.first == pair.second:
            raise EvaluationError(f"{path}: line {number}: {pair.first!r} stands beside itself")
        if found.setdefault(frozenset(words[1:]), pair).same != pair.same:
            raise EvaluationError(f"{path}: line {number}: this pair has the other label in a line before")
    if not found:
        raise EvaluationError(f"{path}: it holds no trials")
    return list(found.values())


def choose_trials(trials: Sequence[Pair], num_pairs: int, seed: int = 0) -> list[Pair]:
    """``num_pairs`` of the trials, half same and half different, whatever their order in the list.

    Raises :class:`EvaluationError` for an odd number, or where one of the halves has too few.
    """
    half, draw = _half(num_pairs), Draw(seed)
    chosen: list[Pair] = []
    for same in (True, False):
        fitting = sorted(pair for pair in trials if pair.same == same)
        _require(half, len(fitting), "same" if same else "different")
        chosen += [fitting[i] for i in draw.distinct(len(fitting), half)]
    return draw.shuffled(sorted(chosen))


def choose_pairs(utterances: Sequence[Utterance], num_pairs: int, seed: int = 0) -> list[Pair]:
    """``num_pairs`` pairs, half of one speaker and half of two; none comes twice, whichever is first.

    Speakers have as many pairs with themselves as can be made equal, of different sessions where they have several.
    Pairs of two speakers are drawn from all utterances. The order of ``utterances`` changes nothing.

    Raises :class:`EvaluationError` for an odd number, for speakers with a single utterance (named), and where there are
    too few pairs.
    """
    half, draw = _half(num_pairs), Draw(seed)
    ordered = sorted(set(utterances))
    if len({utterance.path for utterance in ordered}) < len(ordered):
        raise EvaluationError("an utterance belongs to two speakers or sessions; name each file once")
    of_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in ordered:
        of_speaker[utterance.speaker].append(utterance)
    alone = [speaker for speaker, own in of_speaker.items() if len(own) == 1]
    if alone:
        shown = ", ".join(alone[:_SHOWN]) + (f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else "")
        raise EvaluationError(f"one utterance cannot make a pair: {shown} ({len(alone)} in all); leave them out")
    chosen = _of_one_speaker(of_speaker, half, draw) + _of_two_speakers(ordered, of_speaker, half, draw)
    heard = [(a, b) if draw.below(2) else (b, a) for a, b in chosen]
    return draw.shuffled([Pair(a.path, b.path, a.speaker == b.speaker) for a, b in heard])


def write_pairs(
    pairs: Sequence[Pair], root: Path, output: Path, options: PairOptions | None = None, *, bar: bool = False
) -> Path:
    """Write each pair as one FLAC file, 16 kHz mono, and the rows about them; the path of the rows.

    ``output`` then holds ``audio/00000.flac``, ... and ``metadata.jsonl`` with id, file_name and audio (both the file),
    label, cluster (the speaker of the first utterance, by its folder) and the two utterances; ``--data`` takes it. The
    rows are written last: a folder with them is a finished one. After a kill the same call goes on where it stood.

    Raises :class:`EvaluationError` for a folder that holds other pairs, :class:`AudioError` for an utterance that
    cannot be heard.
    """
    options = options or PairOptions()
    (output / _AUDIO).mkdir(parents=True, exist_ok=True)
    _claim(output, pairs, options)
    rows = []
    with Progress(len(pairs), bar=bar) as progress:
        for number, pair in enumerate(pairs):
            name = f"{_AUDIO}/{number:05d}.flac"
            if not (output / name).exists():
                write_atomically(output / name, _joined(pair, root, options.gap_seconds))
            rows.append(_row(pair, number, name, options))
            progress.advance()
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(output / ROWS, text.encode())
    return output / ROWS


def _half(num_pairs: int) -> int:
    if num_pairs < 2 or num_pairs % 2:
        raise EvaluationError(f"the number of pairs is {num_pairs}; half are same, half different: give an even one")
    return num_pairs // 2


def _require(wanted: int, there: int, kind: str) -> None:
    if wanted > there:
        raise EvaluationError(
            f"{wanted} pairs of {kind} speakers are wanted and {there} can be made; give a smaller number"
        )


def _of_one_speaker(
    of_speaker: dict[str, list[Utterance]], count: int, draw: Draw
) -> list[tuple[Utterance, Utterance]]:
    """Pairs of utterances of one speaker each; speaker by speaker in turns until there are enough."""
    room = {speaker: _num_within(own) for speaker, own in of_speaker.items()}
    _require(count, sum(room.values()), "same")
    quota = dict.fromkeys(room, 0)
    left = count
    while left:
        open_ones = [speaker for speaker in room if quota[speaker] < room[speaker]]
        share = max(1, min(left // len(open_ones), min(room[s] - quota[s] for s in open_ones)))
        for speaker in open_ones if left >= len(open_ones) else draw.shuffled(open_ones)[:left]:
            quota[speaker] += share
            left -= share
    return [pair for speaker, own in of_speaker.items() for pair in _within(own, quota[speaker], draw)]


def _num_within(own: Sequence[Utterance]) -> int:
    """How many pairs of one speaker there are: of different sessions, unless all are of one."""
    sizes: dict[str, int] = defaultdict(int)
    for utterance in own:
        sizes[utterance.session] += 1
    every = _choose_two(len(own))
    return every if len(sizes) == 1 else every - sum(map(_choose_two, sizes.values()))


def _within(own: Sequence[Utterance], count: int, draw: Draw) -> list[tuple[Utterance, Utterance]]:
    several = len({utterance.session for utterance in own}) > 1
    return _drawn(own, count, _num_within(own), lambda a, b: not several or a.session != b.session, draw)


def _of_two_speakers(
    ordered: Sequence[Utterance], of_speaker: dict[str, list[Utterance]], count: int, draw: Draw
) -> list[tuple[Utterance, Utterance]]:
    """Pairs of utterances of two speakers."""
    there = _choose_two(len(ordered)) - sum(_choose_two(len(own)) for own in of_speaker.values())
    _require(count, there, "different")
    return _drawn(ordered, count, there, lambda a, b: a.speaker != b.speaker, draw)


def _drawn(
    items: Sequence[Utterance], count: int, there: int, fits: Callable[[Utterance, Utterance], bool], draw: Draw
) -> list[tuple[Utterance, Utterance]]:
    """``count`` of the ``there`` pairs of items that fit, every set of them as likely."""
    if 2 * count > there:
        fitting = [pair for pair in combinations(items, 2) if fits(*pair)]
        return [fitting[i] for i in draw.distinct(there, count)]
    # Of far more than are wanted: draw, and draw again for what does not fit.
    found: dict[tuple[int, int], None] = {}
    while len(found) < count:
        low, high = sorted((draw.below(len(items)), draw.below(len(items))))
        if low != high and fits(items[low], items[high]):
            found[low, high] = None
    return [(items[low], items[high]) for low, high in found]


def _choose_two(count: int) -> int:
    return count * (count - 1) // 2


def _claim(output: Path, pairs: Sequence[Pair], options: PairOptions) -> None:
    """Note in the folder what it is for, or see that it is for the same."""
    listed = json.dumps([[pair.first, pair.second, pair.same] for pair in pairs])
    plan = {
        "num_pairs": len(pairs),
        "gap_seconds": options.gap_seconds,
        "labels": list(options.labels),
        "pairs_sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }
    path = output / _PLAN
    if path.exists():
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            found = None
        if found != plan:
            raise EvaluationError(
                f"{output}: it holds pairs of another number, seed, gap or label; choose another --output"
            )
    elif (output / ROWS).exists() or any((output / _AUDIO).iterdir()):
        raise EvaluationError(f"{output}: it holds files that this command did not write; choose another --output")
    else:
        write_atomically(path, json.dumps(plan, indent=2).encode())


def _joined(pair: Pair, root: Path, gap_seconds: float) -> bytes:
    """Both utterances of a pair as one FLAC file."""
    silence = np.zeros(round(gap_seconds * SAMPLE_RATE_HZ), dtype=np.float32)
    return encode_flac(np.concatenate([load_audio(root / pair.first), silence, load_audio(root / pair.second)]))


def _row(pair: Pair, number: int, name: str, options: PairOptions) -> dict[str, Any]:
    return {
        "id": f"pair-{number:05d}",
        "file_name": name,
        "audio": name,
        "label": [options.labels[0] if pair.same else options.labels[1]],
        "cluster": pair.first.partition("/")[0],
        "utterances": [pair.first, pair.second],
    }
