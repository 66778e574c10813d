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


ONE_COMMAND = [
    "python nightly.py",
    "cd {bin}/.. && bin/python nightly.py >> /var/log/nightly.log 2>&1",
    "cd {bin}; cd ../bin; exec ./python nightly.py < /dev/null",
    "AUTOTASK_NAME=nightly python -m nightly --day $(date +%F) | tee log || mail ann",
    "sleep 30; [ -f /srv/on ] && nice -n 5 {bin}/python nightly.py  # at night",
    "sh -c 'python nightly.py 2>&1' | logger",
    "autotask-run --shell 'cd {bin} && ./python nightly.py'",
    "autotask-run --name x --shell='python nightly.py > log'",
]
NOT_ONE = [
    "python a.py; python b.py",
    "export PYTHONPATH=/srv; python nightly.py",
    "PYTHONPATH=/srv:$PYTHONPATH python nightly.py",
    "cd $HOME && ./python nightly.py",
    "cd && python nightly.py",
    "cd ~/bin && ./python nightly.py",
    "$PYTHON nightly.py",
    "if true; then python a.py; else python b.py; fi",
    "cd {bin}/.. && ./python nightly.py",
    "exit 3",
    "",
]


@pytest.mark.parametrize("line", ONE_COMMAND)
def test_a_shell_line_of_one_command_is_followed(bin_folder: Path, line: str) -> None:
    program(bin_folder / "autotask-run", "#!/bin/sh\n")
    found = reading(bin_folder, "sh", "-c", line.format(bin=bin_folder))
    assert found.python is not None
    assert os.path.samefile(found.python, bin_folder / "python")
    assert (found.barred, found.missing, found.resets) == (None, None, [])


@pytest.mark.parametrize("line", NOT_ONE)
def test_another_shell_line_is_not_followed(bin_folder: Path, line: str) -> None:
    found = reading(bin_folder, "sh", "-c", line.format(bin=bin_folder))
    assert (found.python, found.missing) == (None, None)


def test_a_shell_line_that_keeps_the_agent_out_is_named(bin_folder: Path) -> None:
    found = reading(bin_folder, "sh", "-c", f"cd /srv && env -i {bin_folder}/python nightly.py")
    assert found.barred == "`env` on the command line removes PYTHONPATH"
    found = reading(bin_folder, "sh", "-c", "true && env -i python a.py; env -i python b.py")
    assert (found.python, found.resets) == (None, ["the shell's line"])


def test_it_names_the_programs_that_it_cannot_follow(bin_folder: Path) -> None:
    assert reading(bin_folder, "sudo", "-u", "shop", "python", "x.py").elsewhere == "sudo"
    assert reading(bin_folder, "uv", "run", "x.py").runner == "uv run"
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


# --- Ruby ----------------------------------------------------------------------------------------

RUBYS = "/opt/autotask_ruby"


@pytest.fixture
def rubys_folder(bin_folder: Path) -> Path:
    """Add Rubies and scripts for them, as the gems' executables are."""
    for name in ("ruby", "ruby3.1", "jruby", "truffleruby", "rbenv", "mise", "rvm"):
        program(bin_folder / name, "#!/bin/sh\nexit 99\n")
    for name in ("rake", "bundle", "cap", "thor"):
        program(bin_folder / name, f"#!{bin_folder}/ruby\n")
    return bin_folder


def reading_ruby(folder: Path, line: str, **environ: str) -> Command:
    words = shlex.split(line.format(bin=folder))
    return reading(folder, *words, RUBYLIB=RUBYS, **environ)


RUBY_LINES = [
    # the words of a command, and what keeps the agent out of its Ruby
    ("ruby job.rb", None),
    ("ruby3.1 -w -I lib job.rb --disable-gems", None),
    ("ruby -e --disable-gems", None),
    ("ruby -ne --disable-gems job", None),
    ("rake db:migrate --disable-gems", None),
    ("cap production deploy", None),
    ("thor shop:greet", None),
    ("{bin}/rake", None),
    ("bundle exec rake db:migrate", None),
    ("bundle exec no-such-command", None),
    ("env RAILS_ENV=production bundle exec rake db:migrate", None),
    ("sh -c 'exec rake db:migrate'", None),
    ("autotask-run --name n rake db:migrate", None),
    ("ruby -S rake db:migrate", None),
    ("ruby --disable-gems job.rb", "--disable-gems on the command line keeps it out (no RubyGems)"),
    ("ruby --disable=gems job.rb", "--disable=gems on the command line keeps"),
    ("ruby --disable=did_you_mean,gem job.rb", "--disable=did_you_mean,gem on the command line"),
    ("ruby --disable gems job.rb", "--disable=gems on the command line"),
    ("ruby -w -Eutf-8 -r set --disable-all job.rb", "--disable-all on the command line"),
    ("ruby --disable-all --enable=gems job.rb", None),
    ("ruby --disable=did_you_mean job.rb", None),
    ("env -i rake db:migrate", "`env` on the command line removes RUBYLIB"),
    ("env -u RUBYLIB rake db:migrate", "`env` on the command line removes RUBYLIB"),
    ("env RUBYLIB=lib rake db:migrate", "`env` on the command line removes RUBYLIB"),
    (f"env RUBYLIB=lib:{RUBYS} rake db:migrate", None),
    ("env -u PYTHONPATH rake db:migrate", None),
    ("env RUBYOPT=--disable=gems rake", "--disable=gems in RUBYOPT keeps it out"),
    ("env 'RUBYOPT=-w --disable-gems' ruby --enable=gems job.rb", None),
    ("jruby -S rake", "JRuby does not load it"),
    ("truffleruby job.rb", "TruffleRuby does not load it"),
]


