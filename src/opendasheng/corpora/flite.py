"""Flite, a synthesiser that comes as a program: four voices, at any pace and pitch."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from opendasheng.corpora.debian import Package
from opendasheng.corpora.spoken import Voice, number
from opendasheng.errors import CorpusError

PACKAGES = ("libflite1", "flite")
VOICES = (
    Voice("slt", "female", 20, 170.0),
    Voice("awb", "male", 17, 110.0),
    Voice("rms", "male", 17, 95.0),
    Voice("kal", "male", 6, 100.0),
)
_TIMEOUT_SECONDS = 60


class Flite:
    """The program of ``packages``, unpacked as long as the context lasts."""

    def __init__(self, packages: Mapping[str, Package]) -> None:
        self._unpacked = tempfile.TemporaryDirectory(prefix="opendasheng-flite-")
        self._folder = Path(self._unpacked.name)
        for package in PACKAGES:
            for path, content in packages[package].members(_is_wanted):
                (self._folder / Path(path).name).write_bytes(content)
        for library in self._folder.glob("*.so.*"):  # the packages link the short name to the long one
            library.with_name(re.sub(r"\.so\..*", ".so.1", library.name)).write_bytes(library.read_bytes())
        (self._folder / "flite").chmod(0o755)

    def __enter__(self) -> "Flite":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unpacked.cleanup()

    def say(self, text: str, voice: Voice) -> bytes:
        """A WAV file, at 0.85 to 1.25 of the voice's pace and 0.85 to 1.2 of its pitch.

        Raises :class:`CorpusError` where the program fails.
        """
        stretch, pitch = 0.85 + 0.4 * number(text, "pace"), voice.pitch_hz * (0.85 + 0.35 * number(text, "pitch"))
        values = f"duration_stretch={stretch:.3f}", f"int_f0_target_mean={pitch:.1f}"
        settings = [argument for value in values for argument in ("--setf", value)]
        command = [str(self._folder / "flite"), "-voice", voice.name, *settings, "-t", text, "-o", "/dev/stdout"]
        try:
            done = subprocess.run(
                command,
                env={"LD_LIBRARY_PATH": str(self._folder)},
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CorpusError(f"flite cannot say {text!r}: {error}") from error
        if done.returncode:
            raise CorpusError(f"flite cannot say {text!r}: {done.stderr.decode(errors='replace').strip()[-200:]}")
        return done.stdout


def _is_wanted(path: str) -> bool:
    return path == "usr/bin/flite" or bool(re.fullmatch(r"usr/lib/[^/]+/lib\w+\.so\.[\d.]+", path))
