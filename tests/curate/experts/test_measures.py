"""Measures of sound on signals whose figures are known."""

import numpy as np
import pytest

from opendasheng.curate.experts.levels import Levels
from opendasheng.curate.experts.pitch import Pitch
from opendasheng.curate.experts.quality import Quality
from opendasheng.curate.experts.reverberation import Reverberation
from opendasheng.curate.experts.rhythm import Rhythm, key_of
from opendasheng.curate.experts.spectrum import Spectrum
from opendasheng.curate.record import Findings, Record

RATE = 16_000


def record(seconds: float = 4.0, **findings: Findings) -> Record:
    return Record(id="a", source="s", recording="r", licence="CC0-1.0", duration_seconds=seconds, findings=findings)


def sine(hz: float, seconds: float, peak: float = 1.0) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def values(expert, audio: np.ndarray) -> dict:
    return dict(expert.hear(audio.astype(np.float32), record(len(audio) / RATE)).values)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def test_a_sine_is_as_loud_as_the_standard_says():
    """BS.1770: 997 Hz at full scale in one channel has -3.01 LUFS, and EBU Tech 3341 allows a meter 0.1 LU."""
    loud, soft = values(Levels(), sine(997, 3.0)), values(Levels(), sine(997, 3.0, 0.1))
    assert loud["loudness_lufs"] == pytest.approx(-3.01, abs=0.1)
    assert soft["loudness_lufs"] == pytest.approx(-23.01, abs=0.1)
    assert (loud["peak_dbfs"], soft["peak_dbfs"]) == (0.0, -20.0)
    assert loud["silent_share"] == loud["clipped_share"] == 0.0


def test_silence_is_told_with_its_times():
    audio = np.concatenate([sine(440, 1.0, 0.3), np.zeros(RATE), sine(440, 2.0, 0.3)])
    found = Levels().hear(audio, record())
    [event] = found.events
    assert (event.label, event.start_seconds, event.end_seconds) == ("silence", 1.0, 2.0)
    assert found.values["silent_share"] == 0.25


@pytest.mark.parametrize("audio", [np.zeros(RATE, np.float32), np.zeros(3, np.float32)], ids=["second", "moment"])
def test_of_silence_nothing_is_made_up(audio):
    levels = values(Levels(), audio)
    assert levels == {"peak_dbfs": -100.0, "silent_share": 1.0, "clipped_share": 0.0}
    assert values(Spectrum(), audio) == {}
    assert values(Rhythm(), np.zeros(4 * RATE)) == {}
    assert values(Pitch(), audio) == {"voiced_share": 0.0}
    assert values(Reverberation(), audio) == {}


def test_what_is_cut_off_is_counted():
    cut = np.clip(2.0 * sine(100, 1.0), -1, 1)
    # A sine of twice the height lies beyond 1 for two thirds of the time.
    assert values(Levels(), cut)["clipped_share"] == pytest.approx(2 / 3, abs=0.02)
    assert values(Levels(), 0.5 * cut)["clipped_share"] == 0.0


def test_a_telephone_is_narrow_and_noise_is_flat():
    spectrum = np.fft.rfft(noise(4.0))
    spectrum[np.fft.rfftfreq(4 * RATE, 1 / RATE) > 3400] = 0
    narrow, wide = values(Spectrum(), np.fft.irfft(spectrum)), values(Spectrum(), noise(4.0))
    assert (narrow["bandwidth_hz"], wide["bandwidth_hz"]) == (3500.0, 8000.0)
    assert narrow["centroid_hz"] == pytest.approx(1700, abs=100)
    assert wide["flatness"] > 0.9
    assert values(Spectrum(), sine(1000, 2.0))["flatness"] < 0.01


@pytest.mark.parametrize("bpm", [90, 120, 150])
def test_clicks_have_their_tempo(bpm):
    audio = 0.001 * noise(12.0)
    step = round(RATE * 60 / bpm)
    for start in range(0, len(audio) - 800, step):
        audio[start : start + 800] += sine(1000, 0.05) * np.hanning(800)
    assert values(Rhythm(), audio)["tempo_bpm"] == pytest.approx(bpm, rel=0.03)


