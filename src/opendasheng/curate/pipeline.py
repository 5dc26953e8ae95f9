"""A run of curation: clips from an input through pools of experts, by Ray Data, into a journal.

The same steps run on a laptop, where Ray starts itself, and on a cluster, whose machines see the same folders.
"""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opendasheng.curate.config import CurationConfig, WriterConfig
from opendasheng.curate.consistency import ConsistencyFilter
from opendasheng.curate.costs import Costs
from opendasheng.curate.describe import describe
from opendasheng.curate.inputs import open_input
from opendasheng.curate.journal import Records, read_records, write_records
from opendasheng.curate.local_model import serving
from opendasheng.curate.pool import Listen, Read, versions
from opendasheng.curate.record import Record
from opendasheng.curate.split import licensed, split
from opendasheng.curate.writer import Writer
from opendasheng.data.spread import spread
from opendasheng.errors import CheckpointError, ConfigError, EndpointError
from opendasheng.progress import Progress, say

JOURNAL, RECORDS, MARKS, ANSWERS, COSTS = "journal.jsonl", "records.jsonl", "marks", "answers", "costs.json"
# Of a core, to read what lies beside each record.
_READING_CPUS = 0.1


def listen(config: CurationConfig) -> list[Record]:
    """The clips of the input with what experts report, in its order; what is in the journal already is not heard again.

    Experts that are not there are named and left out. Raises :class:`ConfigError` where none of them is, or where Ray
    is missing.
    """
    chosen = list(open_input(config.input).records())
    journal, costs = Records(config.folder / JOURNAL), Costs(config.folder / COSTS)
    try:
        with _ray(config.cluster) as ray:
            _require_room(ray, config)
            there = _experts_there(ray, config)
            records = [_with_findings(record, journal.by_id.get(record.id)) for record in chosen]
            waiting = [record for record in records if not _is_heard(record, there)]
            say(f"{len(records)} clips, {len(records) - len(waiting)} of them heard; experts: {', '.join(there)}")
            # Marks of a run that was killed tell of no clip that ends processes.
            shutil.rmtree(config.folder / MARKS, ignore_errors=True)
            with Progress(len(waiting), bar=True) as progress, costs.watching():
                for record, spent in _listen(ray, config, waiting):
                    journal.add(record)
                    costs.add(record, spent)
                    progress.advance()
    finally:
        journal.close()
    return [_with_findings(record, journal.by_id.get(record.id)) for record in chosen]


def _with_findings(record: Record, known: Record | None) -> Record:
    """A clip as the input tells of it today, with what was heard of it."""
    if known is None or record.dropped is not None:
        return record
    heard = {name: getattr(known, name) for name in ("findings", "duration_seconds", "dropped")}
    return record.model_copy(update=heard)


def with_models_there(config: CurationConfig) -> CurationConfig:
    """Without a language model of a file that is not there, which is told, as an expert would be."""
    if not config.writer.gguf or Path(config.writer.gguf).is_file():
        return config
    say(f"no language model writes: {config.writer.gguf} is not there, and writer.gguf names it")
    return dataclasses.replace(config, writer=WriterConfig())


def heard_before(config: CurationConfig) -> list[Record]:
    """What :func:`listen` gave, from the journal alone. Raises :class:`ConfigError` where clips are missing from it."""
    path = config.folder / JOURNAL
    known = {record.id: record for record in read_records(path)} if path.is_file() else {}
    chosen = list(open_input(config.input).records())
    missing = [record.id for record in chosen if record.dropped is None and record.id not in known]
    if missing:
        raise ConfigError(
            f"{path}: {len(missing)} of {len(chosen)} clips are not heard yet, such as {missing[0]}; let experts hear "
            "them first, by --only listen"
        )
    return [_with_findings(record, known.get(record.id)) for record in chosen]


def finish(config: CurationConfig, heard: Sequence[Record]) -> bool:
    """Describe clips that experts have heard, let the language model write about them, filter and split them, and write
    the records. Whether the language model could be asked, if there is to be one; where not, it is told, and nothing
    written about. Raises what :class:`ConsistencyFilter` does."""
    # Licences before the language model: it writes about no clip that is not kept.
    written, could_ask = licensed([describe(record) for record in heard], config.split.licences), True
    try:
        written = write_about(config, written)
    except (CheckpointError, ConfigError, EndpointError) as error:
        say(f"no language model writes: {error}")
        could_ask = False
    if config.filter.model:
        written = list(ConsistencyFilter(config.filter)(written))
    if not any(found.vector for record in written for found in record.findings.values()):
        say("without the expert match no copies are looked for: a recording under two names may be in both splits")
    write_records(config.folder / RECORDS, split(written, config.split))
    return could_ask


