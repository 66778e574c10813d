"""The debug log: one clean line for each thing told, with no secret of a known shape in it.

Loaded only if AUTOTASK_DEBUG asks for it and there is something to tell.
"""

from __future__ import annotations

import os

from autotask.guard import debug, from_signal_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.recorder import Process

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # the log may be a FIFO without a reader


def write(path: str, text: str) -> None:
    """Append a line to a file; `1` is standard error. What cannot be written is dropped."""
    line = f"autotask: {_clean(text)}\n".encode()
    try:
        if path == "1":
            os.write(2, line)
            return
        file = os.open(path, _FLAGS, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)
    except OSError as problem:
        if from_signal_handler(problem):
            raise


def told(problem: BaseException, where: str) -> str:
    """Say which error was swallowed, and the files and lines that it passed, innermost last."""
    places = []
    step = problem.__traceback__
    while step is not None:
        name = os.path.basename(step.tb_frame.f_code.co_filename)
        places.append(f"{name}:{step.tb_lineno}")
        step = step.tb_next
    return f"swallowed {_kind(problem)} in {where} ({' '.join(places)})"


def _kind(problem: BaseException) -> str:
    """Return an error's type and masked message; its type alone if nothing else works any more."""
    try:
        from autotask import failures

        error = failures.describe(problem)
    except Exception:
        return type(problem).__name__
    message = error.get("message")
    return error["type"] + (f": {message}" if message else "")


def explain(here: Process) -> None:
    """Log where the runs of this process go, and which settings have no valid value."""
    settings, notes = here.settings, here.journal
    journaled = "nowhere"
    if notes and not notes.home:
        journaled = "on standard error"
    elif notes and notes.is_open():
        journaled = f"in {notes.folder}"
    agent = "to {} {}:{}".format(*settings.destination).removesuffix(":0")
    sent = agent if here.wire else "nowhere"
    debug(f"process {here.pid}: runs are journalled {journaled}, sent {sent}")
    for problem in settings.problems:
        debug(f"counts as unset: {problem}")


def _clean(text: str) -> str:
    """Escape what is not printable: line ends, terminal controls and direction marks."""
    return "".join([letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text])
