"""The lines for a crontab that the pages show, as cron runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pages
import pytest
from support import LAUNCHER, PYTHON, runs, write

pytestmark = pytest.mark.checkout

PAGES = ("README.md", "docs/cron-and-systemd.md")
CRONS_PATH = "/usr/bin:/bin"  # crontab(5)
TASKS = "import invoke\n@invoke.task\ndef send(c): print('sent')\n"
COLLECTION = "import invoke, mail\nns = invoke.Collection(mail)\n"
INV = f"#!{PYTHON}\nfrom invoke.main import program\nprogram.run()\n"


def lines_for_a_crontab() -> dict[str, str]:
    """Return the commands of the pages' crontabs, each once, with the PATH of its crontab."""
    found: dict[str, str] = {}
    for page in PAGES:
        for _, kind, block in pages.blocks(page):
            if kind == "crontab":
                path = re.findall(r"^PATH=(.+)$", block, re.MULTILINE)
                for line in re.findall(r"^(?:[\d*/]+\s+){5}(.+)$", block, re.MULTILINE):
                    found[line] = path[0] if path else CRONS_PATH
    return found


def test_the_lines_for_a_crontab_work_as_cron_runs_them(tmp_path: Path) -> None:
    pytest.importorskip("invoke")
    if not Path("/usr/bin/python3").exists():
        pytest.skip("no python3 where cron looks for it")
    person, shop = tmp_path / "person", tmp_path / "shop"
    commands = person / ".local" / "bin"  # where pipx makes links
    commands.mkdir(parents=True)
    (commands / "autotask-run").symlink_to(LAUNCHER)
    (commands / "autotask").symlink_to(Path(PYTHON).with_name("autotask"))
    write(shop / "nightly.py", "print('done')")
    write(shop / "mail.py", TASKS)
    write(shop / "tasks.py", COLLECTION)
    write(shop / ".venv" / "bin" / "inv", INV).chmod(0o755)
    environ = {
        "HOME": str(person),
        "LOGNAME": "person",
        "SHELL": "/bin/sh",
        "AUTOTASK_DOGSTATSD": "0",  # an Agent may be listening on this machine
    }
    lines = lines_for_a_crontab()
    assert len(lines) == 4
    for line, path in lines.items():
        ended = subprocess.run(
            ("/bin/sh", "-c", line.replace("/srv/shop", shlex.quote(str(shop)))),
            env={**environ, "PATH": path.replace("/home/ann", str(person))},
            cwd=person,
            capture_output=True,
            text=True,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout in (["done\n", "sent\n"] if "autotask-run" in line else [""])
    ends = {(run["task"], run["status"]) for run in runs(person / ".local/state/autotask")}
    assert ends == {(name, "success") for name in ("nightly.py", "mail", "mail.send")}
