"""``opendasheng caption | transcribe | tag | ask``: one question about any number of clips."""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendasheng import environment, prompts
from opendasheng.cli import FAILED
from opendasheng.errors import ConfigError
from opendasheng.options import above_0
from opendasheng.progress import say

if TYPE_CHECKING:
    from opendasheng.engine import Answer, Engine

_OUTPUT_HELP = (
    "append one JSON line a clip to this file; a later run skips the clips that it answers for the same model, prompt "
    "and settings, and tries those again that failed"
)


def configure_caption(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``caption``."""
    parser.add_argument("--style", choices=prompts.styles("caption"), help="what to attend to, and at what length")
    _configure(parser, lambda args: (prompts.styled("caption", args.style), None))


def configure_transcribe(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``transcribe``."""
    parser.add_argument("--language", metavar="CODE", help="what is spoken, as an ISO 639 code (default: en)")
    _configure(parser, lambda args: (prompts.transcribe(args.language), None))


def configure_tag(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``tag``."""
    parser.add_argument("--style", choices=prompts.styles("tag"), help="what to name")
    parser.add_argument("--labels", type=_texts, metavar="A,B,C", help="answer with the likeliest of these")
    _configure(parser, lambda args: (prompts.styled("tag", args.style), args.labels))


def configure_ask(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``ask``."""
    parser.add_argument("--question", required=True, metavar="TEXT", help="put to the model as it stands")
    parser.add_argument("--choices", type=_texts, metavar="A,B,C", help="answer with the likeliest of these")
    _configure(parser, lambda args: (args.question, args.choices))


def _texts(text: str) -> tuple[str, ...]:
    """A list written with commas, or with semicolons where a text holds commas."""
    texts = tuple(part.strip() for part in text.split(";" if ";" in text else ","))
    if not all(texts) or len(set(texts)) < len(texts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different texts such as dog,cat (or a, b; c)")
    return texts


def _configure(parser: argparse.ArgumentParser, question: Any) -> None:
    """Arguments that all four have; ``question`` makes prompt and choices out of the parsed ones."""
    parser.add_argument(
        "inputs", nargs="+", metavar="AUDIO", help="files, folders, patterns such as 'a/**/*.flac', URLs"
    )
    model = parser.add_argument_group("model")
    model.add_argument("--model", default="mini", metavar="NAME", help="mini (bundled), a folder, or a hub id")
    model.add_argument("--revision", metavar="REV", help="branch, tag or commit of a hub id")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    model.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16")
    model.add_argument("--offline", action="store_true", help="fetch nothing: neither models nor audio")
    words = parser.add_argument_group("prompt")
    words.add_argument("--context", metavar="TEXT", help="names and terms that may occur")
    words.add_argument("--system", metavar="TEXT", help="a system message")
    decoding = parser.add_argument_group("decoding")
    decoding.add_argument("--max-new-tokens", type=int, default=256, metavar="N", help="longest answer (256)")
    decoding.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy, above 0 samples")
    decoding.add_argument("--top-k", type=int, metavar="N", help="sample from the N likeliest tokens")
    decoding.add_argument("--top-p", type=float, metavar="P", help="sample from the likeliest tokens of this share")
    decoding.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="above 1: repeat less")
    decoding.add_argument("--seed", type=int, metavar="N", help="make sampling repeatable")
    running = parser.add_argument_group("running")
    running.add_argument("--batch-size", type=int, metavar="N", help="clips at a time; changes the speed alone")
    running.add_argument("--max-seconds", type=above_0, metavar="S", help="refuse longer clips (300; inf: none)")
    output = running.add_mutually_exclusive_group()
    output.add_argument("--output", type=Path, metavar="FILE.jsonl", help=_OUTPUT_HELP)
    output.add_argument("--json", action="store_true", help="JSON lines instead of text")
    output.add_argument("--stream", action="store_true", help="write the answer about one clip as it comes")
    parser.set_defaults(run=run, question_of=question)


def run(args: argparse.Namespace) -> int:
    """Answer every input; 0 only if that was possible."""
    from opendasheng.commands.inputs import expand

    environment.prepare(offline=args.offline)
    prompt, choices = args.question_of(args)
    clips, failures = expand(args.inputs)
    for failure in failures:
        say(failure)
    if args.stream and (len(clips) != 1 or choices):
        raise ConfigError("--stream is for one clip and no choices; leave it out")
    if not clips:
        return FAILED
    job = Job(args, prompt, choices)
    if args.stream:
        job.stream(clips[0])
        return FAILED if failures else 0
    num_failed = len(failures) + (job.write(clips, args.output) if args.output else job.show(clips, args.json))
    return FAILED if num_failed else 0


class Job:
    """One question, a model to put it to (loaded when it is first needed), and ways to give the answers."""

    def __init__(self, args: argparse.Namespace, prompt: str, choices: tuple[str, ...] | None) -> None:
        from opendasheng import hub
        from opendasheng.model.generation import GenerationOptions

        self.args = args
        self.prompt = prompt
        self.choices = choices
        names = ("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "seed")
        self.options = GenerationOptions.of({name: getattr(args, name) for name in names})
        self.folder = hub.resolve(args.model, args.revision, args.offline or None)

    def settings(self) -> str:
        """12 hex digits for all that an answer depends on but the clip."""
        from opendasheng import hub

        args = self.args
        what = [self.prompt, self.choices, args.system, args.context, args.dtype, asdict(self.options)]
        text = json.dumps([hub.fingerprint(self.folder), *what], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def load(self) -> "Engine":
        """The model, loaded. Imports torch, so only when there is something to do."""
        from opendasheng.engine import load

        return load(self.folder, device=self.args.device, dtype=self.args.dtype)

    @property
    def max_seconds(self) -> float | None:
        """The longest clip that is taken; None without a limit."""
        from opendasheng.engine import MAX_SECONDS

        wanted = MAX_SECONDS if self.args.max_seconds is None else self.args.max_seconds
        return None if math.isinf(wanted) else wanted

    def answers(self, clips: list[str]) -> Iterator[tuple[int, "Answer"]]:
        """Index and answer of each clip, as they are done."""
        from opendasheng.request import Request

        args = self.args
        requests = (
            Request.ask(clip, self.prompt, system=args.system, context=args.context, choices=self.choices)
            for clip in clips
        )
        engine = self.load()
        return engine.answers(requests, self.options, batch_size=args.batch_size, max_seconds=self.max_seconds)

    def stream(self, clip: str) -> None:
        """The answer about one clip to stdout, piece by piece."""
        from opendasheng.request import Request

        args = self.args
        request = Request.ask(clip, self.prompt, system=args.system, context=args.context)
        for piece in self.load().stream_request(request, self.options, max_seconds=self.max_seconds):
            print(piece, end="", flush=True)
        print()

    def show(self, clips: list[str], as_json: bool) -> int:
        """Answers to stdout, in order; how many failed. Text alone for one clip, else a line each: name, tab, text."""
        from opendasheng.commands.inputs import clip_id

        num_failed = 0
        for index, answer in _with_progress(_in_order(self.answers(clips)), len(clips), bar=not sys.stdout.isatty()):
            record = self.record(clips[index], answer)
            num_failed += _complain(record)
            if as_json:
                print(json.dumps(record, ensure_ascii=False), flush=True)
            elif "text" in record:
                line = " ".join(record["text"].split())
                print(record["text"] if len(clips) == 1 else f"{clip_id(clips[index])}\t{line}", flush=True)
        return num_failed

    def write(self, clips: list[str], path: Path) -> int:
        """Answers to a file, those that it lacks; how many clips are without an answer at the end."""
        from opendasheng.commands.inputs import clip_id
        from opendasheng.journal import Journal

        num_failed = 0
        with Journal(path, self.settings()) as journal:
            missing = [clip for clip in clips if not journal.is_answered(clip_id(clip))]
            answers = self.answers(missing) if missing else iter(())
            for index, answer in _with_progress(answers, len(missing), bar=True):
                record = self.record(missing[index], answer)
                num_failed += _complain(record)
                journal.write(record)
        skipped = len(clips) - len(missing)
        say(f"{path}: {len(missing) - num_failed} answered, {skipped} answered before, {num_failed} failed")
        return num_failed

    def record(self, clip: str, answer: "Answer") -> dict[str, Any]:
        """What is kept of an answer, or of a failure: a JSON object."""
        from opendasheng.commands.inputs import clip_id
        from opendasheng.errors import DashengError

        args = self.args
        model = args.model if args.revision is None else f"{args.model}@{args.revision}"
        about = {"model": model, "prompt": prompts.with_context(self.prompt, args.context)}
        if isinstance(answer, DashengError):
            return {"id": clip_id(clip), "error": " ".join(str(answer).split()), **about}
        timings = asdict(answer.timings)
        counts = {name: getattr(answer, name) for name in ("num_audio_tokens", "num_prompt_tokens", "num_new_tokens")}
        return {
            "id": clip_id(clip),
            "text": answer.text,
            **about,
            **counts,
            "finish_reason": answer.finish_reason,
            "audio_seconds": round(answer.audio_seconds, 3),
            **{name: round(value, 4) for name, value in timings.items()},
        }


def _complain(record: dict[str, Any]) -> bool:
    """Say on stderr what failed, if it did."""
    if "error" in record:
        say(record["error"])
    return "error" in record


def _in_order(answers: Iterable[tuple[int, "Answer"]]) -> Iterator[tuple[int, "Answer"]]:
    """The same pairs by index. What waits is bounded, since the engine answers window by window."""
    waiting: dict[int, Answer] = {}
    following = 0
    for index, answer in answers:
        waiting[index] = answer
        while following in waiting:
            yield following, waiting.pop(following)
            following += 1


def _with_progress(answers: Iterable[Any], total: int, *, bar: bool) -> Iterator[Any]:
    from opendasheng.progress import Progress

    with Progress(total, bar=bar) as progress:
        for answer in answers:
            yield answer
            progress.advance()
