"""``opendasheng eval match``: an audio-text model judged on the captions of a corpus."""

import argparse
import json
from pathlib import Path
from typing import Any


def configure_match(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval match``."""
    parser.description = (
        "How well an audio-text model tells a clip's own caption from that of another, and finds one by the other. "
        "There are as many clips of each kind (speech, music, sound) as of the rarest. A threshold is chosen on dev, "
        "and judged by --threshold on test."
    )
    parser.add_argument(
        "--model", default="mini-match", metavar="NAME", help="mini-match (bundled), a folder, or GLAP's weights"
    )
    parser.add_argument("--data", default="corpus", metavar="FOLDER", help="a built corpus (corpus)")
    parser.add_argument("--split", default="test", choices=("train", "dev", "test"), help="of its clips (test)")
    parser.add_argument(
        "--unseen", action="store_true", help="only sources of which no clip of the same kind is in train"
    )
    parser.add_argument(
        "--records",
        type=Path,
        metavar="FILE.jsonl",
        help="records.jsonl of a run of curation: its short captions in the place of the corpus's",
    )
    parser.add_argument("--maker", default="template", help="whose captions of --records: template (default), model")
    parser.add_argument(
        "--limit", type=int, default=1000, metavar="N", help="clips, as many of each kind, at most (1000)"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="C", help="a cosine (default: that keeps 95 %% of own captions)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="all figures, and the curve of thresholds")
    parser.add_argument("--update", type=Path, metavar="FILE.md", help="put the table between its markers in this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Embed, judge and print."""
    from opendasheng import hub
    from opendasheng.data.shards import ShardReader
    from opendasheng.errors import ConfigError
    from opendasheng.evaluate.matching import captions_of_records, judge, num_even, pairs_of, unseen
    from opendasheng.evaluate.report.section import update_section
    from opendasheng.files import write_atomically
    from opendasheng.model.audio_text_files import load_audio_text
    from opendasheng.progress import Progress, say

    if args.limit < 2:
        raise ConfigError(f"--limit is {args.limit}; it is 2 or more")
    among = unseen(ShardReader(args.data).clips, args.split) if args.unseen else None
    if args.unseen and not among:
        raise ConfigError(f"{args.data}: every source of split {args.split} has clips in train; leave out --unseen")
    reader = ShardReader(args.data, split=args.split)
    scorer = load_audio_text(hub.place(args.model), args.device)
    clips = [clip for clip in reader.clips if among is None or (clip.source, clip.kind) in among]
    if args.records:
        captions = captions_of_records(args.records, clips, args.maker)
    else:
        captions = {clip.id: clip.captions[0] for clip in clips if clip.captions}
    num_clips = min(args.limit, num_even(clip for clip in clips if clip.id in captions))
    with Progress(num_clips, bar=True) as progress:
        pairs, complaints = pairs_of(scorer, reader, args.limit, captions, advance=progress.advance)
    for complaint in complaints:
        say(complaint)
    found = {"model": args.model, "split": args.split, "unseen": args.unseen, **judge(pairs, args.threshold)}
    print(table_of(found))
    if args.output:
        write_atomically(args.output, (json.dumps(found, indent=1) + "\n").encode())
    if args.update:
        update_section(args.update, "match", table_of(found))
    return 1 if complaints else 0


def table_of(found: dict[str, Any]) -> str:
    """The figures as Markdown, in per cent."""
    lines = ["| clips | pairs | figure | 95 % |", "| --- | --- | ---: | --- |"]
    areas = [("all", found["num_clips"], found["auc"])]
    areas += [(f"{kind} alone", its["num_clips"], its) for kind, its in found["auc_by_kind"].items()]
    for name, count, its in areas:
        interval = f"{100 * its['low']:.1f} to {100 * its['high']:.1f}"
        lines.append(
            f"| {name} ({count}) | own above another's caption (AUC) | {100 * its['value']:.1f} | {interval} |"
        )
    for direction, words in (("audio_to_text", "text for a clip"), ("text_to_audio", "clip for a text")):
        for measure, name in (("r1", "R@1"), ("r5", "R@5"), ("r10", "R@10"), ("map10", "mAP@10")):
            lines.append(f"| all ({found['num_clips']}) | {words}, {name} | {100 * found[direction][measure]:.1f} | |")
    at = f"cosine {found['threshold']:.3f} or more"
    lines.append(f"| all ({found['num_clips']}) | own captions kept, {at} | {100 * found['own_kept']:.1f} | |")
    lines.append(f"| all ({found['num_clips']}) | others' dropped, {at} | {100 * found['others_dropped']:.1f} | |")
    return "\n".join(lines)
