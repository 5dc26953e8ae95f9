"""The front-end against the reference, alone and in batches."""

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.errors import AudioError
from opendasheng.model.mel import LogMel, hann_window, mel_filters

REFERENCE_DB = 2e-3
PARTS = {
    "mel": slice(None),
    "mel_head8": slice(8),
    "mel_tail8": slice(-8, None),
    "mel_every37": slice(None, None, 37),
}


def test_constants_equal_the_reference_bit_for_bit():
    stored = reference.tensors("mel")
    assert torch.equal(hann_window(), stored["window"])
    assert torch.equal(mel_filters(), stored["melscale_fbanks"])
    assert (mel_filters().sum(0) > 0).all()


@pytest.mark.parametrize("name", reference.LENGTHS)
def test_mel_equals_the_reference(name):
    stored = reference.tensors("mel")
    mel_MF = LogMel()(reference.signal()[None, : reference.LENGTHS[name]])[0]
    found = [part for part in PARTS if f"{part}.{name}" in stored]
    assert found
    for part in found:
        assert (mel_MF[:, PARTS[part]] - stored[f"{part}.{name}"]).abs().max() <= REFERENCE_DB


def test_the_floor_is_120_db_below_the_peak_of_each_clip():
    stored = reference.tensors("mel")
    mel_BMF, reference_BMF = LogMel()(stored["topdb.in"]), stored["topdb.mel"]
    floors = mel_BMF.amin((1, 2))
    assert floors.tolist() == pytest.approx(reference.META["topdb_floor"], abs=REFERENCE_DB)
    assert mel_BMF.amax((1, 2)).tolist() == pytest.approx(reference.META["topdb_max"], abs=REFERENCE_DB)
    # The loud clip spans twelve decades of power, more than a float32 FFT resolves: its lowest bands are rounding noise
    # that differs between FFT kernels of one and the same library (0.04 to 0.08 dB, measured), so they are left out.
    resolved = reference_BMF > reference_BMF.amax((1, 2), keepdim=True) - 80
    assert ((mel_BMF - reference_BMF).abs()[resolved] <= REFERENCE_DB).all()


def test_silence_is_exactly_minus_100_db():
    assert (LogMel()(torch.zeros(1, 4000)) == -100).all()


@settings(max_examples=30)
@given(st.lists(st.integers(257, 40_000), min_size=1, max_size=5))
def test_all_clips_at_once_are_the_same_within_rounding(num_samples):
    """What a GPU computes, here on the CPU; the golden clips above tell what rounding may do."""
    audio_BS, lengths_B = reference.clips(num_samples)
    found_BMF = LogMel()._at_once(audio_BS, num_samples)
    assert (found_BMF - LogMel()(audio_BS, lengths_B)).abs().max() <= REFERENCE_DB


@settings(max_examples=30)
@given(st.lists(st.integers(257, 40_000), min_size=1, max_size=5))
def test_a_clip_does_not_depend_on_its_batch(num_samples):
    audio_BS, lengths_B = reference.clips(num_samples)
    mel_BMF = LogMel()(audio_BS, lengths_B)
    for row, samples in enumerate(num_samples):
        alone_MF = LogMel()(audio_BS[row : row + 1, :samples])[0]
        assert torch.equal(mel_BMF[row, :, : alone_MF.shape[1]], alone_MF)
        assert (mel_BMF[row, :, alone_MF.shape[1] :] == 0).all()


def test_what_cannot_be_reflected_is_refused():
    assert LogMel()(torch.zeros(1, 257)).shape == (1, 64, 2)
    with pytest.raises(AudioError, match="256 samples"):
        LogMel()(torch.zeros(1, 256))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_default_dtypes_and_devices_change_nothing(dtype):
    from opendasheng.model.mel import _constants

    expected = LogMel()(reference.signal()[None, :16_000])
    _constants.cache_clear()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            front_end = LogMel()
        built = front_end(reference.signal()[None, :16_000])
    finally:
        torch.set_default_dtype(torch.float32)
        _constants.cache_clear()
    assert built.dtype == torch.float32
    assert torch.equal(built, expected)
    assert not front_end.state_dict()


def test_autocast_is_kept_out():
    expected = LogMel()(reference.signal()[None, :16_000])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LogMel()(reference.signal()[None, :16_000]), expected)