def write_about(config: CurationConfig, records: Sequence[Record]) -> list[Record]:
    """``records``, those that are to be written about with what the language model of ``config`` writes, if it has one.

    Raises what :class:`Writer` does where its server cannot be asked for the name of its model, and what
    :func:`serving` does for a model of a file.
    """
    written = list(records)
    if not config.writer.endpoints and not config.writer.gguf:
        return written
    with _at_a_server(config.writer) as settings:
        writer = Writer(settings, config.folder / ANSWERS, os.environ.get(settings.api_key_env))
        heard = [place for place, record in enumerate(written) if record.category and record.dropped is None]
        asked = spread(heard, settings.clips or None, clip=written.__getitem__)
        say(f"{len(asked)} clips are written about by {writer.maker}")
        with Progress(len(asked), bar=True) as progress:
            for number, record in writer.write([written[place] for place in asked]):
                written[asked[number]] = record
                progress.advance()
    return written


@contextmanager
def _at_a_server(config: WriterConfig) -> Iterator[WriterConfig]:
    """``config`` with the address of a server, which is started here for a model of a file."""
    if not config.gguf:
        yield config
        return
    path = Path(config.gguf)
    with serving(path, context_tokens=config.context_tokens, slots=config.concurrency) as address:
        yield dataclasses.replace(config, gguf="", endpoints=(address,), model=config.model or path.stem, bounded=True)


def _is_heard(record: Record, versions_there: dict[str, str]) -> bool:
    """Whether nothing is left to be heard: it is dropped, or every expert has reported by its version of today."""
    if record.dropped is not None:
        return True
    return all(
        name in record.findings and record.findings[name].version == version for name, version in versions_there.items()
    )


def _require_room(ray: Any, config: CurationConfig) -> None:
    """All pools are at work at once, so one process of each needs its room. Raises :class:`ConfigError`."""
    there = ray.cluster_resources()
    needed = {
        "CPU": ("cpus", _READING_CPUS + sum(pool.cpus for pool in config.pools)),
        "GPU": ("gpus", sum(pool.gpus for pool in config.pools)),
    }
    for kind, (option, amount) in needed.items():
        if amount > there.get(kind, 0.0):
            raise ConfigError(
                f"pools: a process of each takes {amount:g} {kind}s together, and there are {there.get(kind, 0.0):g}; "
                f"lower their {option}, or put experts into one pool"
            )


def _experts_there(ray: Any, config: CurationConfig) -> dict[str, str]:
    """Versions of the experts that can be made, each asked on a machine that its pool may run on."""
    asked = [
        ray.remote(versions).options(num_cpus=pool.cpus, num_gpus=pool.gpus).remote(pool.experts, config.experts)
        for pool in config.pools
    ]
    found: dict[str, tuple[str, str]] = {name: told for answer in ray.get(asked) for name, told in answer.items()}
    for name, (version, reason) in found.items():
        if not version:
            say(f"expert {name} is left out: {reason}")
    there = {name: version for name, (version, _) in found.items() if version}
    if not there:
        raise ConfigError("none of the experts is there: " + "; ".join(reason for _, reason in found.values()))
    return there


def _listen(ray: Any, config: CurationConfig, waiting: Sequence[Record]) -> Iterator[tuple[Record, dict[str, float]]]:
    """``waiting`` with what the pools report, as they come, and the CPU seconds that each step took for it."""
    if not waiting:
        return
    most = max(pool.batch_clips for pool in config.pools)
    rows = ray.data.from_items(
        [{"record": record.to_line()} for record in waiting],
        override_num_blocks=-(-len(waiting) // most),  # what is on its way is lost when a run is killed
    ).map_batches(
        Read,
        fn_constructor_args=(config.input,),
        batch_size=most,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(pool.workers for pool in config.pools)),
        num_cpus=_READING_CPUS,
    )
    for number, pool in enumerate(config.pools, 1):
        rows = rows.map_batches(
            Listen,
            fn_constructor_args=(
                pool.experts,
                config.experts,
                config.folder.absolute() / MARKS,
                config.patience_seconds,
            ),
            fn_constructor_kwargs={"is_last": number == len(config.pools)},
            batch_size=pool.batch_clips,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=pool.workers),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
        )
    for row in rows.iter_rows():
        yield Record.from_line(row["record"]), json.loads(row["costs"])


@contextmanager
def _ray(cluster: str) -> Iterator[Any]:
    """Ray, connected to ``cluster`` or started here, and ended again."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its default to come, which it warns of
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError("curation needs the extra: pip install 'opendasheng[curate]' (it brings ray)") from error
    here: dict[str, Any] = {} if cluster else {"include_dashboard": False}
    ray.init(address=cluster or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
    logging.getLogger("ray").setLevel(logging.ERROR)  # of its children too, which say how each pass goes
    for name in ("ray.data", "ray.data._internal.progress"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        yield ray
    finally:
        ray.shutdown()
