"""Whether the drop-ins of watched timers start what their services would start without them."""

from __future__ import annotations

from autotask.tool.cron import door, drop_in, run_script
from autotask.tool.doctor.finding import Finding, Findings
from autotask.tool.errors import ToolError
from autotask.tool.schedule import timers
from autotask.tool.schedule.places import Places


def findings(places: Places) -> Findings:
    """Yield what is wrong with the drop-ins that `autotask cron watch` has written."""
    program = run_script.path_for(door.ETC)
    try:
        active = timers.active(places)
    except ToolError as problem:
        yield Finding("warning", "timer", str(problem))
        return
    watched = [timer for timer in active if drop_in.present(timer.service, places)]
    why = run_script.problem(places.at(program)) if watched else None
    if why:
        yield Finding("problem", "timer", why, f"`autotask cron watch {watched[0].unit}`")
    for timer in watched:
        if not drop_in.is_current(timer.service, program, places):
            text = f"{timer.unit}: its service has changed, and still starts what it was before"
            yield Finding("problem", "timer", text, f"`autotask cron watch {timer.unit}`")
