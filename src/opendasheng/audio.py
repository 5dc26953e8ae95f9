"""From a path, URL, bytes or array to a waveform: mono float32 at 16 kHz. No torch.

soundfile (libsndfile) decodes, soxr resamples; ffmpeg is asked only for what libsndfile cannot read, and
only if it is there. Whatever cannot be heard in full raises ``AudioError`` with the name of the clip, the
figure and the way out: nothing is cut, padded or replaced in silence.
"""

import io
import operator
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from opendasheng import containers
from opendasheng.errors import AudioError
from opendasheng.lengths import SAMPLE_RATE_HZ as SAMPLE_RATE_HZ

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
MAX_ARRAY_CHANNELS = 8

_BLOCK_VALUES = 2**20  # samples x channels decoded at a time
_UNKNOWN_SAMPLES = 2**62  # libsndfile reports a huge count where the header states none
# By how much good files promise too much: MP3 up to a frame at either end, Vorbis within its last block.
_EDGE_SAMPLES = {"MP3": 2 * 1152, "OGG": 8192}
_FULL_SCALE = {np.dtype(np.int8): 2.0**7, np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}
# Demuxers whose files are judged by ``containers`` or by ffmpeg itself when they break off. Playlists are
# left out: they name other files and addresses.
_FFMPEG_FORMATS = "mov,mp4,m4a,3gp,matroska,webm,asf,aac,amr,mp3,ogg,wav,aiff,caf"
_FFMPEG_TIMEOUT_SECONDS = 600.0

Waveform: TypeAlias = NDArray[np.float32]


class SupportsNumpy(Protocol):
    """A tensor of any library: something with ``.numpy()``."""

    def numpy(self) -> NDArray[Any]: ...


AudioSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | BinaryIO | NDArray[Any] | SupportsNumpy


def load_audio(source: AudioSource, sampling_rate: int | None = None, *, max_seconds: float | None = None) -> Waveform:
    """Load one clip as mono float32 ``(S,)`` at 16 kHz, nominally within [-1, 1].

    ``source`` is a path, an http(s) URL, the bytes of an audio file, a binary file object (read from where it
    stands), or an array or tensor of samples. Channels are averaged; other rates are resampled (soxr HQ).

    An array is ``(S,)``, ``(S, C)`` or ``(C, S)``: the shorter axis is the channels, at most 8 of them, and
    a square array is refused. Floats are taken as they are; int8, int16, int32 (full scale) and uint8
    (offset 128) are scaled to [-1, 1]. ``sampling_rate`` in Hz belongs to arrays and is required for them;
    encoded audio carries its own.

    Raises AudioError for whatever cannot be heard in full: missing, empty, not audio, cut short, not finite,
    unreachable, or longer than ``max_seconds``.
    """
    name = describe(source)
    try:
        array = _as_array(source, name)
        if array is not None:
            mono, rate_hz = _mix_array(array, sampling_rate, name)
            _require_at_most(len(mono) / rate_hz, max_seconds, name)
        else:
            with _opened(source, name) as stream:
                mono, rate_hz = _decode(stream, name, max_seconds)
        _require_sound(mono, rate_hz, name)
        return _resample(mono, rate_hz, name)
    except OSError as error:
        raise _failure(name, error.strerror or str(error), "check the file and its permissions") from error
    except MemoryError as error:
        raise _failure(name, "it does not fit in memory", "split it into shorter files") from error