@pytest.mark.parametrize(
    ("first_hz", "third", "key"), [(261.6, 4, "C major"), (220.0, 3, "A minor"), (293.7, 4, "D major")]
)
def test_chords_of_a_key_have_it(first_hz, third, key):
    def chord(steps: int, kind: int) -> np.ndarray:
        return sum(sine(first_hz * 2 ** ((steps + n) / 12), 1.0, 0.2) for n in (0, kind, 7))

    fourth = third  # all three chords of a key share its mode, but the fifth of a minor key may be major
    audio = np.concatenate([chord(0, third), chord(5, fourth), chord(7, 4), chord(0, third)])
    assert values(Rhythm(), audio)["key"] == key


def test_a_key_is_surer_where_its_notes_alone_are_heard():
    scale = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1.0])
    weight = np.array([3, 0, 1, 0, 2, 1, 0, 2, 0, 1, 0, 1.0])
    assert key_of(weight)[0] == "C major"
    assert key_of(weight)[1] > key_of(scale)[1] >= 0


@pytest.mark.parametrize(("hz", "gender"), [(110, "male"), (230, "female"), (165, None)])
def test_the_pitch_of_a_voice(hz, gender):
    times = np.arange(2 * RATE) / RATE
    voice = sum(0.3 / n * np.sin(2 * np.pi * n * hz * times) for n in range(1, 12))
    found = values(Pitch(), np.concatenate([voice, np.zeros(RATE)]))
    assert found["pitch_hz"] == pytest.approx(hz, rel=0.02)
    assert found.get("voice_gender") == gender
    assert found["voiced_share"] == pytest.approx(2 / 3, abs=0.1)


def test_noise_costs_quality():
    times = np.arange(3 * RATE) / RATE
    voice = sum(0.1 / n * np.sin(2 * np.pi * n * 150 * times) for n in range(1, 20)) * (
        np.sin(2 * np.pi * 3 * times) > 0
    )
    clean, noisy = values(Quality(), voice), values(Quality(), voice + noise(3.0))
    assert set(clean) == set(Quality.aspects)
    assert clean["background_quality_mos"] > noisy["background_quality_mos"] + 0.5
    assert values(Quality(), np.zeros(RATE)) == {}


def test_experts_go_by_those_before_them():
    deaf = {"activity": Findings(version="1", values={"has_speech": False, "has_music": False})}
    assert Pitch().wants(record())
    assert not Pitch().wants(record(**deaf))
    assert not Rhythm().wants(record(**deaf))
    assert not Rhythm().wants(record(2.0))


def in_a_room(rt60_seconds: float, seed: int = 0) -> np.ndarray:
    """Bursts as of syllables, through noise that dies away (Polack's model of a room)."""
    random = np.random.default_rng(seed)
    times = np.arange(6 * RATE) / RATE
    dry = random.standard_normal(len(times)) * np.maximum(np.sin(2 * np.pi * 3 * times), 0) ** 2 * (times % 2 < 1.4)
    ringing = times[: round(rt60_seconds * RATE)]
    response = random.standard_normal(len(ringing)) * 10 ** (-3 * ringing / rt60_seconds)
    size = len(dry) + len(response)
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(response, size), size)[: len(dry)]
    return 0.3 * wet / np.abs(wet).max()


@pytest.mark.parametrize("level", [1.0, 0.01])
def test_what_dies_away_slowly_rings_longer_however_loud_it_is(level):
    found = [values(Reverberation(), level * in_a_room(seconds))["rt60_seconds"] for seconds in (0.4, 0.8, 1.6)]
    assert found == sorted(found)
    for seconds, told in zip((0.4, 0.8, 1.6), found, strict=True):
        assert seconds / 2 < told < 2 * seconds


def test_of_a_moment_of_speech_no_room_is_made_up():
    assert values(Reverberation(), in_a_room(0.4)[: RATE // 10]) == {}
