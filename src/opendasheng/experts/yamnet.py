"""YAMNet: scores of AudioSet's 521 classes, from an ONNX file in float or in quantised form. onnxruntime runs it.

The network takes one patch of 96 frames of log-mel at a time; see :mod:`opendasheng.experts.patches`.
"""

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendasheng.audio import Waveform
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.experts.patches import NUM_BANDS, PATCH_FRAMES, log_mel_patches

CLASS_MAP = "yamnet_class_map.csv"  # columns index, mid and display_name, as YAMNet's authors wrote it
_POOL = "GlobalAveragePool"
_LOGITS = ("Gemm", "MatMul", "Add", "Conv")  # what a graph may end in that leaves the sigmoid to us


class Yamnet:
    """The model of an ``.onnx`` file, or of a folder with one, and :data:`CLASS_MAP` beside it."""

    def __init__(self, path: str | Path) -> None:
        """Raises :class:`CheckpointError` for files that are missing, damaged or another network's, and
        :class:`ConfigError` where onnx or onnxruntime is not installed."""
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                "YAMNet needs the extra: pip install 'opendasheng[experts]' (it brings onnx and onnxruntime)"
            ) from error
        self.path = onnx_file(Path(path))
        self.names = class_names(self.path.with_name(CLASS_MAP))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a patch is little work, and one thread always adds in the same order
        options.log_severity_level = 3
        try:
            model = onnx.load(str(self.path))
            self.fingerprint = _digest(model.SerializeToString(), "\n".join(self.names).encode())
            self._graph = _Graph(model.graph)
            self._session: Any = onnxruntime.InferenceSession(
                self._graph.with_outputs(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            self._require_shapes()
        except CheckpointError as error:
            raise CheckpointError(f"{self.path}: {error}") from error
        except Exception as error:  # each of the libraries has kinds of its own for a damaged file
            words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise CheckpointError(f"{self.path}: the model cannot be loaded ({words}); fetch it again") from error

    def scores(self, audio: Waveform) -> NDArray[np.float32]:
        """float32 ``(num_windows, 521)``: how sure it is of each class in each window of 0.96 s, every 0.48 s.

        ``audio`` is mono float32 ``(S,)`` at 16 kHz. Short clips, and the last window, are filled up with zeros.
        """
        return self._run(audio)[0]

    def embeddings(self, audio: Waveform) -> NDArray[np.float32]:
        """float32 ``(num_windows, 1024)``: what the classifier reads of each window, the mean over time and bands.

        Raises :class:`CheckpointError` where the graph has no such mean.
        """
        if self._graph.pool is None:
            raise CheckpointError(f"{self.path}: the graph has no {_POOL}, so it has no embeddings")
        return self._run(audio)[1]

    def _run(self, audio: Waveform) -> list[NDArray[np.float32]]:
        found = []
        for patch in log_mel_patches(audio):
            feed = self._graph.quantised(patch.reshape(1, 1, PATCH_FRAMES, NUM_BANDS))
            found.append(self._session.run(self._graph.outputs, {self._graph.input: feed}))
        both = [np.concatenate([np.reshape(part, (1, -1)) for part in parts]) for parts in zip(*found, strict=True)]
        both[0] = self._graph.probabilities(both[0])
        return [part.astype(np.float32) for part in both]

    def _require_shapes(self) -> None:
        """A patch goes in and a score for each class comes out, which a patch of silence shows."""
        (taken,) = (item.shape for item in self._session.get_inputs())
        wanted = [1, 1, PATCH_FRAMES, NUM_BANDS]
        if len(taken) != 4 or any(isinstance(a, int) and a != b for a, b in zip(taken, wanted, strict=True)):
            raise CheckpointError(f"it takes an input of shape {taken}, and YAMNet {wanted}")
        num_scores = self.scores(np.zeros(1, dtype=np.float32)).shape[1]
        if num_scores != len(self.names):
            raise CheckpointError(f"it gives {num_scores} scores, and {CLASS_MAP} names {len(self.names)} classes")


class _Graph:
    """What has to be known of a graph to feed it and to read it."""

    def __init__(self, graph: Any) -> None:
        from onnx import numpy_helper

        constants = {item.name: item for item in graph.initializer}
        inputs = [item.name for item in graph.input if item.name not in constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise CheckpointError(
                f"it has {len(inputs)} inputs and {len(graph.output)} outputs, not one each; fetch it again"
            )
        self.input = inputs[0]
        by_output = {name: node for node in graph.node for name in node.output}
        first = next((node for node in graph.node if self.input in node.input), None)
        self._scale: float | None = None
        if first is not None and first.op_type == "DequantizeLinear":
            scale, zero = (numpy_helper.to_array(constants[name]) for name in first.input[1:3])
            self._scale, self._zero = float(scale), int(zero)
            self._dtype = zero.dtype
        # A quantised output is rounded to steps of 0.76, which ties many classes: what is rounded is read in its place.
        scores, last = graph.output[0].name, by_output[graph.output[0].name]
        while last.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scores, last = last.input[0], by_output[last.input[0]]
        self._is_logits = last.op_type in _LOGITS
        self.pool = next((node.output[0] for node in reversed(graph.node) if node.op_type == _POOL), None)
        self.outputs = [scores] + ([] if self.pool is None else [self.pool])

    def with_outputs(self, model: Any) -> Any:
        """The model with :attr:`outputs`; onnxruntime finds out their types."""
        from onnx import ValueInfoProto

        there = {item.name for item in model.graph.output}
        model.graph.output.extend(ValueInfoProto(name=name) for name in self.outputs if name not in there)
        return model

    def quantised(self, patch: NDArray[np.float32]) -> NDArray[Any]:
        """A patch as the graph takes it; values beyond its range are set to the end of it."""
        if self._scale is None:
            return patch
        limits = np.iinfo(self._dtype)
        whole = np.clip(np.rint(patch / self._scale) + self._zero, limits.min, limits.max)
        return np.asarray(whole, dtype=self._dtype)

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores within [0, 1]."""
        if not self._is_logits:
            return scores
        return np.asarray(1 / (1 + np.exp(-scores.astype(np.float64))), dtype=np.float32)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def is_yamnet(path: Path) -> bool:
    """Whether it is an ONNX file, or a folder with one and no config.json, which other models have."""
    if path.is_dir():
        return not (path / "config.json").exists() and any(path.glob("*.onnx"))
    return path.suffix == ".onnx"


def onnx_file(path: Path) -> Path:
    """The file itself, or the one in a folder. Raises :class:`CheckpointError` where there is none, or several."""
    found = sorted(path.glob("*.onnx")) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise CheckpointError(f"{path}: there is no ONNX file")
    if len(found) > 1:
        raise CheckpointError(f"{path}: it holds {', '.join(file.name for file in found)}; name one of them")
    return found[0]


def class_names(path: Path) -> tuple[str, ...]:
    """The display names of a class map, by index. Raises :class:`CheckpointError` for what is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(int(row["index"]), row["display_name"]) for row in csv.DictReader(file)]
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no such file; put YAMNet's class map there (index,mid,display_name)"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise CheckpointError(f"{path}: it cannot be read as a class map ({error!r}); fetch it again") from error
    if not rows or [index for index, _ in rows] != list(range(len(rows))) or not all(name for _, name in rows):
        raise CheckpointError(f"{path}: its rows are not numbered from 0 on and named; fetch it again")
    return tuple(name for _, name in rows)
