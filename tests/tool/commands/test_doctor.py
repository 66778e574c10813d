"""`autotask doctor`: what it finds in real interpreters, environments, folders and sockets."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import time
import zipapp
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import environments
import pytest
from support import INSTALLED, PYTHON, SUPPORTED, TEMPLATE, Datagrams, pythons, write
from tool.journals import Book, answer, autotask, dead_process, obey_modes, on_terminal

from autotask.homes import make_folder
from autotask.journal import Journal, segment
from autotask.telling import leave_mark
from autotask.tool.doctor.environment import Environment, Plugin

pytestmark = pytest.mark.installed

Findings = dict[str, dict[str, str]]
BUT = ", but for what autotask-run reads"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with nothing in it."""
    return environments.make(tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture(autouse=True)
def _listener(datagrams: Datagrams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let somebody listen, so that all is well unless the test makes it otherwise."""
    monkeypatch.setenv("DD_ENV", "prod")


def doctor(
    *words: str | Path,
    env: Mapping[str, str | None] | None = None,
    status: int = 0,
    **options: Any,
) -> Findings:
    """Ask the doctor about a command; return the last finding of each kind."""
    ended = autotask("doctor", "--format", "json", "--", *map(str, words), env=env, **options)
    assert (ended.status, ended.stderr) == (status, ""), ended.stdout
    report = json.loads(ended.stdout)
    assert report["ok"] == (status == 0)
    assert report["command"] == [str(word) for word in words]
    for finding in report["findings"]:
        assert finding["status"] in ("ok", "warning", "problem")
        assert "\n" not in finding["text"] + finding["remedy"]
        if finding["status"] == "problem":
            assert finding["remedy"], finding
    assert (status == 1) == any(finding["status"] == "problem" for finding in report["findings"])
    return {finding["check"]: finding for finding in report["findings"]}


def executable(path: Path, text: str) -> Path:
    write(path, text).chmod(0o755)
    return path


def test_a_usual_environment_is_ok(python: Path, home: Path) -> None:
    findings = doctor(python, "nightly.py")
    assert {finding["status"] for finding in findings.values()} == {"ok"}
    assert list(findings) == ["command", "task", "python", "agent", "journal", "datagrams"]
    assert str(python.parent.parent) in findings["python"]["text"]
    assert str(INSTALLED) in findings["agent"]["text"]
    assert str(home) in findings["journal"]["text"]


def test_without_a_command_it_checks_the_python_on_the_path(
    python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    report = json.loads(answer("doctor", "--format", "json"))
    assert report["command"] == ["python3"]
    assert report["findings"][0]["text"] == str(python.with_name("python3"))


BARRED = [
    ("{python} -I x.py", "-I on the command line"),
    ("{python} -E x.py", "-E on the command line"),
    ("{python} -Sm pkg", "-S on the command line"),
    ("/usr/bin/env -i {python} x.py", "`env` on the command line"),
    ("/usr/bin/env -u PYTHONPATH {python} x.py", "`env` on the command line"),
    ("{tmp}/isolated", "-I in the first line of {tmp}/isolated"),
    ("{tmp}/split", "-I in the first line of {tmp}/split"),
    ("{tmp}/polyglot", "-E at the top of {tmp}/polyglot"),
    ("{tmp}/resetting/python x.py", "PYTHONPATH does not reach the interpreter"),
    ("{tmp}/isolating/python x.py", "something adds -I"),
]


@pytest.mark.parametrize(("line", "why"), BARRED)
def test_it_says_what_keeps_the_agent_out(
    tmp_path: Path, python: Path, line: str, why: str
) -> None:
    ran = tmp_path / "ran"
    body = f"import os; os.mkdir({str(ran)!r})\n"
    executable(tmp_path / "isolated", f"#!{python} -I\n{body}")
    executable(tmp_path / "split", f"#!/usr/bin/env -S {python} -I\n{body}")
    executable(tmp_path / "polyglot", f"#!/bin/sh\n'''exec' {python} -E \"$0\" \"$@\"\n'''\n{body}")
    for name, words in (
        ("resetting", f"env -u PYTHONPATH {python}"),
        ("isolating", f"{python} -I"),
    ):
        executable(tmp_path / name / "python", f'#!/bin/sh\nexec {words} "$@"\n')
    findings = doctor(*line.format(python=python, tmp=tmp_path).split(), status=1)
    assert findings["agent"]["status"] == "problem"
    assert why.format(tmp=tmp_path) in findings["agent"]["text"]
    assert not ran.exists(), "the command was started"


FUNCTIONS = """
import functools
from json import dumps
raise SystemExit("executed")
LIMIT, NAMES = 3, ["a"]
TABLE: dict = {"a": 1}
def nightly(): pass
async def fetch(): pass
class Base:
    def close(self): pass
class Mailer:
    TO = "all"
    @property
    def limit(self): return 1
    @functools.cached_property
    def size(self): return 1
    @staticmethod
    def check(): pass
    def send(self): pass
class Loud(Base):
    def send(self): pass
class Far(functools.partial):
    def send(self): pass
if LIMIT:
    def late(): pass
else:
    late = None
partial = functools.partial(nightly)
mailer = Mailer()
"""
NAMED = {
    "nightly fetch late partial dumps Mailer.send Mailer.check mailer.send": "",
    "Loud.send Loud.close Far.send": "",
    "Mailer Base": "is a class, not a function",
    "NAMES TABLE Mailer.TO": "is a constant, not a function",
    "Mailer.limit Mailer.size": "is a property, not a function",
    "nothing Mailer.nothing nothing.send": "does not exist: no nothing in {place}/shop/jobs.py",
    "Loud.nothing Far.nothing": (
        "was not found: no nothing in {place}/shop/jobs.py, unless made at run time"
    ),
}


def test_a_named_function_that_is_not_one_is_reported(python: Path, tmp_path: Path) -> None:
    script = write(tmp_path / "place" / "nightly.py", "raise SystemExit('executed')\n")
    write(tmp_path / "place" / "shop" / "__init__.py", "raise SystemExit('executed')\n")
    write(tmp_path / "place" / "shop" / "jobs.py", FUNCTIONS)
    named = {
        f"shop.jobs:{name}": f" {why}".rstrip().format(place=tmp_path / "place")
        for names, why in NAMED.items()
        for name in names.split()
    }
    for module in ("nowhere", "shop.nowhere", "nowhere.jobs"):
        named[f"{module}:nightly"] = f": no module {module} was found"
    write(tmp_path / "place" / "shop" / "more.py", "from shop.jobs import *\n")
    named["shop.more:nothing"] = (
        f" was not found: no nothing in {tmp_path}/place/shop/more.py, unless made at run time"
    )
    for name in ("nightly:work", "__main__:work"):
        named[name] = " is in the program itself, which is not imported"
    named.update(dict.fromkeys(("json:dumps", "time:sleep"), ""))
    words = ("doctor", "--format", "json", "--", str(python), str(script))
    report = answer(*words, env={"AUTOTASK_FUNCTIONS": ",".join(named)})
    findings = [
        finding for finding in json.loads(report)["findings"] if finding["check"] == "function"
    ]
    assert [finding["text"] for finding in findings] == [
        target + why for target, why in named.items()
    ]
    assert [finding["status"] == "ok" for finding in findings] == [
        not why for why in named.values()
    ]


def test_functions_that_were_not_checked_are_reported(python: Path, tmp_path: Path) -> None:
    write(tmp_path / "jobs.py", FUNCTIONS)
    findings = doctor(python, "-m", "jobs", env={"AUTOTASK_FUNCTIONS": "jobs:nightly"})
    assert "is in the program itself" in findings["function"]["text"]
    for words in (["sh", "-c", "exit 3"], [python, "-I", "x.py"]):
        findings = doctor(
            *words, status=int("-I" in words), env={"AUTOTASK_FUNCTIONS": "jobs:typo"}
        )
        assert findings["function"]["status"] == "warning"
        assert "was not checked" in findings["function"]["text"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AUTOTASK_FUNCTION", "AUTOTASK_FUNCTIONS"),
        ("AUTOTASK_FUNCTIOSN", "AUTOTASK_FUNCTIONS"),
        ("AUTOTASK_TAG", "AUTOTASK_TAGS"),
        ("AUTOTASK_FUNCTIONS", None),
        ("AUTOTASK_TOKEN", None),  # another program's
        ("AUTO_TASK", None),
    ],
)
def test_a_misspelt_setting_is_reported(name: str, meant: str | None, python: Path) -> None:
    findings = doctor(python, env={name: "json:dumps"})
    assert findings.get("settings", {}).get("remedy") == (meant and f"did you mean {meant}?")


def test_the_task_has_the_name_that_the_launcher_gives(python: Path, tmp_path: Path) -> None:
    for words, name in (
        (["nice", "-n", "5", python, "nightly.py", "secret"], "nightly.py"),
        (["sh", "-c", "cd /srv && backup secret"], "backup"),
    ):
        assert doctor(*words)["task"]["text"] == name
        assert doctor(*words, env={"AUTOTASK_NAME": "mine"})["task"]["text"] == "mine"
    findings = doctor("backup --key secret", status=1)
    assert findings["task"]["text"] == "backup"
    assert findings["command"]["remedy"] == "remove the quotes, or use sh -c '...'"


def test_a_server_is_called_one(python: Path) -> None:
    told = ", a server: it runs until it is stopped"
    assert doctor(python, "-m", "http.server")["task"]["text"] == f"http.server{told}"
    named = doctor(python, "-m", "http.server", env={"AUTOTASK_NAME": "mine"})
    assert named["task"]["text"] == f"mine{told}"


def test_modules_are_searched_where_the_program_searches(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path / "here" / "jobs.py", FUNCTIONS).parent)
    for words in (["-m", "other"], ["-c", "import jobs"]):
        findings = doctor(python, *words, env={"AUTOTASK_FUNCTIONS": "jobs:nightly=night"})
        assert findings["function"]["text"] == "jobs:nightly as night"


@pytest.mark.parametrize("is_pex", [True, False], ids=["a PEX", "another"])
@pytest.mark.parametrize("kind", ["archive", "folder", "folder/__main__.py"])
def test_a_pex_file_is_reported_to_restart_itself(
    kind: str, is_pex: bool, python: Path, tmp_path: Path
) -> None:
    folder = write(tmp_path / "folder" / "__main__.py", "raise SystemExit('executed')\n").parent
    if is_pex:
        write(folder / "PEX-INFO", "{}")
    zipapp.create_archive(folder, tmp_path / "archive", interpreter=str(python))
    findings = doctor(python, tmp_path / kind, status=1 if is_pex else 0)
    if is_pex:
        text = f"the PEX file {tmp_path / kind} restarts itself with -I"
        assert findings["agent"]["text"] == f"does not stay: {text}"
    assert list(findings) == ["command", "task", "python", "agent", "journal", "datagrams"]


@pytest.mark.parametrize("words", ["-W ignore -X dev x.py", "-m pkg -I", "-c I", "-", ""])
def test_other_options_of_the_interpreter_are_ok(python: Path, words: str) -> None:
    assert doctor(python, *words.split())["agent"]["status"] == "ok"


def test_nothing_is_imported_from_the_current_folder(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "time", "autotask"):
        write(tmp_path / f"{name}.py", "raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    environment = Environment([str(python)])
    assert environment.answer["agent"]
    report = environment.try_plugin(Plugin("cmd", "shlex:split", "plugin", "1"))
    assert report["error"].startswith("AttributeError"), "the standard library's was told of cmd"


def test_pythonnousersite_is_ok(python: Path) -> None:
    assert doctor(python, env={"PYTHONNOUSERSITE": "1"})["agent"]["status"] == "ok"


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7", "3.8"])
def test_an_old_python_is_not_supported(version: str) -> None:
    findings = doctor(pythons(version), "x.py", status=1)
    assert findings["python"]["text"].startswith(f"cpython {version}.")
    assert "too old" in findings["agent"]["text"]


@pytest.mark.parametrize("version", [SUPPORTED[0], SUPPORTED[-1]])
def test_other_supported_pythons_are_checked(version: str) -> None:
    findings = doctor(pythons(version), "x.py")
    assert findings["python"]["text"].startswith(f"{version}.")
    assert findings["agent"]["status"] == "ok"


OTHERS = {
    "newer": ({"3.14.0": "version"}, "warning", "3.14.0", "not tested"),
    "PyPy": ({"pypy": "implementation", "3.9.16": "version"}, "ok", "pypy 3.9.16", ""),
    "a newer PyPy": ({"pypy": "implementation", "3.11.1": "version"}, "warning", "pypy 3", "not t"),
    "another": ({"graalpy": "implementation"}, "problem", "graalpy 3.", "not supported"),
}


@pytest.mark.parametrize(("changes", "status", "begin", "text"), OTHERS.values(), ids=OTHERS)
def test_an_untested_python_is_not_called_tested(
    changes: dict[str, str], status: str, begin: str, text: str, tmp_path: Path
) -> None:
    edits = " ".join(
        f"""-e 's/"{field}": "[^"]*"/"{field}": "{value}"/'""" for value, field in changes.items()
    )
    other = executable(tmp_path / "python", f'#!/bin/sh\n{PYTHON} "$@" | sed {edits}\n')
    findings = doctor(other, status=int(status == "problem"))["python"]
    assert (findings["status"], findings["text"].startswith(begin)) == (status, True), findings
    assert text in findings["text"]
    report = autotask("frameworks", "--format", "json", "--", str(other)).stdout
    wanted = {"ok": "supported", "warning": "newer", "problem": "unknown"}
    assert json.loads(report)["python"]["status"] == wanted[status]


def test_an_interpreter_that_does_not_start_is_a_problem(tmp_path: Path) -> None:
    broken = executable(tmp_path / "python", "#!/bin/sh\necho no library >&2\nexit 3\n")
    findings = doctor(broken, status=1)
    assert "failed (no library)" in findings["python"]["text"]
    assert "agent" not in findings


@pytest.mark.parametrize("source", ["print('welcome')", "1 / 0"])
def test_the_environments_own_sitecustomize_is_ok(tmp_path: Path, source: str) -> None:
    python = environments.make(tmp_path / "venv")
    file = write(environments.site(python) / "sitecustomize.py", source)
    findings = doctor(python)
    assert findings["agent"]["status"] == "ok"
    assert ("sitecustomize" in findings) == (source != "1 / 0")
    assert str(file) in findings.get("sitecustomize", {}).get("text", str(file))


def test_the_agent_of_another_copy_is_reported(python: Path, tmp_path: Path) -> None:
    shutil.copytree(TEMPLATE, tmp_path / TEMPLATE.name)
    shutil.copytree(INSTALLED / "autotask", tmp_path / "autotask")
    wrapper = executable(
        tmp_path / "bin" / "python",
        f'#!/bin/sh\nPYTHONPATH={tmp_path / TEMPLATE.name} exec {python} "$@"\n',
    )
    findings = doctor(wrapper)
    assert findings["agent"]["status"] == "warning"
    assert str(tmp_path) in findings["agent"]["text"]


NO_PYTHON = [
    ("sh -c 'exit 3'", "ok", "neither Python nor Ruby"),
    ("{tmp}/backup.sh", "warning", "line 3 of {tmp}/backup.sh"),
    ("sudo -u shop python x.py", "problem", "`sudo` starts its command in an environment"),
    ("cron -f", "problem", "`cron` starts its command"),
    ("no-such-command", "problem", "no-such-command: not found"),
    ("{tmp}/plain.py", "problem", "{tmp}/plain.py: not executable"),
    ("{tmp}/dangling", "problem", "/no/python, in the first line of {tmp}/dangling: not found"),
    ("{tmp}/uv run x.py", "warning", "`uv run` chooses its Python"),
]


@pytest.mark.parametrize(("line", "status", "text"), NO_PYTHON)
def test_it_says_so_if_there_is_no_python_to_check(
    tmp_path: Path, line: str, status: str, text: str
) -> None:
    executable(tmp_path / "backup.sh", "#!/bin/sh\nset -e\nenv -i python x.py\n")
    executable(tmp_path / "dangling", "#!/no/python\n")
    executable(tmp_path / "uv", "#!/bin/sh\n")
    write(tmp_path / "plain.py", "print(1)\n")
    words = shlex.split(line.format(tmp=tmp_path))
    findings = doctor(*words, status=int(status == "problem"))
    assert findings["command"]["status"] == status
    assert text.format(tmp=tmp_path) in findings["command"]["text"]
    assert "agent" not in findings
    assert "journal" in findings


VERSIONS = [
    ("click", "8.1.7", "ok", "8.1.7, supported"),
    ("click", "7.1", "ok", "7.1, supported"),
    ("click", "7.0", "warning", "7.0 is older"),
    ("doit", "0.33.1", "ok", "supported"),
    ("invoke", "99.0rc1", "warning", "99.0rc1 is newer"),
]


@pytest.mark.parametrize("words", ["supervisord -n", "-m yacron -c jobs.yaml", "nightly.py"])
def test_a_scheduler_is_recognized(words: str, python: Path, tmp_path: Path) -> None:
    executable(tmp_path / "supervisord", f"#!{python}\n")
    command = [str(tmp_path / word) if word == "supervisord" else word for word in words.split()]
    findings = doctor(*command) if words[:2] == "su" else doctor(python, *command)
    assert ("jobs" in findings) == (words != "nightly.py")


@pytest.mark.parametrize(("name", "version", "status", "text"), VERSIONS)
def test_frameworks_are_found_with_their_versions(
    python: Path, tmp_path: Path, name: str, version: str, status: str, text: str
) -> None:
    environments.install(tmp_path, name, version)
    findings = doctor(python, env={"PYTHONPATH": str(tmp_path)})
    assert findings[name]["status"] == status
    assert text in findings[name]["text"]


def test_a_framework_that_is_turned_off_is_reported(python: Path, tmp_path: Path) -> None:
    environments.install(tmp_path, "click", "8.1.7")
    env = {"PYTHONPATH": str(tmp_path), "AUTOTASK_FRAMEWORKS": "-click"}
    assert "turned off by AUTOTASK_FRAMEWORKS" in doctor(python, env=env)["click"]["text"]


def test_bad_settings_are_reported(python: Path) -> None:
    findings = doctor(python, env={"AUTOTASK_EVENTS": "maybe"})
    assert findings["settings"]["status"] == "warning"
    assert "AUTOTASK_EVENTS" in findings["settings"]["text"]


ASKED = [
    ({"AUTOTASK_TIMEOUT": "soon"}, "", "AUTOTASK_TIMEOUT: 'soon' is not a duration"),
    ({"AUTOTASK_KEEP_OUTPUT": "all"}, "", "AUTOTASK_KEEP_OUTPUT: 'all' is not a size"),
    ({"AUTOTASK_NO_OVERLAP": "maybe"}, "", "AUTOTASK_NO_OVERLAP: 'maybe' is neither 0 nor 1"),
    ({"AUTOTASK_TIMEOUTS": "1h"}, "", "AUTOTASK_TIMEOUTS is set, but nothing reads it"),
    ({"AUTOTASK_NO_OVERLAP": "1", "AUTOTASK_JOURNAL": "0"}, "", "no_overlap has no effect without"),
    ({"AUTOTASK_NO_OVERLAP": "1", "AUTOTASK_TIMEOUT": "1h"}, '[task."*"]\nquiet = true', None),
    ({"AUTOTASK_NO_OVERLAP": "0", "AUTOTASK_JOURNAL": "0"}, "", None),
]


@pytest.mark.parametrize(("env", "file", "text"), ASKED)
def test_bad_settings_of_the_launcher_are_reported(
    env: dict[str, str],
    file: str,
    text: str | None,
    python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if file:
        write(tmp_path / "autotask.toml", file)
    finding = doctor(python, env=env).get("settings")
    assert (finding is None) is (text is None)
    assert finding is None or (text or "") in finding["text"]
    assert finding is None or finding["status"] == "warning"


MISTAKES = [  # in the file; what is said of it, and of what nevertheless holds
    ('[task."*"', "autotask.toml: Expected", ""),
    (f"[task.x]\ntimeout = {'[' * 9999}", "autotask.toml: nested too deeply", ""),
    ("[task.x]\ntimeout = soon", "autotask.toml: Invalid value", ""),
    ('[task."*"]\nnooverlap = true', "unknown key nooverlap; did you mean no_overlap?", BUT),
    ('[task."*"]\nhung_after = "soon"', "hung_after must be a duration", BUT),
    ('[task."*"]\ntimeout = "soon"\nquiet = 3', "timeout must be a duration", BUT),
]


@pytest.mark.parametrize(("folder", "words"), [(".", ()), ("below", ("--", "./x.sh"))])
@pytest.mark.parametrize(("file", "text", "but"), MISTAKES)
def test_a_mistake_in_the_file_is_told_once(
    folder: str,
    words: tuple[str, ...],
    file: str,
    text: str,
    but: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path / "autotask.toml", file)
    (tmp_path / folder).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    executable(Path("x.sh"), "#!/bin/sh\n")
    ended = autotask("doctor", "--format", "json", *words)
    findings = json.loads(ended.stdout)["findings"]
    (finding,) = [each for each in findings if each["check"] == "settings"]
    assert (ended.status, ended.stderr, finding["status"]) == (1, "", "problem")
    assert text in finding["text"]
    assert finding["text"].endswith(f": nothing of it is used{but}")


def test_mistakes_in_two_files_are_both_told(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`autotask` reads the nearest file, which may be pyproject.toml; autotask-run does not."""
    write(tmp_path / "autotask.toml", '[task."*"]\ntimeout = "soon"')
    folder = tmp_path / "below"
    write(folder / "pyproject.toml", "[tool.autotask.task.x]\nslow = 3")
    monkeypatch.chdir(folder)
    ended = autotask("doctor", "--format", "json", "--", str(python))
    findings = json.loads(ended.stdout)["findings"]
    told = [each["text"] for each in findings if each["check"] == "settings"]
    assert len(told) == 2
    assert told[0].startswith("pyproject.toml: ")
    assert told[0].endswith(": nothing of it is used")
    assert told[1].startswith("autotask.toml: 'soon' is not a duration")


def test_a_file_that_cannot_be_read_is_told_once(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "autotask.toml", '[task."*"]\ntimeout = "1h"')
    path.chmod(0)
    monkeypatch.chdir(tmp_path)
    command = ("doctor", "--format", "json", "--", str(python))
    ended = autotask(*command, preexec_fn=obey_modes)
    findings = json.loads(ended.stdout)["findings"]
    told = [each["text"] for each in findings if each["check"] == "settings"]
    assert told == ["autotask.toml: Permission denied: nothing of it is used"]


def test_a_file_that_others_can_write_is_reported(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "autotask.toml", '[task."*"]\ntimeout = "1h"')
    path.chmod(0o666)
    told = doctor(python)["settings"]["text"]
    assert told == f"{path}: other users can write it: its settings are not used"


def test_settings_made_by_the_command_itself_are_read(python: Path) -> None:
    findings = doctor("/usr/bin/env", "AUTOTASK_EVENTS=maybe", python)
    assert "AUTOTASK_EVENTS" in findings["settings"]["text"]


def test_an_agent_that_is_turned_off_is_a_problem(python: Path) -> None:
    findings = doctor(python, env={"AUTOTASK_ENABLED": "0"}, status=1)
    assert "AUTOTASK_ENABLED" in findings["agent"]["text"]


def test_a_switch_that_is_off_is_a_warning(python: Path) -> None:
    assert doctor(python, env={"AUTOTASK_JOURNAL": "0"})["journal"]["status"] == "warning"
    both = {"AUTOTASK_JOURNAL": "0", "AUTOTASK_DOGSTATSD": "0"}
    assert doctor(python, env=both, status=1)["journal"]["status"] == "problem"
    findings = doctor(python, env={"AUTOTASK_JOURNAL": "stderr"})["journal"]
    assert (findings["status"], "standard error" in findings["text"]) == ("ok", True)


def test_the_doctor_writes_nothing(python: Path, home: Path) -> None:
    doctor(python, env={"AUTOTASK_PROCESS": "1"})
    assert not home.exists()


def test_a_home_that_is_not_a_folder_is_a_problem(python: Path, home: Path) -> None:
    home.write_text("")
    assert "Not a directory" in doctor(python, status=1)["journal"]["text"]


@pytest.mark.parametrize("what", ["folder", "segment"])
def test_a_journal_that_cannot_be_written_is_a_problem(python: Path, home: Path, what: str) -> None:
    folder = home / "journal"
    make_folder(str(folder))
    for hour in (0, 3600):  # the hour may end meanwhile
        (folder / segment(time.time() + hour)).touch(mode=0o400)
    if what == "folder":
        folder.chmod(0o500)
    findings = doctor(python, status=1, preexec_fn=obey_modes)
    assert "Permission denied" in findings["journal"]["text"]
    assert "AUTOTASK_HOME" in findings["journal"]["remedy"]


def test_runs_left_open_by_dead_processes_are_reported(python: Path, home: Path) -> None:
    pid, identity = dead_process()
    leave_mark(
        Journal(str(home)), f"{pid}-{'a' * 16}", identity, pid, os.uname().nodename, "b" * 16
    )
    findings = doctor(python)
    assert findings["runs"]["status"] == "warning"
    assert findings["runs"]["text"].startswith("1 dead process")


def test_what_the_agent_has_missed_is_reported_once_it_is_listening(
    python: Path, book: Book, datagrams: Datagrams
) -> None:
    assert "delivery" not in doctor(python)
    book.run(unsent=True)
    findings = doctor(python)
    assert findings["delivery"]["status"] == "warning"
    assert findings["delivery"]["text"] == "the Agent has missed 2 starts and ends"
    nobody = {"DD_DOGSTATSD_URL": f"udp://127.0.0.1:{closed_port()}"}
    assert "delivery" not in doctor(python, status=1, env=nobody)


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def listening(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path))
    return server


def test_datagrams_are_ok_if_something_is_listening(python: Path, datagrams: Datagrams) -> None:
    assert "something is listening" in doctor(python)["datagrams"]["text"]
    assert {*datagrams.received()} == {b"\n"}  # which means nothing to an Agent


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_configured_port_without_a_listener_is_a_problem(python: Path, host: str) -> None:
    named = {"DD_DOGSTATSD_URL": f"udp://{host}:{closed_port()}"}
    findings = doctor(python, env=named, status=1)["datagrams"]
    assert "Connection refused" in findings["text"]
    assert "DD_DOGSTATSD_URL" in findings["remedy"]


def test_no_listener_at_the_default_address_is_not_a_problem(python: Path) -> None:
    findings = doctor(python, env={"DD_DOGSTATSD_URL": None})["datagrams"]
    assert findings["status"] != "problem"
    if findings["status"] == "warning":
        assert findings["remedy"].endswith("or set AUTOTASK_DOGSTATSD=0 if you do not use Datadog")


@pytest.mark.parametrize("name", ["AUTOTASK_DOGSTATSD", "DD_DOGSTATSD_DISABLE"])
def test_without_datadog_all_is_ok(name: str, python: Path, book: Book) -> None:
    book.run(unsent=True)
    off = {name: "0" if name.startswith("AUTOTASK") else "true", "DD_ENV": None}
    findings = doctor(python, env=off)
    assert {finding["status"] for finding in findings.values()} == {"ok"}
    assert "turned off" in findings["datagrams"]["text"]


ENVIRONMENTS: list[tuple[dict[str, str | None], bool]] = [
    ({}, True),
    ({"DD_ENV": ""}, True),
    ({"DD_TAGS": "team:shop"}, True),
    ({"DD_ENV": "prod"}, False),
    ({"DD_TAGS": "team:shop env:prod"}, False),
    ({"AUTOTASK_TAGS": "env:prod"}, False),
    ({"DD_DOGSTATSD_URL": "unix:///no/such"}, False),  # nobody listens
]


@pytest.mark.parametrize(("env", "is_told"), ENVIRONMENTS)
def test_a_missing_environment_name_is_reported(
    env: dict[str, str | None], is_told: bool, python: Path
) -> None:
    findings = doctor(python, env={"DD_ENV": None, **env}, status=int("DD_DOGSTATSD_URL" in env))
    assert ("DD_ENV is not set" in findings.get("env", {}).get("text", "")) == is_told


def test_a_name_that_does_not_resolve_is_a_problem(python: Path) -> None:
    named = {"DD_DOGSTATSD_URL": None, "DD_AGENT_HOST": "agent.invalid"}
    assert "agent.invalid" in doctor(python, env=named, status=1)["datagrams"]["text"]


def test_it_cannot_know_whether_another_host_is_listening(python: Path) -> None:
    findings = doctor(python, env={"DD_DOGSTATSD_URL": "udp://192.0.2.1"})["datagrams"]
    assert (findings["status"], "cannot be known" in findings["text"]) == ("ok", True)


SOCKETS = [
    ("listening", 0, "something is listening"),
    ("left behind", 1, "Connection refused"),
    ("a file", 1, "Connection refused"),
    ("missing", 1, "No such file"),
]


@pytest.mark.parametrize(("what", "status", "text"), SOCKETS)
def test_a_socket_file_is_tried(
    python: Path, tmp_path: Path, what: str, status: int, text: str
) -> None:
    path = tmp_path / "dsd.socket"
    if what == "a file":
        path.touch()
    elif what != "missing":
        open_socket = listening(path)
        if what == "left behind":
            open_socket.close()
    findings = doctor(python, env={"DD_DOGSTATSD_URL": f"unix://{path}"}, status=status)
    if what == "listening":
        open_socket.close()
    assert text in findings["datagrams"]["text"]


def test_people_get_a_line_for_each_finding(python: Path) -> None:
    ended = autotask("doctor", "--", str(python), "-I")
    assert (ended.status, ended.stderr) == (1, "")
    rows = [line.split(maxsplit=2) for line in ended.stdout.splitlines()]
    assert [row[:2] for row in rows] == [
        ["ok", "command"],
        ["ok", "task"],
        ["ok", "python"],
        ["problem", "agent"],
        ["ok", "journal"],
        ["ok", "datagrams"],
    ]
    assert ". Remove it" in rows[3][2]


def test_lines_have_their_colours_on_a_terminal(python: Path) -> None:
    shown = on_terminal("doctor", "--", str(python), AUTOTASK_JOURNAL="0")
    assert "\x1b[32mok" in shown
    assert "\x1b[33mwarning" in shown
    assert "\x1b[31mproblem" in on_terminal("doctor", "--", str(python), "-I", status=1)
    assert "\x1b" not in on_terminal("doctor", "--", str(python), NO_COLOR="1")


def test_hostile_names_cannot_control_the_terminal(tmp_path: Path) -> None:
    ended = autotask("doctor", "--", "\x1b[2Jno")
    assert ended.status == 1
    assert "\x1b" not in ended.stdout
