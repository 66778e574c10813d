"""The entry point of `autotask`: sets up Ctrl-C before anything else is imported.

Not even `__future__` is imported here: it is a file as well, and takes time to load.
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
