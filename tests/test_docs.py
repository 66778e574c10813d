"""The pages say what the code does: their tables name what exists, their commands work."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
import types
from pathlib import Path

import environments
import pages
import pytest
import secrets_table
from pages import PAGES, ROOT, Command
from support import LAUNCHER, Datagrams, run_program, runs, write
from tool.datadog import server
from tool.journals import COMMAND, DAY, HOUR, Book, autotask

from autotask import plugin, settings
from autotask.around import command_settings
from autotask.imports import TABLE
from autotask.tool import command_line, supported
from autotask.tool.commands import frameworks
from autotask.tool.doctor import checks

pytestmark = pytest.mark.checkout

README = pages.text("README.md")
CONTRIBUTING = pages.text("CONTRIBUTING.md")
_VARIABLE = re.compile(r"\b(?:AUTOTASK|DD)_[A-Z_]+\b")


# --- tables --------------------------------------------------------------------------------------


def _first_column(page: str, table: str) -> list[str]:
    rows = pages.text(page).partition(f"<!-- {table} -->\n")[2].partition("\n\n")[0]
    return [
        name
        for row in rows.splitlines()[2:]
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]


def test_the_table_of_settings_names_every_setting_that_is_read() -> None:
    between_our_own_processes = {settings.PARENT, settings.PROCESS_RUN, settings.RUN_PARTS}
    assert sorted(_first_column("docs/settings.md", "settings")) == sorted(
        _settings_that_are_read() - between_our_own_processes
    )


def _settings_that_are_read() -> set[str]:
    in_process = _VARIABLE.findall(Path(settings.__file__).read_text())
    return {*in_process, *command_settings.VARIABLES.values()}


def test_the_table_of_settings_has_the_defaults_of_the_switches() -> None:
    unset = {**vars(settings.Settings({})), **vars(command_settings.CommandSettings())}
    text = pages.text("docs/settings.md")
    rows = re.findall(r"^\| `AUTOTASK_(\w+)` \|.*\| (on|off|auto) \|$", text, re.MULTILINE)
    assert len(rows) == 11
    for name, default in rows:
        value = unset[name.lower()]
        assert (value if default == "auto" else "on" if value else "off") == default, name


def test_doctor_knows_every_setting_in_the_table() -> None:
    names = _first_column("docs/settings.md", "settings")
    assert sorted(checks.SETTINGS) == sorted(name for name in names if not name.startswith("DD_"))


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md"])
def test_a_page_names_no_setting_that_does_not_exist(page: str) -> None:
    of_the_api = {"DD_API_KEY", "DD_APP_KEY", "DD_SITE", "DD_HOST"}
    known = _settings_that_are_read() | of_the_api
    named = {name for name in _VARIABLE.findall(pages.text(page)) if not name.endswith("_")}
    assert {name for name in named if name not in known and name not in _OF_THE_AGENT} == set()


_OF_THE_AGENT = {"DD_DOGSTATSD_NON_LOCAL_TRAFFIC"}  # in the example for Compose


def _served() -> set[str]:
    """Return the names in AUTOTASK_FRAMEWORKS that the table serves."""
    return {name for names in TABLE.split()[1::4] for name in names.split(",")}


def _kinds_in_the_readme() -> dict[str, str]:
    """Return the kind of each framework in README's table: the heading above its row."""
    rows = README.partition("<!-- frameworks -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    kinds, kind = {}, ""
    for cell in (row.split("|")[1].strip() for row in rows):
        if cell.startswith("**"):
            kind = cell.strip("*").lower()
        else:
            kinds[cell.strip("`")] = kind
    return kinds


def test_the_table_of_frameworks_names_every_supported_one_under_its_kind() -> None:
    assert _kinds_in_the_readme() == supported.KINDS
    assert set(supported.NAMES) == _served()


def test_the_table_of_frameworks_has_the_versions_that_are_tested() -> None:
    for name in supported.NAMES:
        wanted = supported.FRAMEWORKS.get(name, frameworks.WITH_PYTHON)
        (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
        assert row.split("|")[2].strip().startswith(str(wanted))


def test_the_page_of_frameworks_has_a_section_for_each() -> None:
    """One section may be about several: `## Click, asyncclick and Typer`."""
    headings = re.findall(r"^## (.+)$", pages.text("docs/frameworks.md"), re.MULTILINE)
    named = [name.lower() for heading in headings for name in re.split(r", | and ", heading)]
    assert sorted(named) == sorted(supported.KINDS)


def test_the_table_of_secrets_matches_the_rows() -> None:
    assert secrets_table.PAGE.read_text() == secrets_table.page()


def test_the_plugins_page_names_everything_that_a_plugin_may_use() -> None:
    table = (
        pages.text("docs/plugins.md").partition("| `autotask.plugin.` |")[2].partition("\n\n")[0]
    )
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    named = re.findall(r"`(\w+)[`(]", " ".join(cells))
    assert sorted(named) == sorted(plugin.__all__)


def test_contributing_names_each_module_exactly_once() -> None:
    text = CONTRIBUTING.partition("<!-- modules -->")[2].partition("<!-- /modules -->")[0]
    named = []
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        folder = re.findall(r"`(autotask(?:_ruby)?/\S*)`", section.splitlines()[0])
        assert len(folder) == 1, section.splitlines()[0]
        ending = "rb" if "_ruby/" in folder[0] else "py"
        names = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        named += [f"{folder[0]}{name}.{ending}" for name in names]
    files = (*(ROOT / "autotask").rglob("*.py"), *(ROOT / "autotask_ruby/autotask").rglob("*.rb"))
    tree = [str(path.relative_to(ROOT)) for path in files]
    assert sorted(named) == sorted(path for path in tree if not path.endswith("__init__.py"))


def test_the_commands_page_has_each_subcommand_with_its_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Compare with `--help`, also that of the actions of `monitors` and `dashboard`."""
    sections = {
        section.splitlines()[0]: section
        for section in re.split(r"^## ", pages.text("docs/commands.md"), flags=re.MULTILINE)[1:]
    }
    top = _help(capsys)
    names = re.findall(r"^ {2,4}([a-z][a-z-]+)(?: {2,}|$)", top, re.MULTILINE)
    assert set(sections) == {"autotask-run", *(f"autotask {name}" for name in names)}
    for name in names:
        section = sections[f"autotask {name}"]
        if "ACTION" not in (said := _help(capsys, name)):
            assert _options(said) == _options(section), name
            continue
        rows = re.findall(r"^\| `(\w+)(?: \w+)?` \|.*\| (.*) \|$", section, re.MULTILINE)
        actions = re.findall(r"^ {2,4}([a-z]+) {2,}", said, re.MULTILINE)
        assert sorted(action for action, _ in rows) == sorted(actions)
        for action, options in rows:
            assert _options(options) == _options(_help(capsys, name, action)), (name, action)
    launcher = run_program(sys.executable, "--help", under="launcher", options=("--help",)).stdout
    assert _options(launcher) == _options(sections["autotask-run"]) | {"--version"}


def _help(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        command_line.run([*words, "--help"])
    return capsys.readouterr().out


def _options(text: str) -> set[str]:
    """Return the options in a help or a section, apart from `--help`."""
    told = text.partition("\nexamples:")[0]
    return {*re.findall(r"(?<![\w-])--[a-z][a-z-]+|(?<![\w-])-o\b", told)} - {"--help"}


# What changes something in the program that it runs in.
_CHANGES = re.compile(
    r"^\s+(?:setattr\(|replace\(|BaseException\.with_traceback\()|StandIn\(|meta_path\.insert\("
    r"|atexit(?:\"\))?\.register\(|environ\[[^]]+\] = |\.putenv\(|addaudithook\(|f_trace = "
    r"|exec_module = |\.start = |sys\.path\.remove\(|Finalize\(|start_new_thread\("
    r"|sys\.modules\[[^]]+\] = |sys\.modules\.pop\(|ContextVar\(",
    re.MULTILINE,
)


def test_each_module_that_changes_the_process_is_in_the_list_of_changes() -> None:
    text = pages.text("docs/how-it-works.md").partition("## What autotask changes")[2]
    rows = [line.split("|") for line in text.partition("\n## ")[0].splitlines() if "|" in line]
    named = {name.rstrip("/") for row in rows[2:] for name in re.findall(r"`([\w/]+)`", row[3])}
    in_process = [
        *(ROOT / "sitecustomize_template").glob("sitecustomize.py"),
        *(ROOT / "autotask").glob("*.py"),
        *(ROOT / "autotask" / "frameworks").glob("*.py"),
    ]
    changing = {_short_name(path) for path in in_process if _CHANGES.search(path.read_text())}
    assert changing - named == set()
    known = {_short_name(path) for path in (*in_process, *(ROOT / "autotask").rglob("*.py"))}
    assert named - known - {"replace", "autotask_ruby"} == set()


def _short_name(path: Path) -> str:
    """Return `recorder`, `frameworks/click`, `frameworks`: as the pages name modules."""
    name = path.relative_to(ROOT).with_suffix("").as_posix().removeprefix("autotask/")
    return name.removesuffix("/__init__").removesuffix("/sitecustomize")


# --- commands ------------------------------------------------------------------------------------

# Commands that no test of this file runs, and why.
_CRONTAB = "about this machine's crontabs: tool/cron/test_page.py runs it with --yes"
NOT_RUN = {
    "README.md": {
        "autotask cron watch      # show the difference, ask, keep a copy, write": _CRONTAB,
        "autotask cron list       # each job: when it is due next, when it last ran, what was"
        " missed": _CRONTAB,
        "autotask cron check      # what keeps a job from running or from being recorded": _CRONTAB,
        "autotask cron unwatch    # the same bytes as before": _CRONTAB,
        "pipx install .    # in a checkout; once it is released: pipx install autotask-agent": (
            "installs: test_anywhere.py installs the wheel"
        ),
        "make demo     # set up .venv, then show autotask at work": "test_packaging.py runs it",
        "make test     # the same, then run the tests": "runs this test",
        "autotask ship --follow    # a small service that keeps delivering, and closes lost runs": (
            "does not end: tool/commands/test_ship.py"
        ),
        "export DD_API_KEY=... DD_APP_KEY=... DD_SITE=datadoghq.eu": "the stand-in has other keys",
    },
    "docs/commands.md": {
        "autotask ship --follow": "does not end: tool/commands/test_ship.py",
        "sudo autotask init-home /var/lib/autotask": "needs root: test_homes.py",
        "sudo autotask init-home --group ops /var/lib/autotask": "needs root: test_homes.py",
    },
    "docs/containers.md": {
        "kubectl exec POD -c autotask -- autotask runs": "a cluster: test_containers.py",
        "kubectl logs job/nightly | grep '^{\"run\":\"' | jq -r '[.task, .status, .reason]"
        ' | join(" ")\'': "a cluster: test_containers.py has its lines",
    },
    "docs/datadog.md": {
        "export DD_API_KEY=... DD_APP_KEY=... DD_SITE=datadoghq.eu": "the stand-in has other keys",
    },
    "docs/platforms.md": {
        pages.commands("docs/platforms.md")[0].text: "systemd-nspawn is nowhere in a container",
    },
    "docs/users.md": {
        "sudo autotask init-home /var/lib/autotask              # for all users of the machine": (
            "needs root: test_homes.py"
        ),
        "sudo autotask init-home --group ops /var/lib/autotask  # for the members of a group": (
            "needs root: test_homes.py"
        ),
        "sudo -E autotask runs    # your runs": "needs root: test_homes.py",
        "sudo -i autotask runs    # root's runs": "needs root: test_homes.py",
    },
}
IN_A_PRIVATE_SYSTEM = "docs/cron-and-systemd.md"  # tool/cron/test_page.py runs its commands
RUN = {
    page: [one for one in pages.commands(page) if one.text not in NOT_RUN.get(page, {})]
    for page in PAGES
    if page != IN_A_PRIVATE_SYSTEM
}
# Commands that end with a status other than 0.
STATUSES = {
    "docs/being-told.md": {"autotask-run --name backup sh -c 'exit 3'": 3},
    "README.md": {
        "autotask check": 1,
        "autotask-run python shop.py orders ship": 1,
        "autotask doctor -- ./nightly.py": 1,
    },
    "docs/commands.md": {
        "autotask check": 1,
        "autotask check --nagios": 2,
        "autotask-run nigthly.py": 127,
        "autotask cron check new-crontab": 1,
    },
    "docs/secrets.md": {"AUTOTASK_MESSAGES=0 autotask-run python refused.py": 1},
    "docs/supervision.md": {
        "PYTHONPATH=/opt/autotask AUTOTASK_SUPERVISE=1 python killed.py": 137,
        "autotask-run --timeout 1s sleep 60": 124,
        "autotask-run --keep-output 8k ./sync.sh": 3,
    },
}
DEMO = {
    path.name: path.read_text()
    for path in (ROOT / "demo").iterdir()
    if path.is_file() and path.name != "demo.py"
}
NIGHTLY = {"nightly.py": "print('done')\n"}
# Files that a page does not show, in `/srv/shop`.
FILES = {
    "README.md": {
        **DEMO,
        "nightly.py": "#!/srv/shop/.venv/bin/python -I\nprint('done')\n",
        "jobs.py": "class Mailer:\n    def send(self): print('2 mails sent')\n"
        "def nightly(): Mailer().send()\n",
        "main.py": "import jobs\njobs.nightly()\n",
    },
    "docs/beside-others.md": {
        **NIGHTLY,
        "scheduler.py": "import subprocess, sys\nsubprocess.run([sys.executable, 'nightly.py'])\n",
    },
    "docs/commands.md": DEMO,
    "docs/containers.md": {
        "nightly.py": (ROOT / "examples" / "containers" / "nightly.py").read_text()
    },
    "docs/plugins.md": {
        "console.py": "#!/srv/shop/.venv/bin/python\nimport cmd\n"
        "class Console(cmd.Cmd):\n    def do_greet(self, line): print('hello')\n"
        "Console().onecmd('greet')\n"
    },
    "docs/secrets.md": {"refused.py": "raise RuntimeError('hunter2 was refused')\n"},
    "docs/settings.md": {**DEMO, **NIGHTLY},
    "docs/supervision.md": {
        "killed.py": "import os\nos.kill(os.getpid(), 9)\n",
        "sync.sh": "#!/bin/sh\necho connecting to backup.example.org\n"
        "echo login failed: password=hunter2 >&2\nexit 3\n",
    },
}
# Preparations for the commands of a page.
BUNDLED = {"docs/beside-others.md", "docs/supervision.md"}
WITH_DATADOG = {"README.md", "docs/commands.md", "docs/datadog.md"}


def test_every_expectation_is_about_a_command_on_a_page() -> None:
    assert set(NOT_RUN) <= set(PAGES)
    assert all(RUN[page] for page in (*STATUSES, *FILES))
    reasons = [why for told in NOT_RUN.values() for why in told.values()]
    for test in re.findall(r"[\w/]*test_\w+\.py", " ".join(reasons)):
        assert (ROOT / "tests" / test).exists(), test
    for page in PAGES:
        told = {*NOT_RUN.get(page, {}), *STATUSES.get(page, {})}
        assert told <= {command.text for command in pages.commands(page)}, page


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_commands_only_in_blocks_that_are_run(page: str) -> None:
    kinds = {kind for _, kind, _ in pages.blocks(page)}
    known = {"console", "crontab", "ini", "json", "python", "toml", "yaml", "dockerfile", ""}
    assert kinds <= known
    outside = re.sub(r"^```.*?^```$", "", pages.text(page), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^    \S.*", outside, re.MULTILINE) == []


@pytest.mark.parametrize("page", [page for page in PAGES if RUN.get(page)])
def test_the_commands_on_a_page_do_what_it_says(
    page: str, tmp_path: Path, datagrams: Datagrams
) -> None:
    pages.lay(page, tmp_path, FILES.get(page, {}))
    env = _environment(page, tmp_path)
    told = STATUSES.get(page, {})
    for command, outcome in zip(RUN[page], pages.run(RUN[page], tmp_path, env)):
        said = "\n".join(outcome.printed)
        assert outcome.status == told.get(command.text, 0), f"{command.text}\n{said}"
        assert _is_as_shown(command, outcome.printed, tmp_path), f"{command.text}\n{said}"


def _is_as_shown(command: Command, printed: list[str], place: Path) -> bool:
    return not command.shown or pages.is_shown(printed, command.shown, place)


def _environment(page: str, place: Path) -> dict[str, str]:
    """Prepare what a page assumes; return the variables of its shell."""
    shop, home = place / "shop", place / "ann"
    commands = home / ".local" / "bin"
    commands.mkdir(parents=True)
    (commands / "autotask").symlink_to(COMMAND[0])
    (commands / "autotask-run").symlink_to(LAUNCHER)
    path = [str(commands), str(shop / ".venv" / "bin"), os.environ.get("PATH", os.defpath)]
    env = {"HOME": str(home), "PATH": ":".join(path), "AUTOTASK_HOME": "", "XDG_STATE_HOME": ""}
    if page == "docs/being-told.md":
        write(commands / "sendmail", "#!/bin/sh\ncat > mail\n").chmod(0o755)
    if page in BUNDLED:
        assert (
            pages.run([Command("autotask bundle --force /opt/autotask")], place, env)[0].status == 0
        )
    if page == "docs/plugins.md":
        environments.install_example(shop)
        env["PYTHONPATH"] = str(shop)
    if page == "docs/datadog.md":
        book = Book(home / ".local" / "state" / "autotask")
        for night in range(10):
            book.run("nightly.py", ago=(night + 1) * DAY, duration=600)
        for hour in range(24):
            book.run("mail", ago=(hour + 1) * HOUR, duration=5)
    if page in WITH_DATADOG:
        datadog, _ = server.start()
        env |= {
            "DATADOG_HOST": datadog.url,
            "DD_API_KEY": server.API_KEY,
            "DD_APP_KEY": server.APP_KEY,
        }
    return env


# --- examples in code ----------------------------------------------------------------------------

JOBS = """
class Job:
    def __init__(self, name): self.name = name
    def run(self): print(f"{1 // (self.name != 'broken')} sent")
Task = Job
"""


def _code(page: str, word: str) -> str:
    """Return the Python example on a page that contains a word; in a list it is indented."""
    examples = re.findall(r"^( *)```python\n(.*?)^ *```$", pages.text(page), re.M | re.DOTALL)
    (example,) = [inspect.cleandoc(f"\n{code}") for _, code in examples if word in code]
    return example


@pytest.mark.parametrize(
    ("page", "word"), [("CONTRIBUTING.md", "import replace"), ("docs/plugins.md", "plugin.replace")]
)
def test_the_example_of_a_framework_makes_runs_of_its_tasks(
    page: str, word: str, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "jobs.py", JOBS)
    write(tmp_path / "example.py", _code(page, word))
    source = "import jobs\nfor name in 'mail', 'broken': jobs.Job(name).run()\n"
    script = write(tmp_path / "main.py", source)
    env = {"AUTOTASK_PLUGINS": "jobs=example:instrument", "AUTOTASK_PROCESS": "0"}
    ended = run_program(script, env=env)
    assert (ended.status, ended.stdout) == (1, "1 sent\n")
    ends = [(run["task"], run["status"]) for run in runs(home)]
    assert ends == [("mail", "success"), ("broken", "failure")]
    assert "autotask_run" not in ended.stderr or sys.version_info < (3, 11)


def test_the_example_of_a_subcommand_works(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    Book(home).run("mail", ago=HOUR, duration=5)
    module = types.ModuleType("count")
    exec(_code("CONTRIBUTING.md", "DESCRIPTION ="), module.__dict__)
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    module.run(parser.parse_args([]))
    assert capsys.readouterr().out == "1\n"


def test_the_example_of_a_configuration_file_is_valid(tmp_path: Path) -> None:
    (example,) = [text for _, kind, text in pages.blocks("docs/datadog.md") if kind == "toml"]
    file = write(tmp_path / "page.toml", example)
    ended = autotask("monitors", "export", "--config", str(file))
    assert ended.status == 0
    assert "nightly.py" in ended.stdout


# --- links and targets ---------------------------------------------------------------------------


def test_the_readme_explains_itself_then_how_to_install_use_and_develop() -> None:
    install, use, develop, *_ = (text for _, kind, text in pages.blocks("README.md"))
    assert README.index("## Install") < README.index(install)
    assert len(re.findall(r"[.] |[.]\n", README.partition("## Install")[0])) == 3
    assert install.startswith("$ pipx install ")
    assert use.startswith("$ autotask-run ")
    assert "$ autotask runs\n" in use
    assert re.findall(r"\$ (make \w+)", develop) == ["make demo", "make test"]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_to_pages_and_sections_that_exist(page: str) -> None:
    text = pages.text(page)
    for link, section in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)]+)?\)", text):
        target = (ROOT / page).parent.joinpath(link) if link else ROOT / page
        assert target.exists(), link
        if section:
            assert section[1:] in _sections(target.read_text()), (link, section)


def _sections(text: str) -> set[str]:
    """Return the anchors of a page's sections, as a forge makes them from the headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_page_is_named_in_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)", README))
    assert linked == {page for page in PAGES if page != "README.md"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_in_the_docs_exists(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|\$ )make ([\w-]+)", pages.text(page)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
