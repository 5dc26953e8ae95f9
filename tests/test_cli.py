"""The command line as a whole: light, strict about usage, and never a traceback."""

import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import opendasheng
from opendasheng import cli
from opendasheng.errors import AudioError, ConfigError

HEAVY = ("torch", "transformers", "numpy", "soundfile", "huggingface_hub", "rich", "httpx")


def test_help_imports_nothing_heavy_and_takes_little_time() -> None:
    script = (
        "import sys, time, opendasheng.cli\n"
        "try: opendasheng.cli.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print(time.process_time(), [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *help_lines, last = done.stdout.splitlines()
    seconds, loaded = last.split(" ", 1)
    assert float(seconds) < 0.5
    assert loaded == "[]"
    for name, command in cli.COMMANDS.items():
        assert f"  {name:10}  {command.help}" in help_lines


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"opendasheng {opendasheng.__version__}\n"


def test_package_and_module_run_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opendasheng", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"opendasheng {opendasheng.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["capton"], ["--no-such-option"], ["caption"], ["caption", "--stile", "x", "a.wav"]]
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "error:" in capsys.readouterr().err


def test_no_command_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "transcribe" in capsys.readouterr().err


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["transcibe", "a.wav"])
    assert "did you mean transcribe?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["caption", "transcribe", "tag", "ask", "info", "export"])
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([name, "--help"])
    assert f"usage: opendasheng {name}" in capsys.readouterr().out


# What happens inside a command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes ``opendasheng try`` run a function."""

    def install(run: Callable[[Namespace], object]) -> None:
        module = ModuleType("opendasheng_try")
        module.configure = lambda parser: parser.set_defaults(run=run)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "opendasheng_try", module)
        monkeypatch.setitem(cli.COMMANDS, "try", cli.Command("opendasheng_try", "a test"))

    return install


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (AudioError("a.wav: it is\nempty"), 1, "opendasheng: a.wav: it is empty\n"),
        (ConfigError("style 'x' is none"), 2, "opendasheng: style 'x' is none\n"),
        (KeyboardInterrupt(), 130, "opendasheng: interrupted\n"),
        (ZeroDivisionError("by zero"), 1, "opendasheng: unexpected ZeroDivisionError: by zero (--debug shows where)\n"),
    ],
)
def test_errors_are_one_line(
    error: BaseException, code: int, line: str, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: Namespace) -> None:
        raise error

    command(run)
    assert cli.main(["try"]) == code
    assert capsys.readouterr() == ("", line)


def test_debug_shows_where(command: Callable[..., None]) -> None:
    def run(_: Namespace) -> None:
        raise ZeroDivisionError

    command(run)
    with pytest.raises(ZeroDivisionError):
        cli.main(["try", "--debug"])


def test_the_code_of_a_command_is_the_exit_code(command: Callable[..., None]) -> None:
    for given, code in ((0, 0), (None, 0), (1, 1), (7, 7)):
        command(lambda _, given=given: given)
        assert cli.main(["try"]) == code


def test_a_command_that_is_not_installed_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.COMMANDS, "try", cli.Command("opendasheng.nowhere.command", "a test"))
    assert cli.main(["try"]) == 1
    assert capsys.readouterr().err == "opendasheng: try is not part of this installation\n"


def in_a_process(body: str) -> "subprocess.Popen[str]":
    """A process whose ``opendasheng try`` runs ``body``."""
    # A test run that a shell has put in the background hands on an ignored Ctrl-C: hence the handler.
    script = f"""
import signal, sys, time
from types import ModuleType
from opendasheng import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
def run(args):
{body}
module = ModuleType("opendasheng_try")
module.configure = lambda parser: parser.set_defaults(run=run)
sys.modules["opendasheng_try"] = module
cli.COMMANDS["try"] = cli.Command("opendasheng_try", "")
sys.exit(cli.main(["try"]))
"""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True)


def test_control_c_ends_cleanly() -> None:
    process = in_a_process("    print('ready', flush=True)\n    time.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "opendasheng: interrupted\n")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("flush", [True, False])
def test_a_reader_that_leaves_is_no_error(flush: bool) -> None:
    process = in_a_process(f"    for n in range(100_000): print('x' * 99, flush={flush})")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 141


def test_the_table_is_complete() -> None:
    wanted = {"caption", "transcribe", "tag", "ask", "info", "export", "corpus", "train", "bench"}
    assert wanted <= cli.COMMANDS.keys()
    for command in cli.COMMANDS.values():
        assert command.help
        assert len(command.help) < 60


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["info"], ["eval", "list"]])
def test_a_full_disk_behind_stdout_is_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "opendasheng", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "opendasheng: what was printed: it cannot be written or read (No space left on device)\n"
