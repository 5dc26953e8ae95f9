"""Runs on a cluster of two machines, here two nodes of Ray, each with a core and a store of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_listeners import python_path

from opendasheng.curate.journal import read_records
from opendasheng.curate.record import Record
from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardWriter

pytestmark = pytest.mark.full

RECIPE = """
name = "shared"
output = "{folder}"
cluster = "{address}"
[input]
corpus = "{folder}/clips"
[[pools]]
experts = ["levels", "tiny_listeners:Placed"]
workers = 2
cpus = 0.9
batch_clips = 2
[experts."tiny_listeners:Placed"]
seconds = "{seconds}"
"""
_SMALLEST_STORE_BYTES = 80_000_000
_RATE_HZ = 16_000


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ray, whose nodes find the experts of the tests."""
    monkeypatch.setenv("PYTHONPATH", python_path())
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return pytest.importorskip("ray")


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster, whose second node is ``worker_nodes``'s only one."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": _SMALLEST_STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    try:
        cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()


def write_noise(folder: Path, num: int, seconds: float) -> None:
    """Clips that no codec makes small: 1.9 MB a minute."""
    random = np.random.default_rng(0)
    with ShardWriter(folder / "clips" / "noise", source="noise", fingerprint="1") as writer:
        for number in range(num):
            audio = 0.2 * random.standard_normal(round(seconds * _RATE_HZ))
            writer.add(
                Clip(f"noise-{number:03d}", "noise", "CC0-1.0", "train", "sound", seconds), audio.astype(np.float32)
            )


def run(folder: Path, address: str, seconds: float, meanwhile: Callable[[Path], None]) -> dict[str, Record]:
    """The records of a run of its own process, beside which ``meanwhile`` is called with its journal."""
    recipe = folder / "shared.toml"
    recipe.write_text(RECIPE.format(folder=folder, address=address, seconds=seconds))
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "opendasheng", "curate", str(recipe)], stdout=said, stderr=said
        )
    try:
        meanwhile(folder / "shared" / "journal.jsonl")
        assert process.wait(timeout=300) == 0, (folder / "said").read_text()
    finally:
        process.kill()
        process.wait()
    lines = (folder / "shared" / "journal.jsonl").read_text().splitlines()
    records = {record.id: record for record in read_records(folder / "shared" / "records.jsonl")}
    assert len(lines) == len(records)  # none was heard twice
    return records


def wait_for(journal: Path, num: int) -> dict[str, Any]:
    """The first line of the journal of a run that goes on, as soon as it has so many."""
    for _ in range(1200):
        if journal.exists() and len(found := journal.read_text().splitlines(keepends=True)) > num:
            return json.loads(found[0])
        time.sleep(0.1)
    raise AssertionError("it hears nothing")


def test_both_machines_listen_though_their_stores_are_full(ray: Any, tmp_path: Path) -> None:
    write_noise(tmp_path, 60, 60.0)  # 115 MB, more than a store
    with two_nodes() as cluster:
        ray.init(address=cluster.address, log_to_driver=False)
        held = ray.put(np.ones(int(0.9 * _SMALLEST_STORE_BYTES), np.uint8))
        try:
            records = run(tmp_path, cluster.address, 0.2, lambda _: None)
        finally:
            del held
            ray.shutdown()
    assert sorted(records) == [f"noise-{number:03d}" for number in range(60)]
    assert len({record.value("node") for record in records.values()}) == 2
    assert all(record.value("peak_dbfs") is not None for record in records.values())


def test_a_dead_worker_and_a_dead_machine_cost_no_clip(ray: Any, tmp_path: Path) -> None:
    write_noise(tmp_path, 60, 2.0)

    with two_nodes() as cluster:

        def kill(journal: Path) -> None:
            first = wait_for(journal, 4)
            os.kill(first["findings"]["placed"]["values"]["process"], signal.SIGKILL)
            wait_for(journal, 20)
            [second] = cluster.worker_nodes
            cluster.remove_node(second, allow_graceful=False)

        records = run(tmp_path, cluster.address, 0.5, kill)
    assert sorted(records) == [f"noise-{number:03d}" for number in range(60)]
    assert all(record.value("node") for record in records.values())
    assert len({record.value("process") for record in records.values()}) > 2
