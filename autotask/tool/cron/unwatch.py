"""`autotask cron unwatch`: give a crontab back as it was before `watch`."""

from __future__ import annotations

import argparse

from autotask.tool import output
from autotask.tool.cron import changes, watch
from autotask.tool.cron.changes import Change
from autotask.tool.cron.tables import Table

DESCRIPTION = """\
Delete the lines and drop-ins that `autotask cron watch` has added; by default in your own crontab.
What you have changed since stays. The difference is shown first, and a copy is kept. The scripts
behind SHELL stay: another crontab may name them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    watch.add_crontab(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show the difference, ask, and write; return the exit status."""
    found, _ = watch.chosen(arguments)
    planned, complete = changes.plan(found, _change, go_on=arguments.all)
    if planned:
        changes.ask(planned, arguments.yes)
        complete &= changes.carry_out(planned)
        doors = {path for change in planned for path in change.table.format.doors(change.old)}
        for path in sorted(doors):
            output.notice(f"{path} stays: another crontab may name it")
    return 0 if complete else 1


def _change(table: Table) -> Change | None:
    """Return how to give a crontab back; None, which is said, if it is not watched."""
    old = table.read()
    new = old and table.format.unwatch(old)
    if old is None or new is None or new == old:
        print(output.clean(f"{table.name}: not watched"))
        return None
    return Change(table, old, new, "as before `autotask cron watch`")
