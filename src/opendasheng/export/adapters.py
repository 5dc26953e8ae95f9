"""A model as what training added to an encoder and a decoder that others have: small, and nobody else's weights."""

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from opendasheng import hub
from opendasheng.card import run_of
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.export.runs import Told, account, new_folder, start_of, tell
from opendasheng.files import replacing_folder
from opendasheng.model.assembling import load_encoder
from opendasheng.model.loading import compute_dtype
from opendasheng.model.parts import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    ENCODER,
    Parts,
    digest_of_decoder,
    digest_of_encoder,
    write_encoder,
)


def export_adapters(
    run: str | Path, folder: str | Path, *, dtype: str = "float16", notes: str = "", decoder_licence: str = ""
) -> Path:
    """What a finished run, and those that it goes on from, added to ``model.encoder`` and ``model.decoder`` of the
    first of them: adapters in ``dtype``, ``parts.json``, card and record as ``folder``, which is returned. An encoder
    that this package bundles comes with them, since another version may bundle another; so does one that came with
    adapters.

    ``opendasheng export --adapters`` makes a whole model of it again. ``notes`` and ``decoder_licence`` are those of
    :func:`opendasheng.export.export_run`.

    Raises :class:`ConfigError` when ``folder`` exists or the first run did not begin from an encoder and a decoder,
    :class:`CheckpointError` when a run is gone, not finished or left no adapters, or the encoder is another by now.
    """
    run, folder = Path(run), new_folder(folder)
    told = tell(run, notes, decoder_licence)
    chain = _chain(run)
    config = account(chain[0])[1]
    encoder, decoder = (str(config["model"][part]) for part in ("encoder", "decoder"))
    is_bundled = encoder == hub.BUNDLED  # another version of this package may have another
    listens = load_encoder(hub.resolve(encoder) if is_bundled else hub.place(encoder))
    place = run_of(encoder).name if Path(encoder).expanduser().exists() else encoder
    comes_along = is_bundled or place == ENCODER  # the latter came with adapters itself
    digest, initial = digest_of_encoder(listens), chain[0] / "initial"
    if (initial / "config.json").is_file() and digest_of_encoder(load_encoder(initial)) != digest:
        raise CheckpointError(f"{encoder}: it is not the encoder that {chain[0]} began from, as by another version")
    names = [link.resolve().name for link in chain]
    if len(set(names)) < len(names):
        names = [f"{number}-{name}" for number, name in enumerate(names, 1)]
    parts = Parts(
        encoder=ENCODER if comes_along else place,
        encoder_sha256=digest,
        decoder=Path(decoder).name if Path(decoder).expanduser().exists() else decoder,
        decoder_sha256=digest_of_decoder(hub.place(decoder)),
        seed=int(config["seed"]),
        adapters=tuple(names),
    )
    number = compute_dtype(dtype, torch.device("cpu"))
    with replacing_folder(folder) as temporary:
        for link, name in zip(chain, names, strict=True):
            _copy(link / "adapter", temporary / name, number)
        if comes_along:
            write_encoder(listens, temporary / ENCODER)
        parts.write(temporary)
        told.write(temporary)
    return folder


def _chain(run: Path) -> list[Path]:
    """``run`` and those that it goes on from, the one first that joined an encoder and a decoder."""
    chain = [run]
    while True:
        place = chain[0]
        model = account(place)[1]["model"]
        if not (place / "adapter" / ADAPTER_WEIGHTS).is_file():
            raise CheckpointError(f"{place}: it has no adapter/; without adapters only the whole model can be exported")
        if model.get("decoder"):
            return chain
        start = start_of(place, account(place)[1])
        if start is None or "stages" in account(start)[0]:  # gone, or no run but an exported model
            raise ConfigError(
                f"{place}: it began from {model.get('init') or 'random weights'!r}, and neither from a run that is "
                "there nor from an encoder and a decoder (model.encoder, model.decoder); leave out --as-adapters, or "
                "pass on its adapter/ as it is"
            )
        chain.insert(0, start)


def _copy(adapter: Path, folder: Path, dtype: torch.dtype) -> None:
    """Adapters with their weights in ``dtype``."""
    folder.mkdir()
    try:
        tensors = load_file(adapter / ADAPTER_WEIGHTS)
        shutil.copyfile(adapter / ADAPTER_CONFIG, folder / ADAPTER_CONFIG)
    except (SafetensorError, FileNotFoundError) as error:
        raise CheckpointError(f"{adapter}: its adapters cannot be read ({error}); make the run again") from error
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, folder / ADAPTER_WEIGHTS, {"format": "pt"})


def read_adapters(folder: Path) -> tuple[Told, Parts]:
    """What :func:`export_adapters` left in ``folder``, but for the weights.

    Raises :class:`CheckpointError` where something of it is missing or damaged, or ``parts.json`` names other adapters
    than those that the record tells of.
    """
    parts = Parts.read(folder)
    try:
        told = Told(*((folder / name).read_text(encoding="utf-8") for name in ("record.json", "README.md")))
        stages = json.loads(told.record)["stages"]
        joined = next(number for number, stage in enumerate(stages) if stage.get("decoder"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StopIteration) as error:
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        raise CheckpointError(f"{folder}: its record.json or README.md is missing or damaged ({words})") from error
    if len(stages) - joined != len(parts.adapters):
        raise CheckpointError(
            f"{folder}: parts.json names {len(parts.adapters)} adapters, the record tells of {len(stages) - joined} "
            "runs; get it again"
        )
    return told, parts