def describe(source: object) -> str:
    """A short printable name of a source, in one line, for errors and records.

    URLs lose their query and user part, which may hold secrets.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return f"bytes ({len(source)} B)"
    if isinstance(source, str) and _is_url(source):
        scheme, _, rest = source.partition("://")
        host, slash, path = rest.partition("?")[0].partition("#")[0].partition("/")
        name = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    elif isinstance(source, str | os.PathLike):
        name = os.fsdecode(source)
    elif hasattr(source, "shape"):
        name = f"array of shape {tuple(source.shape)}"
    else:
        label = getattr(source, "name", None)
        name = label if isinstance(label, str) else f"a {type(source).__name__}"
    name = name if name and name.isprintable() else repr(name)
    return name if len(name) <= 300 else f"{name[:150]}...{name[-147:]}"


def probe_seconds(source: AudioSource, sampling_rate: int | None = None) -> float | None:
    """Seconds of a clip from its header alone, for sorting; None where that is not cheap or not possible.

    Never raises for bad audio, and promises nothing about it: ``load_audio`` is the judge. URLs and file
    objects are not touched.
    """
    try:
        array = _as_array(source, "")
        if array is not None:
            mono, rate_hz = _mix_array(array, sampling_rate, "")
            return len(mono) / rate_hz
        if not isinstance(source, str | os.PathLike | bytes | bytearray) or (
            isinstance(source, str) and _is_url(source)
        ):
            return None
        with _opened(source, "") as stream, _open_sound(stream) as sound:
            num_samples, rate_hz = int(sound.frames), int(sound.samplerate)
    except (AudioError, OSError, soundfile.SoundFileError, TypeError, ValueError):
        return None
    return num_samples / rate_hz if 0 < num_samples < _UNKNOWN_SAMPLES and rate_hz > 0 else None


def _is_url(source: str) -> bool:
    return source[:8].lower().startswith(("http://", "https://"))


def _failure(name: str, reason: str, way_out: str) -> AudioError:
    """One line, also where the words of other libraries hold line breaks: the clip, its fault, what to do."""
    return AudioError(f"{name}: {' '.join(reason.split())}; {way_out}")


def _require_at_most(seconds: float, max_seconds: float | None, name: str) -> None:
    if max_seconds is not None and not seconds <= max_seconds:
        reason = f"it is {seconds:.2f} s long and the limit is {max_seconds:g} s"
        raise _failure(name, reason, "shorten it, or raise the limit (max_seconds, --max-seconds)")


def _require_sound(mono: Waveform, rate_hz: int, name: str) -> None:
    if not len(mono):
        raise _failure(name, "it holds 0 samples", "record or export it again")
    finite = np.isfinite(mono)
    if not finite.all():
        first = int(np.argmin(finite))
        reason = f"sample {first} (at {first / rate_hz:.3f} s) is {mono[first]}, not a finite number"
        raise _failure(name, reason, "repair it, for example with numpy.nan_to_num")


def _require_rate(rate_hz: int, name: str) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        reason = f"its sampling rate of {rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        raise _failure(name, reason, "state the true rate, or resample it first")


def _resample(mono: Waveform, rate_hz: int, name: str) -> Waveform:
    if rate_hz == SAMPLE_RATE_HZ:
        return mono
    try:
        resampled = np.asarray(soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="HQ"), dtype=np.float32)
    except (RuntimeError, ValueError) as error:
        raise _failure(name, f"resampling from {rate_hz} Hz failed ({error})", "convert it to 16 kHz") from error
    _require_sound(resampled, SAMPLE_RATE_HZ, name)
    return resampled


# Arrays


def _as_array(source: object, name: str) -> NDArray[Any] | None:
    """The samples if ``source`` is an array or a tensor of any library, else None."""
    if isinstance(source, np.ndarray):
        return source
    if not hasattr(source, "numpy") or isinstance(source, str | os.PathLike | bytes):
        return None
    try:
        for step in ("detach", "cpu"):
            source = getattr(source, step)() if hasattr(source, step) else source
        return np.asarray(source.numpy())
    except (TypeError, ValueError, RuntimeError) as error:
        raise _failure(name, f"it gives no NumPy array ({error})", "pass a float32 tensor") from error


def _mix_array(array: NDArray[Any], sampling_rate: int | None, name: str) -> tuple[Waveform, int]:
    if sampling_rate is None:
        raise _failure(name, "an array carries no sampling rate", "pass sampling_rate=..., in Hz")
    try:
        rate_hz = operator.index(sampling_rate)
    except TypeError as error:
        reason = f"sampling_rate is {sampling_rate!r}, not a whole number"
        raise _failure(name, reason, "pass it in Hz, for example 16000") from error
    _require_rate(rate_hz, name)
    if not array.size:
        array = array.reshape(-1)
    if array.ndim == 2:
        if array.shape[0] < array.shape[1]:
            array = array.T
        if array.shape[1] > MAX_ARRAY_CHANNELS or array.shape[0] == array.shape[1] > 1:
            reason = f"of its axes neither is clearly the channels (the shorter one, at most {MAX_ARRAY_CHANNELS})"
            raise _failure(name, reason, "pass mono arrays (S,), a batch as a list of them")
    elif array.ndim != 1:
        raise _failure(name, f"it has {array.ndim} axes", "pass (S,), (S, C) or (C, S)")
    samples = _to_float(array, name)
    return (samples if samples.ndim == 1 else _mean_of_channels(samples)), rate_hz


def _to_float(array: NDArray[Any], name: str) -> Waveform:
    """A float32 copy, so that the caller's array and ours never share memory."""
    with np.errstate(all="ignore"):  # a float64 beyond float32 becomes infinite, which is reported later
        if array.dtype.kind == "f":
            return array.astype(np.float32)
        if array.dtype == np.uint8:
            return (array.astype(np.float32) - 128.0) / 128.0
        scale = _FULL_SCALE.get(array.dtype.newbyteorder("="))
        if scale is None:
            reason = f"the full scale of {array.dtype} samples is not defined"
            raise _failure(name, reason, "convert them to int16, int32 or a float in [-1, 1]")
        return array.astype(np.float32) / np.float32(scale)


