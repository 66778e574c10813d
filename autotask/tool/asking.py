"""Ask the user before something is changed."""

from __future__ import annotations

import sys

from autotask.tool.errors import ToolError


def confirm(yes: bool, question: str, reason: str = "") -> None:
    """Ask a question on the terminal, unless --yes was given.

    Args:
        yes: --yes was given.
        question: It ends with a question mark.
        reason: Why it matters; shown if standard input is not a terminal.

    Raises:
        ToolError: The user declined, or standard input is not a terminal.
    """
    if yes:
        return
    sys.stdout.flush()  # the changes must be visible before the question, in a log too
    if sys.stdin is None or not sys.stdin.isatty():
        because = f" ({reason})" if reason else ""
        raise ToolError(f"not a terminal: pass --yes to apply without confirmation{because}")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ToolError("nothing was changed")
