"""Database chores, with Invoke. They know nothing of autotask."""

from __future__ import annotations

import os
import signal
import time

from invoke import Collection, Context, task


@task
def backup(c: Context) -> None:
    """Copy all tables."""
    time.sleep(0.2)
    print("backup done")


@task(pre=[backup])
def migrate(c: Context) -> None:
    """Bring the tables up to date."""
    c.run("echo 3 tables migrated")


@task
def rebuild(c: Context) -> None:
    """Rebuild the search index: needs more memory than there is, some days."""
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)


ns = Collection(Collection("db", backup, migrate), Collection("search", rebuild))
