"""The stages of training by name (SPEC 9.5, paper 3.2): what each of them trains, and on what."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from opendasheng.train.config import RunConfig
from opendasheng.train.learner import Learner


def learner(config: RunConfig, initial: Path, catalogue: Collection[str] = ()) -> Learner[Any]:
    """What a run of this stage trains. ``initial`` keeps the model of step 0; ``catalogue`` are names of sources
    that a recipe may give rates to and a corpus need not have."""
    if config.stage == "mae":
        from opendasheng.train.masking import MaskLearner

        return MaskLearner(config, initial, catalogue)
    if config.stage == "distil":
        from opendasheng.train.distilling import DistilLearner

        return DistilLearner(config, initial, catalogue)
    if config.stage == "contrast":
        from opendasheng.train.contrasting import ContrastLearner

        return ContrastLearner(config, initial, catalogue)
    from opendasheng.train.answering import AnswerLearner

    return AnswerLearner(config, initial, catalogue)
