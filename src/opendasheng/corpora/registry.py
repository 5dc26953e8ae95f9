"""All sources, by name, in the order in which they are built."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec

from opendasheng.corpora import (
    amazon_queen,
    asterisk,
    drascula,
    festvox_ru,
    fillets,
    game_lines,
    game_music,
    game_sounds,
    hydrogen,
    qabcs,
    sonic_pi,
    soundfonts,
    steel_sky,
    tuxpaint,
    wordnet_spoken,
)
from opendasheng.corpora.recipe import Recipe
from opendasheng.errors import CorpusError

log = logging.getLogger(__name__)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        amazon_queen.RECIPE,
        drascula.RECIPE,
        steel_sky.RECIPE,
        festvox_ru.RECIPE,
        *asterisk.RECIPES,
        *fillets.RECIPES,
        *tuxpaint.RECIPES,
        *qabcs.RECIPES,
        sonic_pi.RECIPE,
        *hydrogen.RECIPES,
        *soundfonts.RECIPES,
        *game_sounds.RECIPES,
        *game_music.RECIPES,
        *wordnet_spoken.RECIPES,
        game_lines.RECIPE,
    )
}


def sources() -> set[str]:
    """What the clips of all recipes call their source."""
    return {recipe.source for recipe in RECIPES.values()}


def choose(names: Sequence[str]) -> list[Recipe]:
    """The recipes with these names, or for no names all that can be built with what is installed.

    Raises:
        CorpusError: an unknown name.
    """
    for name in names:
        if name not in RECIPES:
            raise CorpusError(f"there is no source {name!r}; the sources are {', '.join(RECIPES)}")
    if names:
        return [RECIPES[name] for name in names]
    missing = [recipe for recipe in RECIPES.values() if recipe.needs and find_spec(recipe.needs) is None]
    for recipe in missing:
        log.warning("%s is left out: it needs the module %s, which is not installed", recipe.name, recipe.needs)
    return [recipe for recipe in RECIPES.values() if recipe not in missing]
