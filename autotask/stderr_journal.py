"""AUTOTASK_JOURNAL=stderr: no file, but a JSON line on standard error for each run that has ended.

For containers without a volume: `kubectl logs` and log pipelines read their standard error. The
line is the record that `autotask runs --format jsonl` would print.
"""

from __future__ import annotations

import os
from _thread import get_ident

from autotask.guard import raised_here
from autotask.journal import Journal, always, quoted
from autotask.stdlib import standard

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable
else:
    select = standard("select")

_STDERR = 2
_ATOMIC = 4096  # bytes that a pipe takes as a whole or not at all (PIPE_BUF)
_STARTED, _FINISHED = '{"event":"started","run":"', '{"event":"finished","run":"'
_ID = 16  # letters
_UNSENT, _HOST = ',"unsent":true', '"host":'
# The record's fields that a line leaves out if they are not known.
_OF_START = ("python", "ruby", "service", "env", "version", "attempt", "waited", "enqueued_by")
_OF_END = (
    *("reason", "caused_by", "exit_code", "signal", "error", "duration", "cpu", "max_rss"),
    "output",
)
_OF_ERROR = ("type", "message", "where")


class StderrJournal(Journal):
    """Takes the lines of a journal, and writes one line for each run when it ends."""

    output: str | None = None  # of a launcher's command that failed

    def __init__(self) -> None:
        super().__init__("")
        self._file = _STDERR
        self._starts: dict[str, str] = {}  # lines, by run
        self._poll = select.poll()
        self._poll.register(_STDERR, select.POLLOUT)

    def append(
        self,
        line: str,
        claim: Callable[[], object] = always,
        keep: bool = True,
        later: bool = False,
    ) -> bool | None:
        """Remember the start of a run, and write the record at its end; drop all other lines."""
        if line.startswith(_FINISHED):
            run = line[len(_FINISHED) :][:_ID]
            start = self._starts.get(run)
            if start is not None:
                written = super().append(_one_write(start, line, self.output), claim, keep, later)
                self._starts.pop(run, None)
                return written
        elif self._only and self._only != get_ident():
            return None
        if not claim():
            return None
        if line.startswith(_STARTED):
            self._starts[line[len(_STARTED) :][:_ID]] = line
        return True

    def _is_ready(self) -> bool:
        """Tell whether standard error takes a line at once.

        If standard error is closed, a file or socket of the program may have got its number. Python
        opens those so that they are not inherited, which shows the difference.
        """
        try:
            return os.get_inheritable(_STDERR) and self._has_room()
        except raised_here(OSError) as problem:
            self._refuse(problem)
            return False

    def _has_room(self) -> bool:
        return self._poll.poll(0) == [(_STDERR, select.POLLOUT)]  # and no error: it has a reader

    def _write(self, data: bytes) -> int:
        written = 0
        while written < len(data) and (not written or self._has_room()):
            taken = super()._write(data[written : written + _ATOMIC])
            if not taken:
                break
            written += taken
        return written


def _one_write(started: str, finished: str, output: str | None) -> str:
    """Return a run's record with as much of its output, the end, as goes into one atomic write.

    A longer line is torn if the reader is slow, and the whole record is lost.
    """
    line = record(started, finished)
    if not output:
        return line
    room = _ATOMIC - len(line) - len('\n""\n')  # a line that was torn before this one is ended
    begin = len(output)
    while begin and (room := room - len(quoted(output[begin - 1])) + len('""')) >= 0:
        begin -= 1
    if begin:  # not half of a line, unless that is all
        begin = output.find("\n", begin - 1, len(output) - 1) + 1 or begin
    return record(started, finished, output[begin:])


def record(started: str, finished: str, output: str | None = None) -> str:
    """Join the two lines of a run, and what was kept of its output, to its record.

    They are not decoded. A quote inside a JSON string has a backslash before it, so that all that
    looks like a field's name is one.
    """
    start, end = (line[1:-1].removesuffix(_UNSENT) for line in (started, finished))
    start = start.partition(",")[2].replace(',"at":', ',"started_at":', 1)
    before, _, behind = start.partition('"process":')
    start, _, tags = f"{before}{_HOST}{behind.partition(_HOST)[2]}".partition(',"tags":')
    end, failed, error = end.partition(',"at":')[2].partition(',"error":{')
    if failed:
        nulls = [f'"{name}":null,' for name in _OF_ERROR if f'"{name}":' not in error]
        end += "".join([failed, *nulls, error])
    if output:
        end += f',"output":{quoted(output)}'
    for flag in ("server", "bookkeeping"):
        if f',"{flag}":' not in start:
            start += f',"{flag}":false'
    fields = [start, *_nulls(start, _OF_START), f'"tags":{tags or "{}"}']
    return "{" + ",".join([*fields, f'"finished_at":{end}', *_nulls(end, _OF_END)]) + "}"


def _nulls(fields: str, names: tuple[str, ...]) -> list[str]:
    return [f'"{name}":null' for name in names if f',"{name}":' not in fields]
