"""Finished training runs as models for others, with what is to be said of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from opendasheng.card import MATCHES, model_card, run_of, stage_of, start_name
from opendasheng.data.licences import terms
from opendasheng.engine import quiet_transformers
from opendasheng.errors import CheckpointError, ConfigError
from opendasheng.files import replacing_folder
from opendasheng.hub import resolve
from opendasheng.model import MiDashengLMModel, MiDashengLMProcessor
from opendasheng.model.audio_text_files import load_own, save_own
from opendasheng.model.loading import compute_dtype

# Stages that leave no whole model.
_OF_ENCODERS = ("mae", "distil")


@dataclass(frozen=True)
class Told:
    """What is said of a model beside its weights: ``record.json`` and the card, ``README.md``."""

    record: str
    card: str

    def write(self, folder: Path) -> None:
        """Both files into ``folder``."""
        (folder / "record.json").write_text(self.record, encoding="utf-8")
        (folder / "README.md").write_text(self.card, encoding="utf-8")


def export_run(
    run: str | Path, folder: str | Path, *, dtype: str = "float16", notes: str = "", decoder_licence: str = ""
) -> Path:
    """The model of a finished training run as ``folder`` in the released layout, or, of stage contrast, as
    :func:`opendasheng.model.audio_text_files.load_audio_text` takes it, with its card; the folder.

    Weights are stored in ``dtype``; everything else is as the run left it. The card tells of the runs before this one
    as far as they are still there, and says ``notes``; see :func:`opendasheng.card.model_card`. ``decoder_licence`` is
    that of the pretrained decoder that the first of them began with.

    Raises :class:`ConfigError` when ``folder`` exists or the run leaves an encoder alone, :class:`CheckpointError` when
    the run is not finished.
    """
    run, folder = Path(run), new_folder(folder)
    told = tell(run, notes, decoder_licence)
    number = compute_dtype(dtype, torch.device("cpu"))
    if json.loads(told.record)["stage"] == MATCHES:
        towers, texts = load_own(run / "model")
        save_own(towers.to(number), texts, folder)
        told.write(folder)
        return folder
    trained = resolve(run / "model")
    with quiet_transformers():
        model = MiDashengLMModel.from_pretrained(trained, dtype=number)
    return write_model(folder, model, MiDashengLMProcessor.from_pretrained(trained), told)


def write_model(folder: Path, model: MiDashengLMModel, processor: MiDashengLMProcessor, told: Told) -> Path:
    """``folder``, whole or not at all, in the released layout."""
    with quiet_transformers(), replacing_folder(folder) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
        told.write(temporary)
    return folder


def new_folder(folder: str | Path) -> Path:
    """``folder``, which may not be there. Raises :class:`ConfigError`."""
    if Path(folder).exists():
        raise ConfigError(f"{folder}: it exists already; choose another folder, nothing is overwritten")
    return Path(folder)


def tell(run: Path, notes: str, decoder_licence: str) -> Told:
    """What is to be said of the model of a finished run. Raises what :func:`export_run` does."""
    record, config = account(run)
    if record["stage"] in _OF_ENCODERS:
        raise ConfigError(
            f"{run}: a run of stage {record['stage']} leaves an encoder, which is not exported; a recipe of stage "
            f"align begins with it by model.encoder = {str(run / 'model' / 'model.safetensors')!r}"
        )
    record["stages"], record["sources"] = _history(run)
    joined = [stage for stage in record["stages"] if stage.get("decoder")]
    if decoder_licence and not joined:
        raise ConfigError(f"{run}: no run of those before began from a pretrained decoder; leave its licence out")
    for stage in joined if decoder_licence else ():
        stage["decoder_licence"] = decoder_licence
        stage["decoder_terms"] = terms(decoder_licence)
    card = model_card(record, config, notes)
    return Told(json.dumps(record, indent=1, ensure_ascii=False) + "\n", card)


def account(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Record and config of a finished run, or of an exported model, whose record tells ``stages``.

    Raises :class:`CheckpointError` where one is missing or damaged.
    """
    record = _table(run / "record.json", ("name", "stage", "sources"))
    return record, _table(run / "config.json", () if "stages" in record else ("model",))


def _table(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent}: not a finished training run ({path.name} is missing)") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: it cannot be read ({error}); the run is to be made again") from error
    if not isinstance(found, dict) or not all(key in found for key in keys):
        raise CheckpointError(f"{path}: it does not tell {', '.join(keys)}; is it that of a training run?")
    return found


def _history(run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the card says of ``run`` and those that it goes on from: their stages, the first one first, and sources.

    The record of an exported model tells of those before it, which need not be there any more.
    """
    stages: list[dict[str, Any]] = []
    sources: list[dict[str, Any]] = []
    place: Path | None = run
    while place is not None:
        record, config = account(place)
        sources += record["sources"]
        if "stages" in record:
            return [*record["stages"], *stages], _united(sources)
        stages.insert(0, stage_of(record, config))
        place = start_of(place, config)
    return stages, _united(sources)


def _united(sources: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The sources of several runs, each once with the most hours that a run had of it, and its terms; the largest
    first."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in sorted(sources, key=lambda row: -row["hours"]):
        found.setdefault((row["source"], row["kind"], row["licence"]), {**row, "terms": terms(row["licence"])})
    return list(found.values())


def start_of(run: Path, config: Mapping[str, Any]) -> Path | None:
    """Where the record is of what ``run`` goes on from: the folder of a run, or of an exported model; None where it is
    gone, or has none. A run that was moved may lie beside this one."""
    start = start_name(config)
    if not start:
        return None
    try:
        folder = resolve(start, offline=True)  # as training found it
        places = [folder, run_of(folder)]
    except CheckpointError:  # an encoder, or a run that was moved
        places = [run_of(start), run.parent / run_of(start).name]
    return next((place for place in places if (place / "record.json").is_file() and place != run), None)
