"""The names of Click commands that were called by an alias, or by another command."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def own_name(group: Any, command: Any, called: str) -> str:
    """Return a command's name in its group: *called* may be an alias, or the start of the name.

    A group that makes its commands when they are asked for knows them by what they are called.
    """
    names = [name for name, found in _commands(group) if found is command]
    if command.name in names:
        return str(command.name)
    return names[0] if names else called


def path_below(group: Any, command: Any) -> list[str] | None:
    """Return the names from a group down to a command; None if it has no such command."""
    for name, found in _commands(group):
        below = [] if found is command else path_below(found, command)
        if below is not None:
            return [name, *below]
    return None


def _commands(group: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a group has, or a collection of groups."""
    for owner in (group, *getattr(group, "sources", ())):
        commands = getattr(owner, "commands", None)
        if isinstance(commands, dict):
            yield from list(commands.items())
