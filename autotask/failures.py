"""What is told of a failure: its error, its line in a service check, its event.

Apart from the rest because it is loaded only when something failed.
"""

from __future__ import annotations

import re

from autotask.agent import TABLE
from autotask.guard import from_signal_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from autotask.run import Outcome

LONGEST_MESSAGE = 500  # characters of an exception's message that are kept
_LONGEST_READ = 20_000  # characters of it that are searched for secrets


def describe(exc: BaseException) -> dict[str, str]:
    """Return an exception's type, masked message and, where known, the place it came from."""
    message = _message(exc)
    if type(exc).__name__ == "UnexpectedExit":  # Invoke's goes on with what the command has said
        message = message.partition("\n\nStdout:")[0]
    error = {"type": type(exc).__name__, "message": masked(message)}
    where = place(exc.__traceback__)
    if where:
        error["where"] = where
    return error


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as problem:  # the application's own __str__
        if from_signal_handler(problem):
            raise
        return ""


def masked(text: str) -> str:
    """Hide passwords in URLs and what follows `key=`, `token=`, `password=`; cut at 500."""
    text = text[:_LONGEST_READ]
    text = re.sub(
        r"(?i)((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://)(?:([^\s/@:]*:)[^\s/]*|[^\s/@:]+)@",
        r"\1\2***@",
        text,
    )
    text = re.sub(
        r"(?i)((?:key|token|password|passwd|passphrase|pwd|secret|(?<![a-z])pass)[\"']?\s*[=:]\s*)"
        r"(?:b?\"(?:[^\"\\]|\\.)*\"?|b?'(?:[^'\\]|\\.)*'?|[^\s,;&\"')\]}]+)",
        r"\1***",
        text,
    )
    # Options and their values, in a line for a shell or in a list of words.
    text = re.sub(
        r"(?i)([\s'\"]--?[\w-]*(?:key|token|password|passwd|passphrase|secret)['\"]?,?\s+['\"]?|"
        r"\b(?:mysql|mariadb)[\w-]*(?=[\s'\"])[^;|&\n]{0,200}?[\s'\"]-p|\bsshpass[\s'\",]+-p[\s'\",]*|"
        r"\bcurl\b[^;|&\n]{0,200}?\s-u\s*[^\s:'\"]+:|\bbearer\s+(?=\S{16}))(?![\s'\"-])"
        r"[^\s;|&\"',\]]+",
        r"\1***",
        text,
    )
    text = re.sub(r"(?i)(authorization[\"']?\s*[=:]\s*[\"']?(?:\w+ )?)[^\s,;\"'}]+", r"\1***", text)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 3] + "..."


def place(step: TracebackType | None) -> str | None:
    """Return `file:line` of the innermost frame that is outside the frameworks."""
    packages = {"autotask", *[name.partition(".")[0] for name in TABLE]}
    found = None
    while step is not None:
        frame = step.tb_frame
        module = frame.f_globals.get("__name__")
        top = module.partition(".")[0] if isinstance(module, str) else ""
        if top not in packages:
            found = f"{frame.f_code.co_filename}:{step.tb_lineno}"
        step = step.tb_next
    return found


def one_line(text: str, length: int = LONGEST_MESSAGE) -> str:
    """Make a text safe inside a line of the protocol: no line ends, no field marks."""
    text = text[:length].replace("|", "/").replace("\n", "\\n")
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def event(
    task: str, tags: str, outcome: Outcome, duration: float | None, host: str, size: int
) -> str:
    """Write the event of a failure so that it fits a datagram of *size* bytes."""
    title = one_line(f"task failed: {task}", 300)
    error = outcome.error or {}
    facts = [
        ("reason", summary(outcome)),
        ("where", error.get("where", "")),
        ("duration", "" if duration is None else f"{duration:.3f} s"),
        ("host", host),
    ]
    text = "\\n".join([f"{name}: {one_line(said)}" for name, said in facts if said])
    tail = f"|k:{one_line(task, 100)}|t:error|#{tags}"
    room = size - len(title.encode()) - len(tail.encode()) - 20  # the lengths and marks
    text = cut(text, max(room, 1))
    return f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}{tail}"


def summary(outcome: Outcome) -> str:
    """Say why a run failed: `exit 3`, `signal SIGKILL`, `exception ValueError: text`."""
    words = [outcome.reason or "failure"]
    if outcome.reason in ("exit", "usage") and outcome.exit_code is not None:
        words.append(str(outcome.exit_code))
    if outcome.signal:
        words.append(outcome.signal)
    if outcome.error:
        message = outcome.error.get("message")
        words.append(outcome.error.get("type", "") + (f": {message}" if message else ""))
    return " ".join(words)


def cut(text: str, size: int) -> str:
    """Cut a text to so many bytes, between characters."""
    data = text.encode()
    return text if len(data) <= size else data[:size].decode("utf-8", "ignore")
