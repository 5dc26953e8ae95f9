"""``opendasheng eval predict``: ask a model about the examples of tasks and keep its answers."""

import argparse
import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendasheng import environment
from opendasheng.errors import ConfigError, EvaluationError
from opendasheng.options import above_0, at_least
from opendasheng.progress import say

if TYPE_CHECKING:
    from opendasheng.evaluate.answerers import Answerer, TaskBound
    from opendasheng.evaluate.predict import Counts
    from opendasheng.evaluate.task import Task

BACKENDS = ("engine", "transformers", "endpoint")
_SHALLOW = ("majority", "logistic", "nearest")  # shallow.KINDS, without its imports for --help (tested)
_PROMPTS = ("midashenglm", "qwen2.5-omni", "kimi-audio")  # task.MODELS, without its imports for --help (tested)

_EPILOG = """\
Answers go to FOLDER/TASK/predictions.jsonl, a row at a time: run the same command again after a kill, and it goes on.
Started by torchrun, several processes share each task. Models that others serve are asked with --endpoint.
"""


def configure_predict(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval predict``."""
    parser.description = "Ask a model about every example of a task."
    parser.epilog = _EPILOG
    add_task_arguments(parser)
    add_prediction_arguments(parser)
    parser.set_defaults(run=run)


def add_task_arguments(parser: argparse.ArgumentParser) -> None:
    """Which tasks; see :func:`chosen_tasks`."""
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help="of `opendasheng eval list`, as 'mini-*', or a .toml file"
    )
    parser.add_argument(
        "--table", action="append", default=[], metavar="T", help="all tasks of a table of the paper, 7 to 12"
    )


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that predicts may be told."""
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="where the predictions go")
    parser.add_argument("--data", metavar="PATH", help="the data set, or a folder with one for each task, by its name")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="the first N examples of each task alone")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        metavar="NAME",
        help="mini (bundled), a folder, a hub id, or what the endpoint calls it; majority, logistic or nearest is a "
        "baseline that learns from the corpus; a Whisper for CTranslate2 or YAMNet as ONNX is known by its files",
    )
    model.add_argument("--backend", choices=BACKENDS, help="what runs it: follows from --model and --endpoint")
    model.add_argument("--prompts", choices=_PROMPTS, help="whose prompts are asked: follows from the model")
    model.add_argument("--revision", metavar="REV", help="branch, tag or commit of a hub id")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    model.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16")
    model.add_argument("--offline", action="store_true", help="fetch nothing: neither models nor data")
    model.add_argument("--batch-size", type=at_least(1), metavar="N", help="clips at a time; changes the speed alone")
    model.add_argument(
        "--max-seconds", type=above_0, default=300.0, metavar="S", help="refuse longer clips (300; inf: none)"
    )
    model.add_argument("--max-new-tokens", type=at_least(1), metavar="N", help="longest answer (what the task says)")
    server = parser.add_argument_group("endpoint")
    server.add_argument(
        "--endpoint", action="append", metavar="URL", help="an OpenAI-compatible server; give several to share the work"
    )
    server.add_argument("--concurrency", type=at_least(1), default=8, metavar="N", help="questions at each server (8)")
    server.add_argument("--timeout", type=above_0, default=300.0, metavar="S", help="seconds for one answer (300)")
    server.add_argument("--attempts", type=at_least(1), default=6, metavar="N", help="tries of a question (6)")
    server.add_argument(
        "--api-key-env",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="environment variable with the key (%(default)s)",
    )
    server.add_argument(
        "--audio-form", choices=("input_audio", "audio_url"), default="input_audio", help="how audio is sent"
    )


def run(args: argparse.Namespace) -> int:
    """Predict each task in turn; 0 only if every example was answered."""
    tasks = chosen_tasks(args.tasks, args.table)
    environment.prepare(offline=args.offline)
    answerer = answerer_of(args)
    num_failed = 0
    for task in tasks:
        try:
            num_failed += predict(args, task, answerer).num_failed
        except EvaluationError as error:  # what concerns one task does not keep the others from running
            say(str(error))
            num_failed += 1
    return 1 if num_failed else 0


def predict(args: argparse.Namespace, task: "Task", answerer: "Answerer | TaskBound") -> "Counts":
    """Predict one task as ``args`` say, and say on stderr how it went.

    Raises what :class:`opendasheng.evaluate.datasets.TaskData` and
    :func:`opendasheng.evaluate.predict.predict_task` do.
    """
    from opendasheng.evaluate.answerers import TaskBound
    from opendasheng.evaluate.datasets import TaskData
    from opendasheng.evaluate.predict import Ranks, predict_task

    ranks = Ranks.of_environment()
    if isinstance(answerer, TaskBound):
        answerer = answerer.of(task)
    counts = predict_task(
        task,
        answerer,
        TaskData(task, args.data),
        args.output,
        prompts=args.prompts,
        generation={} if args.max_new_tokens is None else {"max_new_tokens": args.max_new_tokens},
        limit=args.limit,
        ranks=ranks,
        bar=ranks.rank == 0,
    )
    say(described(counts))
    return counts


