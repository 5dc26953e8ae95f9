"""All sources, by name, in the order in which they are built."""

from collections.abc import Sequence

from opendasheng.corpora import (
    amazon_queen,
    asterisk,
    festvox_ru,
    fillets,
    game_music,
    game_sounds,
    hydrogen,
    qabcs,
    sonic_pi,
    tuxpaint,
)
from opendasheng.corpora.recipe import Recipe
from opendasheng.errors import CorpusError

RECIPES = {
    recipe.name: recipe
    for recipe in (
        amazon_queen.RECIPE,
        festvox_ru.RECIPE,
        *asterisk.RECIPES,
        *fillets.RECIPES,
        *tuxpaint.RECIPES,
        *qabcs.RECIPES,
        sonic_pi.RECIPE,
        *hydrogen.RECIPES,
        *game_sounds.RECIPES,
        *game_music.RECIPES,
    )
}


def choose(names: Sequence[str]) -> list[Recipe]:
    """The recipes with these names, or all for no names.

    Raises:
        CorpusError: an unknown name.
    """
    for name in names:
        if name not in RECIPES:
            raise CorpusError(f"there is no source {name!r}; the sources are {', '.join(RECIPES)}")
    return [RECIPES[name] for name in names] if names else list(RECIPES.values())