@pytest.mark.parametrize(("line", "barred"), RUBY_LINES)
def test_it_follows_a_command_line_to_its_ruby(
    rubys_folder: Path, line: str, barred: str | None
) -> None:
    # Without PATH programs are searched in the default folders of the system.
    line = re.sub(r"(?<=^env -i )", "{bin}/", line)
    found = reading_ruby(rubys_folder, line)
    assert found.ruby is not None
    assert (Path(found.ruby).parent, found.python) == (rubys_folder, None)
    assert (found.barred or "").startswith(barred or "")
    assert bool(found.barred) == bool(barred)


def test_what_keeps_the_agent_out_of_python_alone_is_not_said_of_ruby(rubys_folder: Path) -> None:
    found = reading_ruby(rubys_folder, "env -u RUBYLIB python nightly.py")
    assert (found.python, found.barred) == (str(rubys_folder / "python"), None)


RUBY_SCRIPTS = [
    # the first line of a script, and what keeps the agent out
    ("#!/usr/bin/env ruby", None),
    ("#!{bin}/ruby -w", None),
    ("#!{bin}/ruby --disable-gems", "--disable-gems in the first line of"),
    ("#!/usr/bin/env -S ruby --disable=gems", "--disable=gems in the first line of"),
    ("#!/usr/bin/env -S -u RUBYLIB ruby", "`env` in the first line of"),
]


@pytest.mark.parametrize("before", ["", "bundle exec "])
@pytest.mark.parametrize(("first", "barred"), RUBY_SCRIPTS)
def test_it_follows_a_binstub_to_its_ruby(
    rubys_folder: Path, tmp_path: Path, first: str, barred: str | None, before: str
) -> None:
    rails = program(tmp_path / "app" / "bin" / "rails", first.format(bin=rubys_folder) + "\n")
    found = reading_ruby(rubys_folder, f"{before}{rails} db:migrate")
    assert found.ruby == str(rubys_folder / "ruby")
    assert (found.barred or "").startswith(barred or "")
    assert bool(found.barred) == bool(barred)


def test_bundle_exec_becomes_what_is_not_rubys(rubys_folder: Path) -> None:
    found = reading_ruby(rubys_folder, "bundle exec python -I nightly.py")
    assert (found.ruby, found.python) == (None, str(rubys_folder / "python"))
    script = program(rubys_folder / "deploy.sh", "#!/bin/sh\nset -e\nunset RUBYLIB\nrake\n")
    found = reading_ruby(rubys_folder, "bundle exec deploy.sh")
    assert (found.ruby, found.resets) == (None, [f"line 3 of {script}"])


SHIMS = {  # by which version managers start the command of the version that they choose
    "rbenv": '#!/usr/bin/env bash\nprogram="${0##*/}"\nexec rbenv exec "$program" "$@"\n',
    "asdf": '#!/usr/bin/env bash\n# asdf-plugin: ruby 3.2.2\nexec asdf exec "rake" "$@"\n',
    "RVM": '#!/usr/bin/env bash\nsource "/usr/local/rvm/environments/ruby-3.2.2"\nexec rake "$@"\n',
}


@pytest.mark.parametrize("line", ["rake db:migrate", "bundle exec rake db:migrate"])
@pytest.mark.parametrize("manager", [*SHIMS, "mise"])
def test_the_ruby_of_a_shim_is_the_one_beside_it(
    rubys_folder: Path, tmp_path: Path, manager: str, line: str
) -> None:
    shims = tmp_path / "data" / "shims"
    for name in ("rake", "bundle", "ruby", "node"):
        if manager == "mise":
            shims.mkdir(parents=True, exist_ok=True)
            (shims / name).symlink_to(rubys_folder / "mise")
            program(tmp_path / "data" / "installs" / "ruby" / "3.2" / "bin" / "rake", "")
            program(tmp_path / "data" / "installs" / "ruby" / "3.2" / "bin" / "bundle", "")
        else:
            program(shims / name, SHIMS[manager])
    found = reading(shims, *shlex.split(line), PATH=f"{shims}:{rubys_folder}")
    assert found.ruby == str(shims / "ruby")
    if manager == "mise":
        assert reading(shims, "node", PATH=f"{shims}:{rubys_folder}").ruby is None


MANAGERS = [
    ("rbenv exec bundle exec rake x", "rbenv exec", "Ruby"),
    ("mise x ruby@3.2 -- rake x", "mise x ruby@3.2 --", "Ruby"),
    ("mise exec -- python nightly.py", "mise exec --", "Python"),
    ("rvm 3.2.2 do rake x", "rvm 3.2.2 do", "Ruby"),
]


@pytest.mark.parametrize(("line", "runner", "chosen"), MANAGERS)
def test_it_names_the_version_manager_that_chooses_the_interpreter(
    rubys_folder: Path, line: str, runner: str, chosen: str
) -> None:
    found = reading_ruby(rubys_folder, line)
    assert (found.runner, found.chosen, found.ruby) == (runner, chosen, None)


RUBY_RESETS = [
    ("rake db:migrate", False),
    ("RUBYLIB=lib:$RUBYLIB rake", False),
    ("RUBYLIB=lib:$PYTHONPATH rake", True),
    ("unset RUBYLIB", True),
    ("ruby --disable-gems job.rb", True),
]


@pytest.mark.parametrize(("line", "resets"), RUBY_RESETS)
def test_it_names_the_line_that_keeps_the_agent_out_of_ruby(
    rubys_folder: Path, line: str, resets: bool
) -> None:
    script = program(rubys_folder / "nightly.sh", f"#!/bin/sh\n{line}\n")
    found = reading_ruby(rubys_folder, "nightly.sh")
    assert found.resets == ([f"line 2 of {script}"] if resets else [])
