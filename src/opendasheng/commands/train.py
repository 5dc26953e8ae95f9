"""``opendasheng train``: a recipe, with any of its values overridden on the command line."""

import argparse
import logging
import sys

from opendasheng.errors import ConfigError

_EXAMPLE = "opendasheng train recipes/mini-align.toml --loop.steps 100 --name trial"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``train`` to ``parser``."""
    parser.description = "Train by a recipe. The same command resumes a run that was stopped or killed."
    parser.epilog = f"Every value of the recipe is an option, for example: {_EXAMPLE}"
    parser.add_argument("recipe", metavar="RECIPE", help="a TOML file; see recipes/")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="--KEY VALUE", help="RECIPE --help lists them")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, or go on; 0 when the last step was reached, 1 when the run was stopped before."""
    from opendasheng.train.config import RunConfig, load_recipe

    try:
        import tyro
    except ModuleNotFoundError as error:
        raise ConfigError("training needs the extra: pip install 'opendasheng[train]'") from error
    recipe = load_recipe(args.recipe)
    config = tyro.cli(RunConfig, default=recipe, args=args.overrides, prog=f"opendasheng train {args.recipe}")
    from opendasheng.train.world import world

    with world() as processes:
        level = logging.INFO if processes.is_first else logging.WARNING
        logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        from opendasheng.corpora.registry import sources
        from opendasheng.train.loop import Run

        return 0 if Run(config, processes, catalogue=sources()).train() else 1
