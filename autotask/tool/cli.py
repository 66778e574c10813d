"""The entry point of `autotask`: hears Ctrl-C before the rest of it is imported.

Not even `__future__` is imported before: that is a file to be loaded, too.
"""

import sys

from autotask.tool import interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the command; return its exit status."""
    interrupts.end_at_once()
    from autotask.tool import command_line

    return command_line.run(argv)


if __name__ == "__main__":
    sys.exit(main())
