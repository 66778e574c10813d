"""Runs written in short, for tables of expectations."""

from __future__ import annotations

from pathlib import Path

from support import Record, runs


def in_short(home: Path) -> list[str]:
    """Write each run of a home as `TASK STATUS REASON CODE ERROR PLACE in PARENT`.

    Each word as far as there is one; no parent if that is the process. The process's own run is
    first, and bookkeeping in parentheses.
    """
    found = runs(home)
    tasks = {run["run"]: run["task"] for run in found if run["framework"] != "process"}
    return [_written(run, tasks) for run in sorted(found, key=_is_inside)]


def _is_inside(run: Record) -> bool:
    return bool(run["framework"] != "process")


def _written(run: Record, tasks: dict[str, str]) -> str:
    error = run.get("error") or {}
    place = Path(error["where"]).name if error.get("where") else None
    outer = tasks.get(run["parent"] or "")
    words = (
        f"({run['task']})" if run.get("bookkeeping") else run["task"],
        run["status"],
        run.get("reason"),
        run.get("exit_code"),
        error.get("type"),
        place,
        f"in {outer}" if outer else None,
    )
    return " ".join(str(word) for word in words if word is not None)
