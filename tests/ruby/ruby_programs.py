"""Ruby programs that call our files."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path

from support import (
    INSTALLED,
    PATIENCE,
    Ended,
    Under,
    command_line,
    environment,
    run_program,
)

RUBY_HALF = INSTALLED / "autotask_ruby"
_FILES = "%w[guard run settings lines journal].each { |name| AutotaskAgent.evaluate(name) }"


def run_ruby(
    ruby: str, source: str, *before: str, env: Mapping[str, str | None] | None = None, cwd: Path
) -> Ended:
    """Run a program that calls our files, which are loaded as in a process that runs a task.

    *before* are the words of a command that starts it.
    """
    program = cwd / "program.rb"
    program.write_text(f"{_FILES}\n{textwrap.dedent(source)}")
    # With a parent, and without a launcher's word, the process has no run of its own.
    own: dict[str, str | None] = {"RUBYLIB": str(RUBY_HALF), "AUTOTASK_PARENT": "some"}
    words: tuple[str | Path, ...] = (*before, ruby, "-w", "-W:deprecated", program)
    return run_program(*words, under="bare", env={**own, **(env or {})}, cwd=cwd)


def run_under(under: Under, words: list[str], env: Mapping[str, str], cwd: Path) -> Ended:
    """Run a command bare, with our folder on RUBYLIB (`path`), or under autotask-run.

    Its output may have bytes that are not UTF-8.
    """
    environ = environment(under, env)
    if under == "path":
        environ["RUBYLIB"] = str(RUBY_HALF)
    done = subprocess.run(
        command_line(*words, under=under),
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    out, err = (data.decode(errors="backslashreplace") for data in (done.stdout, done.stderr))
    return Ended(done.returncode, out, err)
