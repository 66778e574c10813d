"""Show autotask at work: `make demo`. Some of the tasks fail, each in a different way."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent / "build" / "demo"
BIN = Path(sys.executable).parent
SHOWN = 3  # lines of a program's output

STORY = """
# Click
autotask-run python shop.py orders fetch
autotask-run python shop.py orders ship
autotask-run python shop.py orders ship --day tomorrow

# Typer
autotask-run python letters.py invoices
autotask-run python letters.py reminders

# Invoke
autotask-run inv db.migrate
autotask-run inv search.rebuild

# doit
autotask-run doit
autotask-run doit figures

# any other program
autotask-run ./tidy.sh
autotask-run --name nightly python -c "raise SystemExit('no disk is mounted')"
"""
VIEWS = ("autotask runs", "autotask tasks")


def main() -> None:
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(HERE, PLACE, ignore=shutil.ignore_patterns("demo.py", "__pycache__"))
    environ = {
        **os.environ,
        "AUTOTASK_HOME": str(PLACE / ".autotask"),
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    for command in STORY.strip().splitlines():
        if command.startswith("autotask-run"):
            run(command, environ)
        else:
            say(command, "2")
    for command in VIEWS:
        say(f"\n$ {command}", "1")
        subprocess.run(shlex.split(command), cwd=PLACE, env=environ, check=True)
    say(f"\nTo see more: AUTOTASK_HOME={environ['AUTOTASK_HOME']} {BIN}/autotask show RUN", "2")


def run(command: str, environ: dict[str, str]) -> None:
    """Run a command; show the end of its output, and how it failed if it did."""
    say(f"$ {command}", "1")
    ended = subprocess.run(
        shlex.split(command),
        cwd=PLACE,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = ended.stdout.rstrip().splitlines()
    for line in (["..."] if len(output) > SHOWN else []) + output[-SHOWN:]:
        print(f"  {line}")
    if ended.returncode < 0:
        say(f"  (killed by {signal.Signals(-ended.returncode).name})", "31")
    elif ended.returncode:
        say(f"  (exit status {ended.returncode})", "31")


def say(text: str, style: str) -> None:
    """Print a line, in colour on a terminal."""
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ and text.strip()
    print(f"\033[{style}m{text}\033[0m" if coloured else text, flush=True)


if __name__ == "__main__":
    main()
