"""What the tool says in one line before it exits with status 1."""


class ToolError(Exception):
    """A problem that the user can read in one line and act on."""
