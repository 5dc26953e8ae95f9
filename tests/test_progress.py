"""Progress goes to stderr: a bar where somebody looks, else a line now and then."""

import io

import pytest

from opendasheng import progress
from opendasheng.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_elsewhere_name_count_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 16))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with Progress(5, bar=True) as shown:
        for _ in range(5):
            shown.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "opendasheng: 2 of 5 clips, 0.06 a second, 0.8 min left",
        "opendasheng: 4 of 5 clips, 0.06 a second, 0.3 min left",
    ]


def test_a_bar_on_a_terminal_and_stdout_untouched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress(3, bar=True) as shown:
        for number in range(3):
            print("answer", number)
            shown.advance()
    assert "3/3" in terminal.getvalue()
    assert capsys.readouterr().out == "answer 0\nanswer 1\nanswer 2\n"


@pytest.mark.parametrize(("total", "bar"), [(1, True), (9, False), (0, True)])
def test_no_bar_for_one_clip_or_where_answers_show_it(total: int, bar: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(total, bar=bar) as shown:
        for _ in range(total):
            shown.advance()
    assert terminal.getvalue() == ""
