"""The training loop. Data, checkpoints and schedule are functions of the step, so a killed run goes on as if it had
never stopped: the same batches, losses and weights."""

import json
import logging
import math
import shutil
import signal
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import torch

from opendasheng.data.clip import Clip
from opendasheng.data.mixture import Draw
from opendasheng.errors import ConfigError, TrainingError
from opendasheng.files import mend_lines, write_atomically
from opendasheng.lengths import SAMPLE_RATE_HZ
from opendasheng.train import stages
from opendasheng.train.averaging import averaged
from opendasheng.train.checkpoint import FOLDER, Checkpoints, checkpoints, load_checkpoint, writing
from opendasheng.train.clipping import clip_gradients
from opendasheng.train.config import RunConfig, to_json
from opendasheng.train.folder import CONFIG, DATA, check_config, check_data, data_to_json, hold
from opendasheng.train.learner import Batch
from opendasheng.train.loader import Loaded, Loader
from opendasheng.train.memory import checkpoint_activations
from opendasheng.train.metrics import Meter, Metrics
from opendasheng.train.optim import build_optimizer, learning_rate, set_rate
from opendasheng.train.products import precision_on
from opendasheng.train.reading import clip_at_fault
from opendasheng.train.record import FILE, LEFT_OUT, make_record
from opendasheng.train.sharding import gathered, shard
from opendasheng.train.world import World

log = logging.getLogger(__name__)

_SPIKE_STEPS = 100
# Fewer losses do not tell what is usual.
_FEWEST_STEPS = 10
# So many steps in a row of which nothing can be read are no longer a few damaged clips.
_MOST_EMPTY_STEPS = 10


