"""What a command line starts, as far as reading it can tell."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from support import write

from autotask.around.leads_to import Command, follow, interpreter_options
from autotask.naming import is_python

OURS = "/opt/sitecustomize_template"
LONG = "/" + "x" * 200


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """Make a folder of programs that must never be started."""
    folder = tmp_path / "bin"
    for name in ("python", "python3.12", "sudo", "uv", "timeout", "nice", "autotask-run"):
        program(folder / name, "#!/bin/sh\nexit 99\n")
    (folder / "env").symlink_to("/usr/bin/env")
    (folder / "sh").symlink_to("/bin/sh")
    return folder


def program(path: Path, text: str) -> Path:
    write(path, text).chmod(0o755)
    return path


def reading(bin_folder: Path, *words: str, **environ: str) -> Command:
    return follow(list(words), {"PATH": str(bin_folder), "PYTHONPATH": OURS, **environ})


LINES = [
    # the words of a command, the options of its Python, and what keeps the agent out
    ("python nightly.py", [], None),
    ("python3.12 -m pkg -I", [], None),
    ("python -I nightly.py", ["-I"], "-I on the command line"),
    ("python -BE nightly.py", ["-BE"], "-E on the command line"),
    ("python -Sm pkg", ["-S"], "-S on the command line"),
    ("python -W Error -X Importtime=E nightly.py", ["-WError", "-XImporttime=E"], None),
    ("python -cI", [], None),
    ("python --check-hash-based-pycs always -c 1", ["--check-hash-based-pycs", "always"], None),
    ("env python -", [], None),
    ("env A=b python nightly.py", [], None),
    ("env -i python nightly.py", [], "`env` on the command line removes PYTHONPATH"),
    ("env - python nightly.py", [], "`env` on the command line"),
    ("env -u PYTHONPATH python nightly.py", [], "`env` on the command line"),
    ("env --unset=PYTHONPATH python nightly.py", [], "`env` on the command line"),
    ("env -uOTHER python nightly.py", [], None),
    ("env PYTHONPATH=lib python nightly.py", [], "`env` on the command line"),
    (f"env PYTHONPATH=lib:{OURS} python nightly.py", [], None),
    ("env -S 'python -I' nightly.py", ["-I"], "-I on the command line"),
    ("env -iS 'python nightly.py'", [], "`env` on the command line"),
    ("sh -c 'python nightly.py'", [], None),
    ("sh -ec 'exec python -E nightly.py'", ["-E"], "-E on the command line"),
    ("sh -c 'PYTHONPATH=lib python nightly.py'", [], "`env` on the command line"),
    ("nice -n 5 timeout -k 2 10 python -I x", ["-I"], "-I on the command line"),
    ("nohup -- python -I x", ["-I"], "-I on the command line"),
    ("autotask-run --name n --tag a:b python -I x", ["-I"], "-I on the command line"),
]


@pytest.mark.parametrize(("line", "options", "barred"), LINES)
def test_it_follows_a_command_line_to_its_python(
    bin_folder: Path, line: str, options: list[str], barred: str | None
) -> None:
    # Without PATH programs are searched in the default folders of the system.
    words = shlex.split(re.sub(r"\bpython(?= )", f"{bin_folder}/python", line))
    found = reading(bin_folder, *words)
    assert found.python is not None
    assert Path(found.python).parent == bin_folder
    assert found.options == options
    assert (found.barred or "").startswith(barred or "")
    assert bool(found.barred) == bool(barred)


SCRIPTS = [
    # the beginning of a script, and what keeps the agent out
    ("#!{bin}/python\n", None),
    ("#! {bin}/python -E\n", "-E in the first line of"),
    ("#!{bin}/python -sIE\n", "-I in the first line of"),
    ("#!/usr/bin/env python\n", None),
    ("#!/usr/bin/env -S python -I\n", "-I in the first line of"),
    ("#!/usr/bin/env -vS python -W error -E\n", "-E in the first line of"),
    ("#!/usr/bin/env -S -u PYTHONPATH python\n", "`env` in the first line of"),
    ("#!/bin/sh\n'''exec' {bin}/python \"$0\" \"$@\"\n' '''\nimport sys\n", None),
    ("#!/bin/sh\n'''exec' \"{bin}/python\" -E \"$0\" \"$@\"\n' '''\n", "-E at the top of"),
    ('#!/bin/sh\n"exec" "{bin}/python" "$0" "$@"\n', None),
    ("#!/bin/sh\n# -*- python -*-\n''''exec python -I \"$0\" \"$@\" # '''\n", "-I at the top of"),
]


@pytest.mark.parametrize(("text", "barred"), SCRIPTS)
def test_it_follows_a_script_to_its_python(bin_folder: Path, text: str, barred: str | None) -> None:
    script = program(bin_folder / "nightly", text.format(bin=bin_folder))
    found = reading(bin_folder, "nightly", "-I", "--", "x")
    assert found.python == str(bin_folder / "python")
    assert (found.barred or "").startswith(barred or "")
    assert bool(found.barred) == bool(barred)
    if barred:
        assert str(script) in str(found.barred)


SHELL_LINES = [
    ("echo done", False),
    ("python nightly.py", False),
    ("PYTHONPATH=lib:$PYTHONPATH python nightly.py", False),
    ("# env -i python", False),
    ("env -i python nightly.py", True),
    ("env -u X -i python nightly.py", True),
    ("export PYTHONPATH=/srv/lib", True),
    ("unset LANG PYTHONPATH", True),
    ("python3.12 -u -I nightly.py", True),
    ("sudo -u shop python nightly.py", True),
]


@pytest.mark.parametrize(("line", "resets"), SHELL_LINES)
def test_it_names_the_shell_script_line_that_keeps_the_agent_out(
    bin_folder: Path, line: str, resets: bool
) -> None:
    script = program(bin_folder / "backup.sh", f"#!/bin/sh\nset -e\n{line}\n")
    for words in (["backup.sh"], ["sh", "-e", str(script)]):
        found = reading(bin_folder, *words)
        assert found.python is None
        assert found.resets == ([f"line 3 of {script}"] if resets else [])


def test_a_shell_line_is_followed_only_if_it_is_plain_words(bin_folder: Path) -> None:
    found = reading(bin_folder, "sh", "-c", "cd /srv && env -i python nightly.py")
    assert (found.python, found.resets) == (None, ["the shell's line"])
    assert reading(bin_folder, "sh", "-c", "exit 3").resets == []


def test_it_names_the_programs_that_it_cannot_follow(bin_folder: Path) -> None:
    assert reading(bin_folder, "sudo", "-u", "shop", "python", "x.py").elsewhere == "sudo"
    assert reading(bin_folder, "uv", "run", "x.py").runner == "uv"
    assert reading(bin_folder, "nice", "sudo", "python").elsewhere == "sudo"


def test_a_missing_command_is_named(bin_folder: Path) -> None:
    assert reading(bin_folder, "no-such").missing == "no-such"
    assert reading(bin_folder, "env", "no-such").missing == "no-such, on the command line"
    write(bin_folder / "pypy3", "not executable")
    assert reading(bin_folder, "pypy3").missing == "pypy3"
    script = program(bin_folder / "nightly", f"#!{LONG}/python\n")
    found = reading(bin_folder, "nightly")
    assert found.missing == f"{LONG}/python, in the first line of {script}"


def test_a_script_that_leads_to_itself_ends(bin_folder: Path) -> None:
    program(bin_folder / "loop", f"#!{bin_folder}/loop\n")
    assert reading(bin_folder, "loop").python is None


@pytest.mark.parametrize("words", [[], ["env"], ["env", "-i"], ["sh"], ["sh", "-c"], ["nice"]])
def test_an_incomplete_command_line_has_no_python(bin_folder: Path, words: list[str]) -> None:
    assert reading(bin_folder, *words).python is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, True) for name in ("python", "python3", "python3.14t", "pypy", "pypy3.10")],
        *[(name, False) for name in ("python-config", "pythonize", "ipython", "3", "")],
    ],
)
def test_an_interpreter_is_recognized_by_its_name(name: str, expected: bool) -> None:
    assert is_python(name) == expected


def test_options_end_where_the_program_begins() -> None:
    assert interpreter_options(["-B", "x.py", "-I"]) == ["-B"]
    assert interpreter_options(["-B", "-", "-I"]) == ["-B"]
    assert interpreter_options(["-W"]) == ["-W"]


def test_the_path_of_the_command_is_searched(bin_folder: Path, tmp_path: Path) -> None:
    other = program(tmp_path / "other" / "python", "")
    assert reading(bin_folder, "python", PATH=str(other.parent)).python == str(other)
    both = f"{tmp_path}{os.pathsep}{other.parent}"
    assert reading(bin_folder, "env", f"PATH={both}", "python").python == str(other)
