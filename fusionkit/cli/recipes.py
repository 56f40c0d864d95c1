"""``fusionkit recipes``: the recipes that there are by name, or the text of one."""

from __future__ import annotations

from collections.abc import Sequence

from ..contract.recipe import RECIPE
from ..errors import UsageError
from ..recipes.finding import text_of
from .arguments import Parser, add_plugin_flags, load_plugins_from

_EXAMPLES = """\
examples:
  fusionkit recipes                              all recipes, and who provides them
  fusionkit recipes multi-focus > mine.toml      one, as a beginning of your own
  fusionkit run near.png far.png -o fused.png --recipe mine.toml
  fusionkit recipes dig2dig --bibtex             what to cite for a published method
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="fusionkit recipes",
        description="List the recipes that --task and --recipe know by name, or print one.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the recipe to print, as TOML")
    parser.add_argument(
        "--bibtex", action="store_true", help="print what to cite for it, instead of the recipe"
    )
    add_plugin_flags(parser)
    given = parser.parse_args(arguments)
    registry = load_plugins_from(arguments)
    if given.name is None and given.bibtex:
        raise UsageError("--bibtex goes with the NAME of a recipe")
    if given.name is not None:
        provided = registry.find(RECIPE, given.name)
        if given.bibtex:
            if not provided.component.citation:
                raise UsageError(f"{provided.label} names nothing to cite")
            print(provided.component.citation.rstrip())
            return 0
        try:
            print(text_of(provided.component).rstrip())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{provided.label} cannot be read: {error}") from None
        return 0
    found = registry.all(RECIPE)
    names = [registry.short_name(RECIPE, provided.qualified) for provided in found]
    widths = [max(map(len, words), default=0) for words in (names, [p.plugin.name for p in found])]
    for name, provided in zip(names, found, strict=True):
        summary = provided.component.summary
        print(f"{name:<{widths[0]}}  {provided.plugin.name:<{widths[1]}}  {summary}")
    return 0
