"""The texts of a failure: its reason in a line, its service check, its Datadog event.

Loaded only after a failure: most tasks never need it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotask.run import End, Outcome

_LONGEST = 500  # characters of a field
_MOST_TEXT = 4000  # characters of an event that Datadog keeps
_OUTPUT = "\\noutput:"
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


def check(end: End, size: int) -> str:
    """Write the message of a failure's service check in *size* bytes.

    If nothing else says what went wrong, the last line of the output may.
    """
    text = one_line(summary(end.outcome))
    if end.output and not end.outcome.error:
        text += ": " + one_line(end.output.rstrip().rpartition("\n")[2])
    return _cut(text, size)


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
    room = size - len(title.encode()) - len(tail.encode()) - 20
    text = _cut(text, room)
    if end.output:
        text += _last_lines(end.output, min(room, _MOST_TEXT) - len(text.encode()))
    return f"_e{{{len(title.encode())},{len(text.encode())}}}:{title}|{text}{tail}"


def _last_lines(output: str, size: int) -> str:
    """Write the last lines of an output that fit into *size* bytes, behind a line of their own."""
    lines: list[str] = []
    size -= len(_OUTPUT)
    for line in reversed(output.rstrip().split("\n")):
        written = "\\n" + one_line(line)
        size -= len(written.encode())
        if size < 0:
            break
        lines.insert(0, written)
    return _OUTPUT + "".join(lines) if lines else ""


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
