"""The command ``opendasheng``: a table of sub-commands, each imported only when it is called.

A sub-command is a function ``configure(parser)`` that adds its arguments and calls ``parser.set_defaults(run=run)``,
where ``run(args)`` returns the exit code. Text goes to stdout, all else to stderr. Exit codes: 0 done, 1 something
could not be done, 2 wrong usage, 130 interrupted, 141 nobody reads the output any more.
"""

import argparse
import difflib
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from opendasheng import __version__
from opendasheng.errors import ConfigError, DashengError
from opendasheng.progress import say

_ABOUT = "Models that listen to speech, sounds and music and answer in text."

FAILED, WRONG_USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


class Command(NamedTuple):
    """Where a sub-command lives, and its line in ``opendasheng --help``."""

    module: str
    help: str
    configure: str = "configure"


class Group(NamedTuple):
    """A sub-command that has sub-commands of its own."""

    help: str
    commands: dict[str, Command]


EVAL = {
    "run": Command("opendasheng.evaluate.run_command", "predict, score and report, in one go"),
    "list": Command("opendasheng.evaluate.catalogue_command", "the tasks", "configure_list"),
    "show": Command("opendasheng.evaluate.catalogue_command", "all about one task", "configure_show"),
    "validate": Command("opendasheng.evaluate.catalogue_command", "check task files", "configure_validate"),
    "predict": Command("opendasheng.evaluate.predict_command", "answer the questions of tasks", "configure_predict"),
    "report": Command("opendasheng.evaluate.report.command", "a report of predictions", "configure_report"),
    "compare": Command("opendasheng.evaluate.report.command", "two models, row by row", "configure_compare"),
    "mecat": Command("opendasheng.evaluate.mecat_command", "score the MECAT benchmark", "configure_mecat"),
    "xares": Command("opendasheng.evaluate.xares.command", "judge an encoder as X-ARES does", "configure_xares"),
    "match": Command("opendasheng.evaluate.match_command", "judge an audio-text model", "configure_match"),
    "experts": Command("opendasheng.evaluate.experts_command", "judge experts of curation", "configure_experts"),
    "pairs": Command("opendasheng.evaluate.pairs_command", "join utterances for verification", "configure_pairs"),
}

COMMANDS: dict[str, Command | Group] = {
    "caption": Command("opendasheng.commands.answer", "say what is to be heard", "configure_caption"),
    "transcribe": Command("opendasheng.commands.answer", "write down speech", "configure_transcribe"),
    "tag": Command("opendasheng.commands.answer", "name sounds, genre, language and the like", "configure_tag"),
    "ask": Command("opendasheng.commands.answer", "ask any question about audio", "configure_ask"),
    "embed": Command("opendasheng.commands.search", "vectors of recordings, to search them by", "configure_embed"),
    "search": Command("opendasheng.commands.search", "find sounds by words, or by a sound", "configure_search"),
    "info": Command("opendasheng.commands.info", "show versions, devices and the bundled model"),
    "export": Command("opendasheng.commands.export", "make a model of a run, of adapters or of pickled weights"),
    "corpus": Command("opendasheng.corpora.command", "build training data from public sources, or import your own"),
    "score": Command("opendasheng.evaluate.score_command", "score a file of predictions"),
    "eval": Group("tasks, predictions, reports, benchmarks", EVAL),
    "train": Command("opendasheng.commands.train", "train a model by a recipe"),
    "curate": Command("opendasheng.curate.command", "let experts hear clips, for captions to be written from"),
    "bench": Command("opendasheng.bench.command", "measure speed"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. Raises SystemExit where argparse does: 0 after help, 2 for wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            if not debug:  # what other libraries wonder about is not for users
                warnings.filterwarnings("ignore", module="(?!opendasheng)")
            code = _dispatch(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return BROKEN_PIPE
    except Exception as error:
        if debug:
            raise
        if isinstance(error, DashengError):
            say(str(error))
        elif isinstance(error, OSError) and error.strerror:
            # A disk that is full, a folder that may not be written: what is wrong lies outside the program.
            say(f"{error.filename or 'what was printed'}: it cannot be written or read ({error.strerror})")
            _drop_stdout()
        else:
            say(f"unexpected {type(error).__name__}: {error} (--debug shows where)")
        return WRONG_USAGE if isinstance(error, ConfigError) else FAILED
    return code


def _drop_stdout() -> None:
    """Python would complain once more when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: list[str], group: Group | None = None, name: str = "opendasheng") -> int:
    commands: Mapping[str, Command | Group] = COMMANDS if group is None else group.commands
    width = max(map(len, commands))
    table = "\n".join(f"  {command:{width}}  {entry.help}" for command, entry in commands.items())
    parser = argparse.ArgumentParser(
        prog=name,
        description=_ABOUT if group is None else group.help,
        epilog=f"commands:\n{table}\n\n{name} COMMAND --help tells more. --debug shows where an error comes from.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if group is None:
        parser.add_argument("--version", action="version", version=f"opendasheng {__version__}")
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    if not arguments:
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    chosen = parser.parse_args(arguments).command
    rest = arguments[arguments.index(chosen) + 1 :]
    if chosen not in commands:
        nearest = difflib.get_close_matches(chosen, commands, n=1)
        parser.error(f"there is no command {chosen!r}" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    entry = commands[chosen]
    if isinstance(entry, Group):
        return _dispatch(rest, entry, f"{name} {chosen}")
    return _run(f"{name} {chosen}", entry, rest)


def _run(name: str, command: Command, arguments: list[str]) -> int:
    try:
        module = import_module(command.module)
    except ModuleNotFoundError as error:
        if error.name is None or not command.module.startswith(error.name):
            raise
        say(f"{name.partition(' ')[2]} is not part of this installation")
        return FAILED
    parser = argparse.ArgumentParser(prog=name, description=command.help, allow_abbrev=False)
    getattr(module, command.configure)(parser)
    args = parser.parse_args(arguments)
    return int(args.run(args) or 0)
