"""Synthesisers that say next to nothing: a script in Flite's place, modules in Hibari's, a graph in Kokoro's."""

import sys
import types
from pathlib import Path

import numpy as np
import tiny_packages as packages
from onnx import TensorProto, helper, numpy_helper

from opendasheng.corpora import kokoro
from opendasheng.corpora.debian import Package

KOKORO_NAMES = ("af_a", "am_b", "bf_c", "bm_d", "zf_e")


def flite(folder: Path, program: str | None = None) -> dict[str, Package]:
    """Packages whose Flite is the shell script ``program``; without one it says a tone, whatever it is to say."""
    if program is None:
        wave = folder / "wave"
        wave.write_bytes(packages.tone())
        program = f"#!/bin/sh\n/bin/cat {wave}\n"
    library = "usr/lib/x86_64-linux-gnu/libflite.so.2.2"
    made = {"flite": {"usr/bin/flite": program.encode()}, "libflite1": {library: b"a library"}}
    return {name: packages.package(folder, name, files) for name, files in made.items()}


def hibari(monkeypatch) -> None:
    """Modules in the place of Hibari's: a tone as long as the text; a phoneme a letter, upper case in British."""

    class Hibari:
        def __call__(self, text: str, *, speed: float, seed: int) -> np.ndarray:
            assert 0.8 <= speed <= 1.25
            assert seed == 0
            return 0.1 * np.sin(np.arange(2400 * len(text), dtype=np.float32))

        def ids(self, phonemes: str) -> list[int]:
            return [0, *map(ord, phonemes), 0]

    def g2p(*, british: bool):
        return lambda text: text.upper() if british else text.replace(" ", "")

    module, phonemes = types.ModuleType("hibari"), types.ModuleType("hibari.g2p")
    module.Hibari, module.SAMPLE_RATE, phonemes.G2P = Hibari, 24_000, g2p
    monkeypatch.setitem(sys.modules, "hibari", module)
    monkeypatch.setitem(sys.modules, "hibari.g2p", phonemes)


def kokoro_packages(folder: Path) -> dict[str, Package]:
    """Packages of a model that says, for each token, the mean of the style, and then the speed."""
    content, parts = _model(), kokoro.PACKAGES[1:]
    cuts = [len(content) * part // len(parts) for part in range(len(parts) + 1)]
    made = {
        name: packages.package(folder, name, {f"part_{number}/part.bin": content[cuts[number] : cuts[number + 1]]})
        for number, name in enumerate(parts)
    }
    voices = {f"kokoro.js/voices/{name}.bin": _style(place).tobytes() for place, name in enumerate(KOKORO_NAMES)}
    made["kokoro"] = packages.source_archive(folder / "kokoro-1.tar.gz", voices | {"kokoro.js/voices/README": b""})
    return made


def _model() -> bytes:
    numbers = {"of_style": np.array([1]), "zero": np.float32(0), "shape": np.array([1]), "zero_axis": np.array([0])}
    nodes = [
        helper.make_node("ReduceMean", ["style", "of_style"], ["mean"], keepdims=1),
        helper.make_node("Cast", ["tokens"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "mean"], ["level"]),
        helper.make_node("Reshape", ["speed", "shape"], ["pace"]),
        helper.make_node("Squeeze", ["level", "zero_axis"], ["flat"]),
        helper.make_node("Concat", ["flat", "pace"], ["audio"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["m"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(made.SerializeToString())


def _style(place: int) -> np.ndarray:
    """The style of a voice by the number of phonemes: each row is of one value, another for each voice and row."""
    return np.repeat((100 * place + np.arange(510, dtype="<f4"))[:, None], 256, axis=1)
