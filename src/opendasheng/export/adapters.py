"""A model as what training added to an encoder and a decoder that others have: small, and nobody else's weights."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from opendasheng import hub
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.export.runs import account, new_folder, start_of, tell
from opendasheng.files import replacing_folder
from opendasheng.model.assembling import load_encoder
from opendasheng.model.loading import compute_dtype
from opendasheng.model.parts import Parts, digest_of_decoder, digest_of_encoder

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"  # peft's names


def export_adapters(
    run: str | Path, folder: str | Path, *, dtype: str = "float16", notes: str = "", decoder_licence: str = ""
) -> Path:
    """What a finished run, and those that it goes on from, added to ``model.encoder`` and ``model.decoder`` of the
    first of them: adapters in ``dtype``, ``parts.json``, card and record as ``folder``, which is returned.

    ``opendasheng export --adapters`` makes a whole model of it again. ``notes`` and ``decoder_licence`` are those of
    :func:`opendasheng.export.export_run`.

    Raises :class:`ConfigError` when ``folder`` exists or the first run did not begin from an encoder and a decoder,
    :class:`CheckpointError` when a run is not finished or left no adapters.
    """
    run, folder = Path(run), new_folder(folder)
    told = tell(run, notes, decoder_licence)
    chain = _chain(run)
    first = account(chain[0])[1]
    encoder, decoder = str(first["model"]["encoder"]), _place(str(first["model"]["decoder"]))
    parts = Parts(
        encoder=encoder,
        encoder_sha256=digest_of_encoder(load_encoder(_place(encoder))),
        decoder=decoder.name if Path(str(first["model"]["decoder"])).exists() else str(first["model"]["decoder"]),
        decoder_sha256=digest_of_decoder(decoder),
        seed=int(first["seed"]),
        adapters=tuple(link.name for link in chain),
    )
    number = compute_dtype(dtype, torch.device("cpu"))
    with replacing_folder(folder) as temporary:
        for link in chain:
            _copy(link / "adapter", temporary / link.name, number)
        parts.write(temporary)
        told.write(temporary)
    return folder


def _chain(run: Path) -> list[Path]:
    """``run`` and those that it goes on from, the one first that joined an encoder and a decoder."""
    chain: list[Path] = []
    place: Path | None = run
    while place is not None:
        chain.insert(0, place)
        _, config = account(place)
        if not (place / "adapter" / _WEIGHTS).is_file():
            raise CheckpointError(f"{place}: it has no adapter/; without adapters only the whole model can be exported")
        if config["model"].get("decoder"):
            return chain
        place = start_of(place, config)
    first: dict[str, Any] = account(chain[0])[1]["model"]
    raise ConfigError(
        f"{chain[0]}: it began from {first['init'] or 'random weights'!r}, and not from an encoder and a decoder "
        "(model.encoder, model.decoder); leave out --as-adapters, or pass on its adapter/ as it is"
    )


def _place(name: str) -> Path:
    """The file or folder of an encoder or a decoder; raises :class:`CheckpointError`."""
    path = Path(name).expanduser()
    if path.exists():
        return path
    return hub.resolve(name) if name == hub.BUNDLED else hub.download(name)


def _copy(adapter: Path, folder: Path, dtype: torch.dtype) -> None:
    """Adapters with their weights in ``dtype``."""
    folder.mkdir()
    tensors = load_file(adapter / _WEIGHTS)
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, folder / _WEIGHTS, {"format": "pt"})
    shutil.copyfile(adapter / _CONFIG, folder / _CONFIG)
