"""What a run takes: summed over its parts, per hour of audio, with how busy the machine was."""

import json
import time

import pytest
from findings import heard

from opendasheng.curate.costs import Costs


def test_costs_add_up_over_the_parts_of_a_run(tmp_path):
    path = tmp_path / "costs.json"
    for part in range(2):
        costs = Costs(path)
        with costs.watching():
            costs.add(heard(duration_seconds=10.0, id=f"clip-{part}"), {"read": 0.5, "tags": 2.0})
            if part:
                costs.add(heard(duration_seconds=30.0, id="other"), {"read": 0.5})
    told = Costs(path)
    assert (told.steps["read"].clips, told.steps["read"].audio_seconds, told.steps["read"].cpu_seconds) == (3, 50, 1.5)
    assert told.steps["tags"].cpu_seconds == 4.0
    lines = told.table().splitlines()
    assert "| tags | 2 | 4.0 | 720 | 73 |" in lines
    assert "| read | 3 | 1.5 | 108 | 27 |" in lines
    assert lines.index("| tags | 2 | 4.0 | 720 | 73 |") < lines.index("| read | 3 | 1.5 | 108 | 27 |")


def test_a_busy_machine_is_told_from_an_idle_one(tmp_path):
    idle, busy = Costs(tmp_path / "idle.json"), Costs(tmp_path / "busy.json")
    with idle.watching():
        time.sleep(0.5)
    with busy.watching():
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
    assert busy.busy_seconds > 0.3
    assert idle.wall_seconds == pytest.approx(0.5, abs=0.3)


def test_a_run_that_fails_keeps_what_it_took(tmp_path):
    costs = Costs(tmp_path / "costs.json")

    def interrupted():
        with costs.watching():
            costs.add(heard(), {"read": 1.0})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads((tmp_path / "costs.json").read_text())["steps"]["read"]["clips"] == 1


def test_a_run_that_is_killed_keeps_what_it_took(tmp_path, monkeypatch):
    monkeypatch.setattr("opendasheng.curate.costs._SECONDS_BETWEEN_WRITES", 0.01)
    costs = Costs(tmp_path / "costs.json")
    with costs.watching():
        time.sleep(0.1)
        costs.add(heard(), {"read": 1.0})
        killed = Costs(tmp_path / "costs.json")
        time.sleep(0.1)
    assert killed.steps["read"].clips == 1
    assert 0.1 <= killed.wall_seconds <= costs.wall_seconds - 0.1
    assert Costs(tmp_path / "costs.json").wall_seconds == pytest.approx(costs.wall_seconds, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"steps": 1}', b'{"steps": {"a": {"b": 1}}}'])
def test_a_damaged_file_begins_anew(tmp_path, content):
    (tmp_path / "costs.json").write_bytes(content)
    assert Costs(tmp_path / "costs.json").table() == ""