def described(counts: "Counts") -> str:
    """A line on how a task went."""
    parts = [f"{counts.num_answered} answered", f"{counts.num_before} answered before", f"{counts.num_failed} failed"]
    if counts.num_cut:
        parts.append(f"{counts.num_cut} cut at max_new_tokens")
    where = str(counts.path) if counts.complete else "another process puts the rows together"
    return f"{counts.task}: {', '.join(parts)}: {where}"


def chosen_tasks(names: list[str], tables: Sequence[str] = ()) -> "list[Task]":
    """The tasks of names, patterns, files and tables of the paper, each once.

    Raises :class:`EvaluationError` for a name, pattern or table that is no task's, and :class:`ConfigError` where none
    is given.
    """
    from opendasheng.evaluate.catalogue_command import chosen
    from opendasheng.evaluate.registry import find_task, tasks

    if not names and not tables:
        raise ConfigError("name tasks, a pattern such as 'mini-*', or a --table of the paper")
    found: dict[str, Task] = {task.name: task for table in tables for task in chosen(table=table)}
    for name in names:
        if not name.endswith(".toml") and any(sign in name for sign in "*?["):
            matching = [task for key, task in tasks().items() if fnmatch.fnmatchcase(key, name)]
            if not matching:
                raise EvaluationError(f"no task matches {name!r}; `opendasheng eval list` shows all")
            found |= {task.name: task for task in matching}
        else:
            task = find_task(name)
            found[task.name] = task
    return list(found.values())


def answerer_of(args: argparse.Namespace) -> "Answerer | TaskBound":
    """The model that ``args`` name; one of ours or of a baseline is not loaded yet.

    Raises :class:`ConfigError` for a backend that cannot run it, options that do not belong together and packages that
    are not there, :class:`CheckpointError` for a model that is not there.
    """
    backend = args.backend or ("endpoint" if args.endpoint else None)
    if backend == "endpoint":
        return _endpoint(args)
    if args.endpoint:
        raise ConfigError(f"--endpoint and --backend {backend} do not belong together; leave one out")
    name = args.model or "mini"
    if name in _SHALLOW and backend is None:
        from opendasheng.evaluate.shallow import ShallowAnswerer
        from opendasheng.evaluate.sources.opening import CORPUS

        return ShallowAnswerer(name, args.data or CORPUS)
    if name != "mini" and Path(name).exists():
        from opendasheng.evaluate.expert_answers import expert_of

        expert = expert_of(args, _device(args))
        if expert is not None:
            return expert
    family = _family(name) or "midashenglm"
    backend = backend or ("engine" if family == "midashenglm" else "transformers")
    common: dict[str, Any] = {
        "revision": args.revision,
        "offline": args.offline or None,
        "device": _device(args),
        "dtype": args.dtype,
    }
    common["max_seconds"] = args.max_seconds
    if backend == "engine":
        if family != "midashenglm":
            raise ConfigError(f"{name}: the engine runs MiDashengLM; use --backend transformers or --endpoint")
        from opendasheng.evaluate.answerers import EngineAnswerer

        return EngineAnswerer(name, batch_size=args.batch_size, **common)
    if (args.batch_size or 1) > 1:
        raise ConfigError(
            f"--batch-size is {args.batch_size}; baselines answer one clip at a time, a server is quicker"
        )
    from opendasheng.evaluate.baselines import QwenOmniAnswerer, require_class

    if family == "midashenglm":
        raise ConfigError(f"{name}: a MiDashengLM is run by our engine; leave --backend {backend} out")
    if family != "qwen2.5-omni":
        require_class(family, name)
    return QwenOmniAnswerer(name, **common)


def _endpoint(args: argparse.Namespace) -> "Answerer":
    from opendasheng.chat import Patience
    from opendasheng.evaluate.endpoint import EndpointAnswerer

    if not args.endpoint:
        raise ConfigError("--backend endpoint needs the address of a server: --endpoint http://localhost:8000/v1")
    if args.batch_size is not None:
        raise ConfigError("--batch-size is for models on this machine; at a server --concurrency counts")
    return EndpointAnswerer(
        args.endpoint,
        args.model,
        family=args.prompts,
        api_key=os.environ.get(args.api_key_env),
        concurrency=args.concurrency,
        patience=Patience(timeout_seconds=args.timeout, attempts=args.attempts),
        audio_form=args.audio_form,
        max_seconds=args.max_seconds,
    )


def _family(name: str) -> str | None:
    """Whose kind of model a folder holds, by its config.json, else what a name tells."""
    from opendasheng import hub
    from opendasheng.evaluate.answerers import family_of

    folder = Path(name)
    if name != hub.BUNDLED and folder.is_dir():
        kind = str(hub.read_config(folder, name).get("model_type"))
        return family_of(kind) or family_of(name)
    return family_of(name)


def _device(args: argparse.Namespace) -> str:
    """One device for each process that torchrun started on this machine."""
    local = os.environ.get("LOCAL_RANK", "")
    if args.device != "auto" or not local.isdigit():
        return str(args.device)
    import torch

    return f"cuda:{int(local) % torch.cuda.device_count()}" if torch.cuda.is_available() else "auto"
