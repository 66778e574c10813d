"""The texts of a failure: its reason in a line, its service check, its Datadog event.

Loaded only after a failure: most tasks never need it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.run import End, Outcome

_LONGEST = 500  # characters of a field
_LEAST_TEXT = 200  # bytes of a reason that are kept, however little room the tags leave

# Line ends and what turns the direction of a text, for a terminal or a page. No pattern: to import
# `re` runs code from a string, and CPython then forgets that it is to end by SIGINT because of an
# uncaught KeyboardInterrupt.
_CONTROLS = dict.fromkeys(
    (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)), " "
)
_CONTROLS.update(dict.fromkeys(range(0x2066, 0x206A), " "))


def summary(outcome: Outcome) -> str:
    """Write why a run failed: `exit 3`, `signal SIGKILL`, `exception ValueError: text`."""
    words = [outcome.reason or "failure"]
    if outcome.reason in ("exit", "usage") and outcome.exit_code is not None:
        words.append(str(outcome.exit_code))
    if outcome.signal:
        words.append(outcome.signal)
    if outcome.error:
        message = outcome.error.get("message")
        words.append(outcome.error.get("type", "") + (f": {message}" if message else ""))
    return " ".join(words)


def check(outcome: Outcome, size: int) -> str:
    """Write the message of a failure's service check in *size* bytes."""
    return _cut(one_line(summary(outcome)), size)


def event(task: str, tags: str, end: End, host: str, size: int) -> str:
    """Write the event of a failure so that it fits a datagram of *size* bytes."""
    title = one_line(f"task failed: {task}", 300)
    error = end.outcome.error or {}
    facts = {
        "reason": summary(end.outcome),
        "where": error.get("where", ""),
        "duration": "" if end.duration is None else f"{end.duration:.3f} s",
        "host": host,
    }
    text = "\\n".join([f"{name}: {one_line(fact)}" for name, fact in facts.items() if fact])
    tail = f"|k:{one_line(task, 100)}|t:error|#{tags}"
    # 20: the two lengths, the marks around them, the line's end.
    text = _cut(text, size - len(title.encode()) - len(tail.encode()) - 20)
    return f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}{tail}"


def one_line(text: str, length: int = _LONGEST) -> str:
    """Make a text safe inside a line of the protocol: no line ends, no field marks."""
    text = text[:length].replace("|", "/").replace("\n", "\\n")
    text = text.translate(_CONTROLS)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str, size: int) -> str:
    """Cut a text to *size* bytes, or to 200 if that is more, between characters."""
    data = text.encode()
    size = max(size, _LEAST_TEXT)
    return text if len(data) <= size else data[:size].decode("utf-8", "ignore")