def _mean_of_channels(samples: Waveform) -> Waveform:
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32))


# Encoded audio


@contextmanager
def _opened(source: object, name: str) -> Iterator[BinaryIO]:
    """A seekable stream of the encoded bytes."""
    if isinstance(source, str) and _is_url(source):
        from opendasheng import fetch  # only here, see there

        data = fetch.download(source, name)
    elif isinstance(source, str | os.PathLike):
        with _open_file(source, name) as file:
            yield file
        return
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif hasattr(source, "read"):
        try:
            data = source.read()
        except ValueError as error:  # closed, or text that is no UTF-8
            raise _failure(name, f"it cannot be read ({error})", "open it in binary mode") from error
        if not isinstance(data, bytes):
            raise _failure(name, f"reading it gives {type(data).__name__}, not bytes", "open it in binary mode")
    else:
        raise _failure(name, "that is no audio source", "pass a path, URL, bytes, array or a binary file")
    if not data:
        raise _failure(name, "it is empty (0 bytes)", "fetch or record it again")
    yield io.BytesIO(data)


def _open_file(source: str | os.PathLike[str], name: str) -> BinaryIO:
    if not os.fspath(source):  # which Path takes for the current folder
        raise _failure(name, "the path is empty", "name an audio file")
    try:
        mode = Path(source).stat()
        if stat.S_ISDIR(mode.st_mode):
            raise _failure(name, "it is a folder", "name the audio files in it")
        if not stat.S_ISREG(mode.st_mode):
            raise _failure(name, "it is not a regular file", "pass what it yields as bytes")
        if not mode.st_size:
            raise _failure(name, "it is empty (0 bytes)", "fetch or record it again")
        # Unbuffered, since libsndfile shares the descriptor and must find it where the stream says it is.
        return Path(source).open("rb", buffering=0)
    except FileNotFoundError as error:
        raise _failure(name, "there is no such file", "check the path and the current folder") from error
    except (TypeError, ValueError) as error:  # a path of bytes, a NUL character
        raise _failure(name, f"it is no possible path ({error})", "check the path") from error


def _open_sound(stream: BinaryIO) -> Any:
    """Open with libsndfile. Raises soundfile.SoundFileError."""
    # The descriptor rather than the file object: soundfile looks at the name of the latter and takes .raw
    # as a request for headerless samples.
    handle = stream if isinstance(stream, io.BytesIO) else stream.fileno()
    sound = soundfile.SoundFile(handle, closefd=False)
    # Otherwise soundfile seeks after each read, which fails on a FLAC stream that states no length.
    sound.seekable = lambda: False
    return sound


