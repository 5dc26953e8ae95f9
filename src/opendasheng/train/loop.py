"""The training loop. Data, checkpoints and schedule are functions of the step, so a killed run goes on as if it had
never stopped: the same batches, losses and weights."""

import json
import logging
import math
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from opendasheng.errors import TrainingError
from opendasheng.files import write_atomically
from opendasheng.lengths import SAMPLE_RATE_HZ
from opendasheng.train import stages
from opendasheng.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from opendasheng.train.config import RunConfig, to_json
from opendasheng.train.optim import build_optimizer, learning_rate
from opendasheng.train.record import FILE, make_record

log = logging.getLogger(__name__)


class Run:
    """One run in its folder: ``config.json``, ``metrics.jsonl``, ``checkpoints/``, and at the end ``model/`` and
    ``record.json``."""

    def __init__(self, config: RunConfig) -> None:
        if config.loop.threads:
            torch.set_num_threads(config.loop.threads)
        self.config = config
        self.folder = config.folder
        self._claim_folder()
        self.learner = stages.learner(config, self.folder / "initial")
        self.model = self.learner.model
        self.num_steps = self._num_steps()
        self.optimizer = build_optimizer(self.model, config.optim)
        self.step = 0
        self._stop = False

    def _claim_folder(self) -> None:
        """Make the run's folder, or check that the one there belongs to this very config."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "config.json"
        if path.is_file() and path.read_text() != to_json(self.config):
            raise TrainingError(f"{path} is of another run: give this one another name, or remove {self.folder}")
        write_atomically(path, to_json(self.config).encode())

    def _num_steps(self) -> int:
        loop = self.config.loop
        if not loop.epochs:
            return loop.steps
        return max(1, round(loop.epochs * len(self.learner.plan.epoch(0)) / self.config.optim.accumulate))

    def train(self) -> Path | None:
        """Go on from the newest checkpoint to the last step; the folder of the finished model.

        None when SIGTERM or Ctrl-C came first: the step is finished and a checkpoint written. Raises
        :class:`TrainingError` when the loss is not finite; the batch is then in ``bad_batch.json``.
        """
        done = checkpoints(self.folder / "checkpoints")
        if done:
            self.step = load_checkpoint(done[-1], self.model, self.optimizer)
            log.info("resumed at step %d from %s", self.step, done[-1])
        previous = {which: signal.signal(which, self._ask_to_stop) for which in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._run_steps()
        finally:
            for which, handler in previous.items():
                signal.signal(which, handler)
        if self.step < self.num_steps:
            self._save()
            log.info("stopped at step %d; the same command goes on from there", self.step)
            return None
        return self._finish()

    def _run_steps(self) -> None:
        loop, accumulate = self.config.loop, self.config.optim.accumulate
        batches = self.learner.plan.from_step(self.step * accumulate)
        meter = Meter()
        while self.step < self.num_steps and not self._stop:
            epoch, stats = self._one_step(batches)
            self.step += 1
            meter.add(stats)
            if self.step % loop.log_every == 0 or self.step == self.num_steps:
                self._record({"step": self.step, "epoch": epoch, **meter.flush(self.step, self.num_steps)})
            if self.step % loop.save_every == 0:
                self._save()
            if self.step % loop.eval_every == 0 or self.step == self.num_steps:
                self._record({"step": self.step, **self.learner.validate()})
                meter.restart()

    def _one_step(self, batches: Iterator[tuple[int, list[Any]]]) -> tuple[int, dict[str, float]]:
        """One optimiser step over ``accumulate`` batches, each item of them all weighing the same."""
        drawn = [next(batches) for _ in range(self.config.optim.accumulate)]
        ready = [self.learner.collate(draws) for _, draws in drawn]
        num_items = sum(self.learner.num_items(batch) for batch in ready)
        rate = learning_rate(self.step, self.num_steps, self.config.optim)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = 0.0
        for number, ((_, draws), batch) in enumerate(zip(drawn, ready, strict=True)):
            # What dropout draws is a function of the step, so that a resumed run draws the same (law 6).
            torch.manual_seed(int(np.random.SeedSequence([self.config.seed, self.step, number]).generate_state(1)[0]))
            loss = self.learner.loss(batch, num_items)
            self._require_finite(loss.item(), "loss", draws)
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        self._require_finite(norm.item(), "gradient norm", [draw for _, draws in drawn for draw in draws])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        heard, computed = (sum(sizes) for sizes in zip(*(self.learner.sizes(batch) for batch in ready), strict=True))
        return drawn[0][0], {
            "loss": total,
            "grad_norm": norm.item(),
            "lr": rate,
            "audio_seconds": heard / SAMPLE_RATE_HZ,
            "padding": 1 - heard / computed,
            "items": num_items,
        }

    def _require_finite(self, value: float, what: str, draws: list[Any]) -> None:
        if math.isfinite(value):
            return
        path = self.folder / "bad_batch.json"
        clips = [self.learner.describe(draw) for draw in draws]
        write_atomically(
            path, (json.dumps({"step": self.step, what: str(value), "clips": clips}, indent=1) + "\n").encode()
        )
        raise TrainingError(f"{what} is {value} at step {self.step}; its clips are in {path}")

    def _save(self) -> None:
        keep = self.config.loop.keep_checkpoints
        save_checkpoint(self.folder / "checkpoints", self.step, self.model, self.optimizer, keep)

    def _finish(self) -> Path:
        """Save the model and test it; what an earlier call has done is kept."""
        self._save()
        target = self.folder / "model"
        if not target.exists():
            self.learner.save_parts(self.folder)
            self.learner.save(target)
            log.info("the trained model is in %s", target)
        record = self.folder / FILE
        if not record.exists():
            values = make_record(self.config, self.folder, self.learner, self.num_steps)
            write_atomically(record, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
        return target

    def _ask_to_stop(self, which: int, frame: FrameType | None) -> None:  # noqa: ARG002
        log.info("asked to stop: finishing step %d and saving", self.step + 1)
        self._stop = True

    def _record(self, values: dict[str, Any]) -> None:
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
        shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in values.items() if k != "samples"}
        log.info("  ".join(f"{key} {value}" for key, value in shown.items()))
        for sample in values.get("samples", []):
            log.info("    %s", sample)


class Meter:
    """Means over the steps since the last record, with throughput and time to go."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew, leaving out what the clock showed meanwhile."""
        self._steps: list[dict[str, float]] = []
        self._clock = time.monotonic()

    def add(self, stats: dict[str, float]) -> None:
        """Count one step."""
        self._steps.append(stats)

    def flush(self, step: int, total: int) -> dict[str, float]:
        """Record of the steps since the last one, and begin anew."""
        elapsed = time.monotonic() - self._clock
        mean = {key: sum(stats[key] for stats in self._steps) / len(self._steps) for key in self._steps[0]}
        seconds_a_step = elapsed / len(self._steps)
        mean["audio_seconds_per_second"] = mean["audio_seconds"] / seconds_a_step
        mean["eta_minutes"] = (total - step) * seconds_a_step / 60
        self.restart()
        return mean
