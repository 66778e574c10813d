"""The debug log: one line for each entry, printable, with secrets of known shapes masked.

Loaded only if AUTOTASK_DEBUG asks for it and there is something to write. It is imported by a plain
statement, so it does without `from __future__`, which the program would see in sys.modules.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from autotask.recorder import Process

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # the log may be a FIFO without a reader
_LONGEST_MESSAGE = 500  # characters


def write(path: str, text: str) -> None:
    """Append a line to a file; `1` is standard error. Raises OSError if that cannot be written."""
    line = f"autotask: {_clean(text)}\n".encode()
    if path == "1":
        os.write(2, line)
        return
    file = os.open(path, _FLAGS, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def describe(problem: BaseException, where: str, with_message: bool) -> str:
    """Return which error was swallowed where, and the lines that it passed, innermost last."""
    lines = []
    step = problem.__traceback__
    while step is not None:
        name = os.path.basename(step.tb_frame.f_code.co_filename)
        lines.append(f"{name}:{step.tb_lineno}")
        step = step.tb_next
    kind = type(problem).__name__
    message = _message(problem) if with_message else ""
    if message:
        kind += f": {message}"
    return f"swallowed {kind} in {where} ({' '.join(lines)})"


def _message(problem: BaseException) -> str:
    """Return an error's masked message; empty if masking does not work any more."""
    try:
        from autotask.masking import hide

        return hide(str(problem))[:_LONGEST_MESSAGE]
    except Exception:
        return ""


def explain(here: "Process", debug: "Callable[[str], None]") -> None:
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
