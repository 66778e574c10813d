"""What the page about cron shows, in a private system with a crontab of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pages
import pytest
from support import LAUNCHER
from tool.cron.private_system import PrivateSystem
from tool.journals import COMMAND

PAGE = "docs/cron-and-systemd.md"
FILES = {
    "nightly.py": "print('done')\n",
    "tidy.sh": "#!/bin/sh\necho tidied up\n",
}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[PrivateSystem]:
    system = PrivateSystem(tmp_path)
    yield system
    system.close()


def test_the_commands_on_the_page_do_what_it_says(system: PrivateSystem, tmp_path: Path) -> None:
    pages.lay(PAGE, tmp_path, FILES)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "autotask").symlink_to(COMMAND[0])
    (commands / "autotask-run").symlink_to(LAUNCHER)
    shown = pages.commands(PAGE)
    assert shown[0].text == "crontab -l"
    crontab = "".join(f"{line}\n" for line in shown[0].shown)
    system.run("crontab", "-", text=pages.moved(crontab, tmp_path))
    env = {
        "HOME": str(tmp_path / "ann"),
        "PATH": f"{commands}:{os.environ['PATH']}",
        "AUTOTASK_HOME": "",
        "PYTHONUNBUFFERED": "1",  # notices come after what was printed before
        "TZ": "UTC",
    }
    outcomes = pages.run(shown, tmp_path, env, system.words())
    for command, outcome in zip(shown, outcomes):
        printed = "\n".join(outcome.printed)
        assert outcome.status == 0, f"{command.text}\n{printed}"
        # The order of a list depends on the time of day.
        in_order = sorted if command.text == "autotask cron list" else list
        is_shown = pages.is_shown(in_order(outcome.printed), in_order(command.shown), tmp_path)
        assert not command.shown or is_shown, f"{command.text}\n{printed}"
