"""``opendasheng eval pairs``: utterances joined two by two, for the question whether one speaker says both."""

import argparse
from pathlib import Path


def configure_pairs(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval pairs``."""
    parser.description = (
        "Join utterances two by two, of the same speaker or of two, half and half: the speaker verification of the "
        "paper. The same seed gives the same pairs; after a kill the same command goes on."
    )
    parser.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="FOLDER_OR_TRIALS",
        help="a folder speaker/.../utterance.wav, or a list of trials (lines: 1 a.wav b.wav)",
    )
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="where the paths of trials begin (beside the list)")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="FLAC files and metadata.jsonl, for --data"
    )
    parser.add_argument("--num-pairs", type=int, required=True, metavar="N", help="how many, an even number")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which pairs are drawn (0)")
    parser.add_argument("--gap-seconds", type=float, default=0.0, metavar="S", help="silence between the two (0)")
    parser.add_argument(
        "--labels",
        default="yes,no",
        metavar="SAME,OTHER",
        help="what rows call them (yes,no; the words of the paper's rows are not published)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Choose the pairs and write them."""
    from opendasheng.errors import EvaluationError
    from opendasheng.evaluate.pairs import (
        PairOptions,
        choose_pairs,
        choose_trials,
        find_utterances,
        read_trials,
        write_pairs,
    )

    labels = tuple(label.strip() for label in args.labels.split(","))
    if len(labels) != 2:
        raise EvaluationError(f"--labels is {args.labels!r}; give two words with a comma between them, such as yes,no")
    options = PairOptions(args.gap_seconds, (labels[0], labels[1]))
    if args.input.is_file():
        pairs = choose_trials(read_trials(args.input), args.num_pairs, args.seed)
        root = args.root or args.input.parent
    elif args.root is not None:
        raise EvaluationError("--root is for a list of trials; a folder of speakers is its own root")
    else:
        pairs = choose_pairs(find_utterances(args.input), args.num_pairs, args.seed)
        root = args.input
    rows = write_pairs(pairs, root, args.output, options, bar=True)
    same = sum(pair.same for pair in pairs)
    print(f"{rows}: {len(pairs)} pairs, {same} of the same speaker, {len(pairs) - same} of two")
    return 0