def _decode(stream: BinaryIO, name: str, max_seconds: float | None) -> tuple[Waveform, int]:
    promise = containers.inspect(stream)
    if promise.cut:
        raise _failure(name, f"it is cut short: {promise.cut}", "fetch it again, or repair it with ffmpeg")
    try:
        sound = _open_sound(stream)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        stream.seek(0)
        return _decode_with_ffmpeg(stream, name, max_seconds, _words(error))
    with sound:
        rate_hz, promised = int(sound.samplerate), int(sound.frames)
        _require_rate(rate_hz, name)
        if promised < _UNKNOWN_SAMPLES:
            _require_at_most(promised / rate_hz, max_seconds, name)
        mono = _read_mono(sound, name, max_seconds)
        least = promised - _EDGE_SAMPLES.get(sound.format, 0)
    if promised < _UNKNOWN_SAMPLES and len(mono) < (least := max(least, promise.least_samples)):
        reason = f"it is cut short or damaged: {len(mono)} of at least {least} samples could be decoded"
        raise _failure(name, reason, "fetch it again, or repair it with ffmpeg")
    return mono, rate_hz


def _read_mono(sound: Any, name: str, max_seconds: float | None) -> Waveform:
    """Decode block by block: a header may promise any length, and many channels take much memory."""
    rate_hz, block_samples = int(sound.samplerate), max(1, _BLOCK_VALUES // int(sound.channels))
    blocks: list[Waveform] = []
    num_samples = 0
    while True:
        try:
            block = sound.read(block_samples, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, ValueError) as error:
            reason = f"decoding fails after {num_samples / rate_hz:.2f} s ({_words(error)})"
            raise _failure(name, reason, "it is damaged or cut short: fetch it again") from error
        if not len(block):
            break
        num_samples += len(block)
        _require_at_most(num_samples / rate_hz, max_seconds, name)
        blocks.append(block[:, 0].copy() if block.shape[1] == 1 else _mean_of_channels(block))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _words(error: Exception) -> str:
    """What libsndfile says, without the address of the stream object that soundfile puts in front."""
    return str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(". ")


def _decode_with_ffmpeg(stream: BinaryIO, name: str, max_seconds: float | None, complaint: str) -> tuple[Waveform, int]:
    """Let ffmpeg turn the file into W64 with the same channels and rate, then read that as any other file."""
    program = shutil.which("ffmpeg")
    if program is None:
        reason = f"libsndfile does not read it ({complaint}), and there is no ffmpeg to try instead"
        raise _failure(name, reason, "check that it is audio, then convert it to FLAC or install ffmpeg")
    with tempfile.TemporaryDirectory(prefix="opendasheng-") as folder:
        encoded, decoded = Path(folder, "encoded"), Path(folder, "decoded.w64")
        with encoded.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        limit = [] if max_seconds is None else ["-t", f"{max_seconds + 1:.3f}"]
        command = [program, "-v", "error", "-xerror", "-nostdin", "-protocol_whitelist", "file"]
        command += ["-format_whitelist", _FFMPEG_FORMATS, "-i", f"file:{encoded}", "-map", "0:a:0"]
        command += [*limit, "-c:a", "pcm_f32le", "-f", "w64", f"file:{decoded}"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_FFMPEG_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            reason = f"ffmpeg has not finished within {error.timeout:g} s"
            raise _failure(name, reason, "convert it to FLAC first") from error
        # ffmpeg also exits 0 for a file that ends too early; what it reports as an error is taken as one.
        if done.returncode or done.stderr:
            said = done.stderr.decode("utf-8", "replace").replace(str(encoded), "the file").strip()
            reason = f"neither libsndfile ({complaint}) nor ffmpeg reads it whole ({said[-200:]})"
            raise _failure(name, reason, "check that it is audio and complete")
        with decoded.open("rb", buffering=0) as file:
            return _decode(file, name, max_seconds)