class Run:
    """One run in its folder: ``config.json``, ``data.json``, ``metrics.jsonl``, ``checkpoints/``, and at the end
    ``model/`` and ``record.json``."""

    def __init__(self, config: RunConfig, world: World | None = None, *, catalogue: Collection[str] = ()) -> None:
        """``world`` are the processes that share each step; this one alone when None. ``catalogue`` are names of
        sources that the recipe may give rates to and its corpus need not have."""
        if config.compute.threads:
            torch.set_num_threads(config.compute.threads)
        self.config = config
        self._catalogue = catalogue
        self.folder = config.folder
        self.world = world or World()
        if config.optim.accumulate % self.world.size:
            raise ConfigError(
                f"optim.accumulate is {config.optim.accumulate}: {self.world.size} processes share the batches of a "
                "step, so it is a multiple of their number"
            )
        self.sharded = config.compute.sharded and self.world.size > 1
        if self.sharded and config.compute.shard_over and self.world.size % config.compute.shard_over:
            raise ConfigError(
                f"compute.shard_over is {config.compute.shard_over}: it must divide the {self.world.size} processes"
            )
        device = self.world.device(config.compute.device)  # before anything is written
        precision = precision_on(device, config.compute.precision)
        with self.world.first_then_others():
            self._check_folder()
            self.learner = stages.learner(config, self.folder / "initial", catalogue)
        check_data(self.folder, self.learner.clips, config.data.corpus)
        if device.type == "cuda":
            # cuDNN plans anew for every shape, and every batch has another: a step of distil took 0.46 s with it and
            # 0.15 s without, on an H100.
            torch.backends.cudnn.enabled = False
            torch.backends.cuda.enable_cudnn_sdp(False)
        self.model = self.learner.model
        self.learner.sharded = self.sharded
        if self.sharded:
            over = config.compute.shard_over
            shard(self.model, self.learner.units(), self.learner.methods, self.world, device, over)
        self.learner.place(device, precision)
        log.info("on %s, in %s", device, precision)
        if config.compute.activation_checkpointing:
            log.info("%d blocks keep their input alone", checkpoint_activations(self.model))
        self.num_steps = self._num_steps()
        self.optimizer = build_optimizer(self.model, config.optim)
        self.step = 0
        self._checkpoints = Checkpoints(self.folder / FOLDER, config.loop.keep_checkpoints, self.world)
        self._left_out = self.folder / LEFT_OUT
        if self.world.is_first:
            mend_lines(self._left_out)
        self._metrics = Metrics(self.folder, tensorboard=config.loop.tensorboard) if self.world.is_first else None
        self._losses: deque[float] = deque(maxlen=_SPIKE_STEPS)
        self._num_empty = 0  # steps in a row
        self._told: set[tuple[str, str | None]] = set()  # of this process, of what cannot be read
        self._asked_to_stop = False
        self._stop = False
        self._claim_folder()

    def _check_folder(self) -> None:
        """Check that the run in the folder, if there is one, is of this very config, wherever it computed."""
        self._lock = hold(self.folder) if self.world.is_first else None
        if (self.folder / CONFIG).is_file():
            check_config(self.folder, self.config)
        elif self.world.is_first:  # a model of step 0 without a config is of a start that failed, perhaps of another
            shutil.rmtree(self.folder / "initial", ignore_errors=True)

    def _claim_folder(self) -> None:
        """Make the folder that of this config and data; last, so that a start that fails stands in nobody's way."""
        if not self.world.is_first:
            return
        with writing(self.folder / CONFIG, self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / DATA, data_to_json(self.learner.clips).encode())
            if not (self.folder / FILE).is_file():  # of a finished run the record and its config belong together
                write_atomically(self.folder / CONFIG, to_json(self.config).encode())

    def _num_steps(self) -> int:
        loop = self.config.loop
        if not loop.epochs:
            return loop.steps
        return max(1, round(loop.epochs * len(self.learner.plan.epoch(0)) / self.config.optim.accumulate))

    def train(self) -> Path | None:
        """Go on from the newest checkpoint to the last step; the folder of the finished model.

        None when SIGTERM or Ctrl-C came first: the step is finished and a checkpoint written. Raises
        :class:`TrainingError` when the loss is not finite or jumps; the batch is then in ``bad_batch.json``.
        """
        self.step = self._checkpoints.load_newest(self.model, self.optimizer)
        if self.step:
            self._losses.extend(self._checkpoints.losses)
            log.info("resumed at step %d from %s", self.step, self._checkpoints.folder)
        for reason, clips in self.learner.not_drawn().items():
            log.info("%d clips are not drawn: %s; the first is %s", len(clips), reason, clips[0])
        for task, num_clips in self.learner.not_asked().items():
            log.info("task %s is not asked, its weight being 0: %d clips have an answer", task, num_clips)
        previous = {which: signal.signal(which, self._ask_to_stop) for which in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._run_steps()
        finally:
            for which, handler in previous.items():
                signal.signal(which, handler)
            self._checkpoints.settle()  # the one being written counts, whatever ended the steps
        if self.step < self.num_steps:
            self._save()
            self._checkpoints.settle()
            log.info("stopped at step %d; the same command goes on from there", self.step)
            return None
        return self._finish()

    def _run_steps(self) -> None:
        loader: Loader[Any] = Loader(self.learner.collate, self.config.compute.workers, self.learner.where)
        # All batches from the next step on, of which this process reads every ``size``-th: accumulate is a multiple.
        plan = self.learner.plan.from_step(self.step * self.config.optim.accumulate)
        with closing(loader.batches(islice(plan, self.world.rank, None, self.world.size))) as batches:
            self._step_through(batches)

    def _step_through(self, batches: Iterator[Loaded]) -> None:
        loop, meter = self.config.loop, Meter()
        while self.step < self.num_steps and not self._stop:
            stats = self._one_step(batches)
            self.step += 1
            if stats is not None:
                meter.add(stats)
            if meter.has_steps and (self.step % loop.log_every == 0 or self.step == self.num_steps):
                self._record(meter.flush(self.step, self.num_steps))
            if self.step % loop.save_every == 0:
                self._save()
            self._checkpoints.settle(wait=False)
            if self.step % loop.eval_every == 0 or self.step == self.num_steps:
                with meter.paused():
                    self._validate()

    def _validate(self) -> None:
        if self.world.is_first or self.sharded:  # where no process has the whole model, all do the same
            with averaged(self.optimizer), gathered(self.model):
                self._record(self.learner.validate(self._tell_of_dev))

    def _one_step(self, batches: Iterator[Loaded]) -> dict[str, float] | None:
        """One optimiser step over ``accumulate`` batches, each item of them all weighing the same.

        Each process takes every ``size``-th of them, and all add their gradients: the sums are those of one process.
        None where no clip of them can be read: then nothing is learnt.
        """
        mine = range(self.world.rank, self.config.optim.accumulate, self.world.size)
        ready = {number: next(batches) for number in mine}
        read = {number: batch for number, loaded in ready.items() if (batch := self._readable(loaded)) is not None}
        sizes = [(*self.learner.sizes(batch), *self.learner.positions(batch)) for batch in read.values()]
        num_read, num_items, heard, computed, filled, positions, asked_to_stop = self.world.totals(
            [
                len(read),
                sum(self.learner.num_items(batch) for batch in read.values()),
                *(sum(of_batch[place] for of_batch in sizes) for place in range(4)),
                self._asked_to_stop,
            ]
        )
        self._stop = asked_to_stop > 0  # after this step, in all processes
        if self._is_empty(int(num_read)):
            return None
        rate = learning_rate(self.step, self.num_steps, self.config.optim)
        set_rate(self.optimizer, rate)
        losses = {number: self._backward(number, batch, int(num_items)) for number, batch in read.items()}
        [total] = self.world.totals([sum(losses.values())])
        if not math.isfinite(total):
            bad = [draw for number, loss in losses.items() if not math.isfinite(loss) for draw in ready[number].draws]
            self._end_for(total, "loss", bad)
        self._watch(total, [draw for loaded in ready.values() for draw in loaded.draws])
        if not self.sharded:  # there the backward pass has added them
            self.world.add_gradients(self.model)
        norm = clip_gradients(self.model.parameters(), self.config.optim.clip_norm, self.world)
        if not math.isfinite(norm):
            self._end_for(norm, "gradient norm", [draw for loaded in ready.values() for draw in loaded.draws])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {
            "epoch": max(loaded.epoch for loaded in ready.values()),
            "loss": total,
            "grad_norm": norm,
            "lr": rate,
            "audio_seconds": heard / SAMPLE_RATE_HZ,
            "padding": 1 - heard / computed,
            **({"decoder_padding": 1 - filled / positions} if positions else {}),
            "items": num_items,
            "waited_seconds": sum(loaded.waited_seconds for loaded in ready.values()),
        }

    def _watch(self, loss: float, draws: list[Any]) -> None:
        """End the run where the loss jumps: what follows is seldom worth its time, and the batch tells why."""
        factor = self.config.loop.max_loss_jump
        usual = median(self._losses) if len(self._losses) >= _FEWEST_STEPS else math.inf
        if factor and loss > factor * usual:
            why = (
                f", over {factor:g} times the {usual:.4g} of the steps before (a higher loop.max_loss_jump goes on "
                "from the last checkpoint)"
            )
            self._end_for(loss, "loss", draws, why)
        self._losses.append(loss)

    def _readable(self, loaded: Loaded) -> Batch | None:
        """A batch less the clips that cannot be read: each is told once, and the run goes on. None without any."""
        for draw, error, clip_id in loaded.left_out:
            told = {"id": clip_id or self.learner.clips[draw.index].id, "split": "train", "error": error}
            if not clip_id and isinstance(draw, Draw):  # what is asked is at fault, and the clip may be heard elsewhere
                told["task"] = draw.example.task
            self._tell_once(told)
        return loaded.batch

    def _is_empty(self, num_read: int) -> bool:
        """Whether a step has nothing to learn from, of so many of its batches that can be read.

        Processes that hold a model in parts compute together, so there it needs all of its batches.
        """
        is_empty = num_read < self.config.optim.accumulate if self.sharded else num_read == 0
        self._num_empty = self._num_empty + 1 if is_empty else 0
        if is_empty:
            log.warning("step %d: nothing is learnt, since no clip of a batch can be read", self.step)
        if self._num_empty == _MOST_EMPTY_STEPS:
            raise TrainingError(
                f"step {self.step}: no clip can be read in {_MOST_EMPTY_STEPS} steps in a row; {self._left_out} names "
                "them with the reason: mend the corpus (opendasheng corpus verify), and the same command goes on"
            )
        return is_empty

    def _tell_of_dev(self, clip: Clip, error: Exception) -> None:
        if self.world.is_first:  # all processes hear the same dev clips
            self._tell_once({"id": clip_at_fault(error, clip.id), "split": "dev", "error": str(error)})

    def _tell_once(self, told: dict[str, Any]) -> None:
        key = told["id"], told.get("task")
        if key not in self._told:
            self._told.add(key)
            log.warning("left out of the %s split: %s", told["split"], told["error"])
            with writing(self._left_out, self.folder), self._left_out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(told, ensure_ascii=False) + "\n")

    def _backward(self, number: int, batch: Batch, num_items: int) -> float:
        # What dropout draws is a function of step and batch, so that a resumed run, and more processes, draw the same.
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, self.step, number]).generate_state(1)[0]))
        with self.learner.computing():
            loss = self.learner.loss(self.learner.placed(batch), num_items)
        loss.backward()
        return loss.item()

    def _end_for(self, value: float, what: str, draws: list[Any], why: str = "") -> NoReturn:
        """End the run; each process tells which of its clips took part."""
        path = self.folder / f"bad_batch{'' if self.world.is_first else f'-{self.world.rank}'}.json"
        where = f"its clips are in {self.folder / 'bad_batch*.json'}"
        if draws:
            clips = [self.learner.describe(draw) for draw in draws]
            told = {"step": self.step, what: str(value), "clips": clips}
            try:
                with writing(path, self.folder):
                    write_atomically(path, (json.dumps(told, indent=1) + "\n").encode())
            except TrainingError as error:
                where = str(error)
        raise TrainingError(f"{what} is {value} at step {self.step}{why}; {where}")

    def _save(self) -> None:
        self._checkpoints.save(self.step, self.model, self.optimizer, self._losses)

    def _finish(self) -> Path:
        """Save the model and test it; what an earlier call has done is kept."""
        self._save()
        self._checkpoints.settle()
        target = self.folder / "model"
        if not self.world.is_first:
            self.world.wait()
            return target
        if not (target.exists() and (self.folder / FILE).exists()):
            self._take_finished()
        if not target.exists():
            self._require_finite()
            with writing(target, self.folder):
                self.learner.save_parts(self.folder)
                self.learner.save(target)
            log.info("the trained model is in %s", target)
        record = self.folder / FILE
        if not record.exists():
            values = make_record(self.config, self.folder, self.learner, self.num_steps)
            with writing(record, self.folder):
                write_atomically(record, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
        self.world.wait()
        return target

    def _require_finite(self) -> None:
        """Losses are of before their step, so what the last one did shows in the weights alone."""
        for name, parameter in self.learner.model.named_parameters():
            if not parameter.isfinite().all():
                raise TrainingError(
                    f"{name} is not finite after step {self.step}: lower optim.lr ({self.config.optim.lr})"
                )

    def _take_finished(self) -> None:
        """Take from the last checkpoint what this process does not hold as it is to be saved: the whole model, where
        it has a part, and the averages of weights, where there are any."""
        averages = self.config.optim.average_share > 0
        if self.sharded:
            self.learner = stages.learner(self.config, self.folder / "initial", self._catalogue)
        if self.sharded or averages:
            load_checkpoint(checkpoints(self._checkpoints.folder)[-1], self.learner.model, averages=averages)
        if self.sharded:
            self.learner.place(self.learner.device, self.learner.precision)

    def _ask_to_stop(self, which: int, frame: FrameType | None) -> None:  # noqa: ARG002
        log.info("asked to stop: what has begun is finished and saved")
        self._asked_to_stop = True

    def _record(self, values: Mapping[str, Any]) -> None:
        if self._metrics is not None:
            self._metrics.write({"step": self.step, **values})
