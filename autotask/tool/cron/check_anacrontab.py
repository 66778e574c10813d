"""Whether what the PATH of a watched anacrontab leads to is in order."""

from __future__ import annotations

from autotask.tool.cron import anacrontab, run_parts_door
from autotask.tool.doctor.finding import Finding, Findings
from autotask.tool.schedule.places import Places


def findings(places: Places) -> Findings:
    """Yield what is wrong with the stand-ins for run-parts that /etc/anacrontab names."""
    path = places.anacrontab
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return
    except OSError as problem:
        yield Finding("warning", "door", f"cannot read {path}: {problem.strerror}")
        return
    for folder in anacrontab.folders(text):
        why = run_parts_door.problem(f"{folder}/run-parts")
        if why:
            yield Finding("problem", "door", f"{path}: {why}", f"`autotask cron watch {path}`")
