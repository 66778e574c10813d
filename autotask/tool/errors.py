"""The error that `autotask` reports in one line, with exit status 1."""


class ToolError(Exception):
    """A problem that the user can understand from one line, and act on."""
