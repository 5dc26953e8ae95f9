"""The encoder as the package wants it: its contract, its frames, its weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from opendasheng.errors import CheckpointError
from opendasheng.evaluate.xares import encoder as encoders
from opendasheng.evaluate.xares import entry
from opendasheng.evaluate.xares.encoder import XaresEncoder, fingerprint, load_encoder, randomised
from opendasheng.lengths import num_patches


def test_it_has_what_the_package_asks_for(encoder) -> None:
    assert type(encoder).__name__.endswith("Encoder")
    assert isinstance(encoder, torch.nn.Module)
    assert (encoder.sampling_rate, encoder.hop_size_in_ms, encoder.output_dim) == (16_000, 40, 32)
    assert encoder(torch.randn(2, 50_000)).shape == (2, 78, 32)


def test_it_stays_frozen(encoder) -> None:
    assert not any(weight.requires_grad for weight in encoder.parameters())
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    audio = torch.randn(1, 8000, requires_grad=True)
    assert not encoder(audio).requires_grad


@given(num_samples=st.integers(1, 20_000))
@settings(max_examples=20)
def test_frames_follow_from_samples(encoder, num_samples: int) -> None:
    heard = num_samples if num_samples >= 3040 else 3200
    assert encoder(torch.randn(1, num_samples)).shape == (1, num_patches(heard), 32)


def test_told_lengths_make_clips_independent_and_untold_ones_do_not(encoder) -> None:
    random = torch.Generator().manual_seed(0)
    long, short = torch.randn(16_000, generator=random), torch.randn(5000, generator=random)
    batch = torch.zeros(2, 16_000)
    batch[0], batch[1, :5000] = long, short
    alone = encoder(short[None])[0]
    told = encoder.encode(batch, [16_000, 5000])
    assert [len(x) for x in told] == [25, 8]
    torch.testing.assert_close(told[1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(told[0], encoder(long[None])[0], atol=1e-5, rtol=0)
    untold = encoder(batch)
    assert untold.shape == (2, 25, 32)
    assert (untold[1, :8] - alone).abs().max() > 1e-3


def test_a_seed_is_an_encoder_and_the_input_statistics_stay(encoder) -> None:
    first, again, other = (randomised(encoder.encoder, seed) for seed in (5, 5, 6))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    assert torch.equal(first.init_bn.running_mean, encoder.encoder.init_bn.running_mean)
    weight = first.blocks[0].mlp.fc1.weight
    assert weight.std().item() == pytest.approx(encoder.encoder.config.initializer_range, rel=0.1)


def test_a_model_folder_an_encoder_alone_and_its_random_twin(model_folder, tmp_path) -> None:
    whole = load_encoder(str(model_folder))
    tensors = load_file(model_folder / "model.safetensors")
    alone = {name: tensor for name, tensor in tensors.items() if name.startswith("audio_encoder.")}
    save_file(alone, tmp_path / "model.safetensors", {"config": '{"num_heads": 2}'})
    for name in (str(tmp_path / "model.safetensors"), str(tmp_path)):
        assert load_encoder(name).fingerprint == whole.fingerprint
    twins = [load_encoder(f"{seed}:{model_folder}") for seed in ("random", "random-0", "random-1")]
    prints = [twin.fingerprint for twin in twins]
    assert prints[0] == prints[1]
    assert len({whole.fingerprint, *prints}) == 3
    audio = torch.randn(1, 20_000)
    assert not torch.allclose(whole(audio), twins[0](audio))


def test_class_names_tell_encoders_apart_because_the_package_files_results_by_them(model_folder) -> None:
    names = {type(load_encoder(f"{kind}{model_folder}")).__name__ for kind in ("", "random:", "random-2:")}
    assert len(names) == 3
    assert all(name.endswith("Encoder") and name.isidentifier() for name in names)
    assert isinstance(load_encoder(str(model_folder)), XaresEncoder)


def test_the_features_are_those_of_the_model(model_folder) -> None:
    from opendasheng.model import MiDashengLMModel

    model = MiDashengLMModel.from_pretrained(model_folder)
    audio, lengths = torch.randn(2, 12_345), torch.tensor([12_345, 12_345])
    with torch.no_grad():
        expected, _ = model.audio_encoder(model.log_mel(audio, lengths), lengths)
    torch.testing.assert_close(load_encoder(str(model_folder))(audio), expected)


def test_weights_that_do_not_fit_are_refused(model_folder, tmp_path) -> None:
    (tmp_path / "config.json").write_text((model_folder / "config.json").read_text())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"no \*.safetensors"):
        load_encoder(str(tmp_path))
    tensors = load_file(model_folder / "model.safetensors")
    del tensors["audio_encoder.norm.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit config.json.*norm.weight"):
        load_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="damaged"):
        load_encoder(str(tmp_path))


def test_the_entry_has_one_name_for_the_package_and_takes_the_model_from_the_environment(
    model_folder, monkeypatch
) -> None:
    assert [name for name in dir(entry) if name.endswith("Encoder")] == ["OpenDashengEncoder"]
    monkeypatch.setenv(entry.MODEL, str(model_folder))
    assert entry.OpenDashengEncoder().fingerprint == load_encoder(str(model_folder)).fingerprint


def test_the_hop_is_that_of_the_patches() -> None:
    assert encoders.HOP_MILLISECONDS == 40
    assert np.isclose(num_patches(16_000 * 60), 60_000 / encoders.HOP_MILLISECONDS)
