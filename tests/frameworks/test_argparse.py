"""argparse: which programs have a run, under which names, and whoever ends it."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from frameworks._own import in_short, same
from support import (
    PRODUCTS,
    PYTHON,
    TEMPLATE,
    Under,
    pythons,
    run_bare,
    run_program,
    runs,
    without_our_frames,
    write,
)

SHOP = """
import argparse, os, sys
class Loud(argparse.ArgumentParser):
    def error(self, message):
        print("wrong:", message)
        super().error(message)
class Curt(argparse.ArgumentParser):
    def error(self, message):
        print("wrong:", message)
        sys.exit(4)
def build():
    parser = argparse.ArgumentParser(prog="a shop")
    parser.add_argument("--version", action="version", version="1.0")
    parser.add_argument("--n", type=int)
    commands = parser.add_subparsers(dest="command")
    ship = commands.add_parser("ship", aliases=["s", "send"])
    ship.add_argument("--fast", action="store_true")
    ship.add_argument("body", nargs="?", default="print('shipped')")
    db = commands.add_parser("db").add_subparsers(dest="of_db", required=True)
    db.add_parser("migrate", aliases=["m"]).set_defaults(body="print('migrated')")
    cache = commands.add_parser("cache")
    cache.set_defaults(body="print('cached')")
    cache.add_subparsers(dest="of_cache").add_parser("clear")
    for name, kind in {"loud": Loud, "curt": Curt}.items():
        of_kind = commands.add_parser(name).add_subparsers(parser_class=kind, required=True)
        of_kind.add_parser("x").add_argument("number", type=int)
    return parser
def main(argv=None):
    parser = build()
    args = parser.parse_args(argv)
    exec(getattr(args, "body", "print('nothing')"), {**globals(), "parser": parser, "args": args})
if __name__ == "__main__":
    main()
"""
PROCESS = "shop.py success"

# The words after `shop.py`, and the recorded runs.
ROWS = {
    # names
    "ship": [PROCESS, "shop.ship success in shop.py"],
    "s": [PROCESS, "shop.ship success in shop.py"],
    "send --fast": [PROCESS, "shop.ship success in shop.py"],
    "--n 3 ship": [PROCESS, "shop.ship success in shop.py"],
    "db migrate": [PROCESS, "shop.db.migrate success in shop.py"],
    "db m": [PROCESS, "shop.db.migrate success in shop.py"],
    "cache": [PROCESS, "shop.cache success in shop.py"],  # a group that does work
    "cache clear": [PROCESS, "shop.cache.clear success in shop.py"],
    # no subcommand, or nothing that works
    "": [PROCESS],
    "--n 3": [PROCESS],
    "--help": [PROCESS],
    "--version": [PROCESS],
    "ship --help": [PROCESS],
    "db -h": [PROCESS],
    "db migrate -h": [PROCESS],
    # what argparse refuses
    "bogus": ["shop.py failure nested 2 by shop in shop.py"],
    "--n x ship": ["shop.py failure nested 2 by shop in shop.py"],
    "--bogus": ["shop.py failure nested 2 by shop in shop.py"],
    "db": ["shop.py failure nested 2 by shop.db in shop.py"],
    "db bogus": ["shop.py failure nested 2 by shop.db in shop.py"],
    "ship --bogus": ["shop.py failure nested 2 by shop.ship in shop.py"],
    "db migrate --bogus": ["shop.py failure nested 2 by shop.db.migrate in shop.py"],
    "loud y": ["shop.py failure nested 2 by shop.loud in shop.py"],
    "loud x y": ["shop.py failure nested 2 by shop.loud.x in shop.py"],
    "curt x y": ["shop.py failure nested 4 by shop.curt.x in shop.py"],
}
UNDER: tuple[Under, ...] = ("path", "launcher")


def _expected(row: list[str]) -> list[str]:
    """Write out a refusal: the process run, and the run in it."""
    words = row[0].split()
    if words[1:3] != ["failure", "nested"]:
        return row
    return [f"shop.py failure nested {words[3]} by {words[5]}",
            f"{words[5]} failure usage {words[3]} in shop.py"]  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write(tmp_path / "shop.py", SHOP)


# autotask-run sees the same end whatever the name is: with PRODUCTS=all it starts each row.
_LAUNCHED = ("s", "db migrate", "", "db -h", "bogus", "db", "curt x y")


@pytest.mark.parametrize(
    ("words", "under"),
    [
        pytest.param(words, under, id=f"{words or 'nothing'}-{under}")
        for words in ROWS
        for under in UNDER
        if under == "path" or words in _LAUNCHED or PRODUCTS == "all"
    ],
)
def test_a_subcommand_is_the_run_of_the_rest_of_the_process(
    words: str, under: Under, shop: Path, home: Path
) -> None:
    bare = run_bare(shop, *words.split(), cwd=shop.parent)
    ended = run_program(shop, *words.split(), under=under, cwd=shop.parent)
    assert ended == bare
    assert in_short(runs(home)) == _expected(ROWS[words])
    assert os.listdir(home / "open") == []


# What `shop.py ship` executes, and the runs.
BODIES = {
    "a task inside succeeds": (
        "import autotask; autotask.task(name='inner')(print)('x')",
        [PROCESS, "shop.ship success in shop.py", "inner success in shop.ship"],
    ),
    "a task inside fails": (
        "import autotask; autotask.task(name='inner')(lambda text: int(text))('x')",
        [
            "shop.py failure nested ValueError by inner",
            "shop.ship failure nested ValueError by inner in shop.py",
            "inner failure exception ValueError in shop.ship",
        ],
    ),
    "a task in a thread fails": (
        (
            "import autotask, threading; threading.excepthook = print\n"
            "t = threading.Thread(target=autotask.task(name='inner')(int), args=['x'])\n"
            "sys.stdout = open(os.devnull, 'w'); t.start(); t.join()"
        ),
        [
            PROCESS,
            "shop.ship success in shop.py",
            "inner failure exception ValueError in shop.ship",
        ],
    ),
    "a task in a child process": (
        (
            "import subprocess; subprocess.run([sys.executable, '-c',"
            " \"import autotask; autotask.task(name='inner')(print)('x')\"], check=True)"
        ),
        [PROCESS, "shop.ship success in shop.py", "inner success in shop.ship"],
    ),
    "the same program as a child process": (
        "import subprocess; subprocess.run([sys.executable, 'shop.py', 'db', 'm'], check=True)",
        [PROCESS, "shop.ship success in shop.py", "shop.db.migrate success in shop.ship"],
    ),
    "a child process that fails": (
        (
            "import subprocess\n"
            "sys.exit(subprocess.call([sys.executable, 'shop.py', 's', 'sys.exit(5)']))"
        ),
        [
            "shop.py failure nested 5 by shop.ship",
            "shop.ship failure nested 5 by shop.ship in shop.py",  # as the launcher sees it
            "shop.ship failure exit 5 in shop.ship",
        ],
    ),
    "a child that is refused": (
        "import subprocess; subprocess.call([sys.executable, 'shop.py', 'db'])",
        [PROCESS, "shop.ship success in shop.py", "shop.db failure usage 2 in shop.ship"],
    ),
    "it parses again": (
        "build().parse_args(); build().parse_args(['db', 'm']); build().parse_args(sys.argv[1:])",
        [PROCESS, "shop.ship success in shop.py"],
    ),
    "a prompt whose words are refused": (
        (
            "\nfor words in (['bogus'], ['ship', '--bogus'], ['db']):\n"
            "    try: build().parse_args(words)\n"
            "    except SystemExit: print('again')"
        ),
        [PROCESS, "shop.ship success in shop.py"],
    ),
    "refused after the parsing": (
        "parser.error('too late')",
        ["shop.py failure nested 2 by shop.ship", "shop.ship failure usage 2 in shop.py"],
    ),
    "refused by a function called as argparse's": (
        "\ndef parse_args(args=None): parser.error('too late')\nparse_args()",
        ["shop.py failure nested 2 by shop.ship", "shop.ship failure usage 2 in shop.py"],
    ),
    "another parser refuses": (
        "argparse.ArgumentParser(prog='other').error('no')",
        ["shop.py failure nested 2 by shop.ship", "shop.ship failure exit 2 in shop.py"],
    ),
    "forked children": (
        (
            "\nif not os.fork(): sys.exit(3)\nif not os.fork(): os._exit(4)\n"
            "if not os.fork(): 1 / 0\nos.wait(), os.wait(), os.wait()"
        ),
        [PROCESS, "shop.ship success in shop.py"],
    ),
    "a forked child raises, and the program fails for another reason": (
        "\nif not os.fork(): 1 / 0\nos.wait(); sys.exit(1)",
        ["shop.py failure nested 1 by shop.ship", "shop.ship failure exit 1 in shop.py"],
    ),
    "a forked child parses": (
        "\nif not os.fork(): build().parse_args()\nelse: os.wait()",
        [PROCESS, "shop.ship success in shop.py"],
    ),
    "a daemon thread runs on": (
        (
            "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()\n"
            "print('left')"
        ),
        [PROCESS, "shop.ship success in shop.py"],
    ),
    "it becomes the same program": (
        "os.execv(sys.executable, [sys.executable, 'shop.py', 'db', 'migrate'])",
        [PROCESS, "shop.ship success in shop.py"],
    ),
    "it becomes a program that fails": (
        "os.execv(sys.executable, [sys.executable, 'shop.py', 'ship', 'sys.exit(7)'])",
        ["shop.py failure nested 7 by shop.ship", "shop.ship failure exit 7 in shop.py"],
    ),
    "it exits at exit": (
        "import atexit; atexit.register(print, 'bye'); sys.exit(6)",
        ["shop.py failure nested 6 by shop.ship", "shop.ship failure exit 6 in shop.py"],
    ),
    "processes of multiprocessing": (
        (
            "import multiprocessing\n"
            "for how in ('fork', 'spawn', 'forkserver'):\n"
            "    child = multiprocessing.get_context(how).Process(target=print, args=(how,))\n"
            "    child.start(); child.join()"
        ),
        [PROCESS, "shop.ship success in shop.py"],
    ),
}


@pytest.mark.parametrize("under", UNDER)
@pytest.mark.parametrize("name", BODIES)
def test_it_is_the_run_around_all_that_the_program_does(
    name: str, under: Under, shop: Path, home: Path
) -> None:
    body, expected = BODIES[name]
    bare = run_program(shop, "ship", body, under="bare", cwd=shop.parent)
    ended = run_program(shop, "ship", body, under=under, cwd=shop.parent)
    assert (ended.status, ended.stdout) == (bare.status, bare.stdout)
    if under == "path":  # no process knows why another one has failed
        of_another = "shop.ship failure nested 5 by shop.ship in shop.py"
        alone = "shop.ship failure exit 5 in shop.py"
        expected = [alone if run == of_another else run for run in expected]
    assert in_short(runs(home)) == expected
    assert os.listdir(home / "open") == []


def test_a_launcher_is_not_misled_by_an_exit_that_was_caught(shop: Path, home: Path) -> None:
    body = "\ntry: sys.exit(0)\nexcept SystemExit: raise SystemExit(3)"
    run_program(shop, "ship", body, under="launcher", cwd=shop.parent)
    assert in_short(runs(home)) == [
        "shop.py failure nested 3 by shop.ship",
        "shop.ship failure exit 3 in shop.py",
    ]


def test_an_error_names_its_place_whoever_ends_the_run(shop: Path, home: Path) -> None:
    for under in UNDER:
        run_program(shop, "ship", "open('no such file')", under=under, cwd=shop.parent)
    told = [run["error"] for run in runs(home)]
    assert len(told) == 4
    assert {error["where"] for error in told} == {"<string>:1"}
    assert {error["message"] for error in told} == {
        "[Errno 2] No such file or directory: 'no such file'"
    }


@pytest.mark.parametrize("number", [2, 9, 15])
def test_a_signal_ends_it_under_the_launcher(number: int, shop: Path, home: Path) -> None:
    run_program(shop, "ship", f"os.kill(os.getpid(), {number})", under="launcher", cwd=shop.parent)
    process, ship = runs(home)
    assert process["caused_by"] == ship["run"]
    assert ship["reason"] == ("interrupted" if number == 2 else "signal")


@pytest.mark.parametrize(("number", "under"), [(2, "path"), (2, "launcher"), (15, "launcher")])
def test_a_server_that_is_stopped_is_a_success(
    number: int, under: Under, tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "bokeh.py", SHOP.replace('"ship"', '"serve"'))
    run_program(script, "serve", f"os.kill(os.getpid(), {number})", under=under, cwd=tmp_path)
    assert in_short(runs(home)) == ["bokeh.py success", "bokeh.serve success in bokeh.py"]


def test_a_killed_program_leaves_its_run_to_whoever_finds_it(shop: Path, home: Path) -> None:
    run_program(shop, "ship", "os.kill(os.getpid(), 9)", cwd=shop.parent)
    assert in_short(runs(home)) == ["shop.py running", "shop.ship running in shop.py"]
    run_program(sys.executable, "-m", "autotask.tool.cli", "runs", under="bare")
    assert in_short(runs(home)) == [
        "shop.py failure nested by shop.ship",
        "shop.ship failure lost in shop.py",
    ]


@pytest.mark.parametrize("journal", ["0", "stderr"])
def test_it_ends_itself_where_no_launcher_can_read_of_it(
    journal: str, shop: Path, home: Path
) -> None:
    env = {"AUTOTASK_JOURNAL": journal, "AUTOTASK_DEBUG": str(home.parent / "debug.txt")}
    ended = run_program(shop, "ship", "1 / 0", under="launcher", cwd=shop.parent, env=env)
    log = (home.parent / "debug.txt").read_text()
    assert "of argparse task 'shop.ship' began" in log
    assert log.count("ended: failure exception") == 1
    assert ("shop.ship" in ended.stderr) is (journal == "stderr")


PARENT = {"AUTOTASK_PARENT": "00000000000000aa:00000000000000aa:cron"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("print('done')", "shop.ship success"),
        ("sys.exit(3)", "shop.ship failure exit 3"),
        ("1 / 0", "shop.ship failure exception ZeroDivisionError"),
        ("os._exit(5)", "shop.ship failure exit 5"),
        ("parser.error('no')", "shop.ship failure usage 2"),
    ],
)
def test_without_a_process_run_of_its_own_it_ends_with_the_process(
    body: str, told: str, shop: Path, home: Path
) -> None:
    run_program(shop, "ship", body, cwd=shop.parent, env=PARENT)
    (run,) = runs(home)
    assert in_short([{**run, "parent": None}]) == [told]
    assert run["parent"] == "00000000000000aa"


@pytest.mark.parametrize("env", [PARENT, {"AUTOTASK_PROCESS": "0"}])
@pytest.mark.parametrize(("code", "told"), [("3", "failure exit 3"), ("0", "success")])
@pytest.mark.parametrize("framework", ["argparse", "docopt"])
def test_a_console_script_has_the_status_that_main_returns(
    framework: str, code: str, told: str, env: dict[str, str], tmp_path: Path, home: Path
) -> None:
    pytest.importorskip(framework)
    parse = {
        "argparse": "parser = argparse.ArgumentParser()\n"
        "    parser.add_subparsers().add_parser('ship')\n    parser.parse_args()",
        "docopt": "docopt.docopt('Usage: shop ship')",
    }
    write(
        tmp_path / "shop_main.py",
        f"import {framework}\ndef main():\n    {parse[framework]}\n    return {code}\n",
    )
    script = write(tmp_path / "shop.py", "import shop_main, sys\nsys.exit(shop_main.main())\n")
    write(tmp_path / "early" / "sitecustomize.py", f"import {framework}")
    early = {**env, "PYTHONPATH": f"{TEMPLATE}{os.pathsep}{tmp_path / 'early'}"}
    for environ in (env, early):
        assert run_program(script, "ship", cwd=tmp_path, env=environ).status == int(code)
    told_twice = in_short([{**run, "parent": None} for run in runs(home)])
    assert told_twice == [f"shop.ship {told}"] * 2


# Ways to start the program, and its name; None if it has no run.
STARTS: dict[str, tuple[list[str], str | None]] = {
    "python shop.py": (["shop.py"], "shop"),
    "python -m shop": (["-m", "shop"], "shop"),
    "python -m package": (["-m", "package"], "package"),
    "python archive.pyz": (["archive.pyz"], "archive"),
    "python folder": (["folder"], "folder"),
    "a script without .py": (["bin/shop-tool"], "shop-tool"),
    "python -m cProfile shop.py": (["-m", "cProfile", "-o", "out", "shop.py"], "shop"),
    "python -c": (["-c", "import shop; shop.main()"], None),
    "a test with its own sys.argv": (["testing.py"], None),
    "arguments of another origin": (["other.py"], None),
    "in a thread": (["threaded.py"], None),
    "in a library": (["library.py"], None),
    "sys.argv[1:]": (["explicit.py"], "explicit"),
    "parse_known_args": (["known.py"], "known"),
    "a parser before the parser": (["before.py"], "before"),
    "a subclass of everything": (["subclass.py"], "subclass"),
    "not our business": (["plain.py"], None),
}


@pytest.mark.parametrize("start", STARTS)
def test_a_program_that_parses_its_command_line_has_a_run(
    start: str, shop: Path, home: Path
) -> None:
    words, name = STARTS[start]
    place = shop.parent
    for target in ("package/__main__.py", "folder/__main__.py", "bin/shop-tool"):
        write(place / target, SHOP)
    write(place / "package/__init__.py", "")
    with zipfile.ZipFile(place / "archive.pyz", "w") as archive:
        archive.writestr("__main__.py", SHOP)
    for file, source in {
        "testing": "import sys, shop; sys.argv = ['shop', 'cache', 'clear']; shop.main()",
        "other": "import shop; shop.main(['cache'])",
        "threaded": "import shop, threading as t; a = t.Thread(target=shop.main); a.start()",
        "library": "import autotask, shop; autotask.task(name='x')(shop.main)()",
        "explicit": "import sys, shop; shop.main(sys.argv[1:])",
        "known": "import shop; print(shop.build().parse_known_args())",
        "before": """
            import argparse, shop
            first = argparse.ArgumentParser(add_help=False)
            first.add_argument("--config")
            print(first.parse_known_args())
            shop.main()
            """,
        "subclass": """
            import argparse
            class Action(argparse._SubParsersAction):
                def __call__(self, *args, **kwargs):
                    print("called")
                    return super().__call__(*args, **kwargs)
            class Parser(argparse.ArgumentParser):
                def parse_args(self, args=None, namespace=None):
                    return super().parse_args(args, namespace)
                def parse_known_args(self, args=None, namespace=None):
                    print("known")
                    return super().parse_known_args(args, namespace)
            parser = Parser()
            parser.register("action", "parsers", Action)
            parser.add_subparsers().add_parser("ship")
            parser.parse_args()
            """,
        "plain": """
            import argparse
            parser = argparse.ArgumentParser()
            parser.add_argument("what", choices=["ship"])
            print(parser.parse_args())
            """,
    }.items():
        write(place / f"{file}.py", source)
    same(PYTHON, *words, "ship", cwd=place, fresh=True)
    told = [run["task"] for run in runs(home) if run["framework"] == "argparse"]
    assert told == ([f"{name}.ship"] if name else [])


# Real programs: the command, and its run.
ALEMBIC = {
    "init place": "alembic.init success",
    "upgrade head": "alembic.upgrade success",
    "upgrade nowhere": "alembic.upgrade failure exit 255",
    "-x y=1 downgrade --bogus": "alembic.downgrade failure usage 2",
    "bogus": "alembic failure usage 2",
    "--help": "",
}
OTHERS = {
    "flit build": "flit.build failure exit 1",
    "griffe dump json -o dump": "griffe.dump success",
    "griffe dump no-such-package": "griffe.dump failure exit 1",
    "hatchling build": "hatchling.build failure exception ValueError",
    "hatchling version --help": "",
    "pre-commit sample-config": "pre-commit.sample-config success",
    "pre-commit run": "pre-commit.run failure exit 1",
    "wheel unpack nowhere.whl": "wheel.unpack failure exit 1",
    "yoyo list --batch --database sqlite:///y.db": "yoyo.list success",
    "yoyo apply --bogus": "yoyo.apply failure usage 2",
    "pytest --version": "",
}


@pytest.fixture(scope="module")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what `alembic init` makes, for a database of SQLite."""
    pytest.importorskip("alembic")
    place = tmp_path_factory.mktemp("migrations")
    run_program(_installed("alembic"), "init", "place", under="bare", cwd=place)
    settings = place / "alembic.ini"
    lines = settings.read_text().splitlines()
    lines = [line for line in lines if not line.startswith("sqlalchemy.url")]
    lines.insert(lines.index("[alembic]") + 1, "sqlalchemy.url = sqlite:///shop.db")
    settings.write_text("\n".join(lines))
    return place


@pytest.mark.parametrize("words", ALEMBIC)
def test_alembic_has_runs(words: str, migrations: Path, tmp_path: Path, home: Path) -> None:
    ends = []
    for under in ("bare", "path"):
        place = tmp_path / under
        shutil.copytree(migrations, place)
        if words == "init place":
            shutil.rmtree(place / "place")
        ended = run_program(_installed("alembic"), *words.split(), under=under, cwd=place)
        ends.append((ended.status, ended.stdout.replace(under, "")))
    assert ends[0] == ends[1]
    assert _subcommands(home) == ([ALEMBIC[words]] if ALEMBIC[words] else [])


@pytest.mark.parametrize("words", OTHERS)
def test_real_programs_have_the_run_of_their_subcommand(
    words: str, tmp_path: Path, home: Path
) -> None:
    name, *arguments = words.split()
    if not _installed(name).exists():
        pytest.skip(f"{name} is not installed")
    environ = {"COLUMNS": "80", "HOME": str(tmp_path)}
    bare, ended = (
        run_program(_installed(name), *arguments, under=under, cwd=tmp_path, env=environ)
        for under in ("bare", "launcher")
    )
    assert ended.status == bare.status
    assert _subcommands(home) == ([OTHERS[words]] if OTHERS[words] else [])


@pytest.mark.parametrize("line", ["shop ", "shop sh", "shop db "])
def test_completion_is_no_run(line: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("argcomplete")
    asked = "    import argcomplete; argcomplete.autocomplete(parser)\n    args ="
    source = SHOP.replace("    args =", asked)
    shop = write(tmp_path / "shop.py", source)
    env = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE": "1"}
    words = ("-c", 'exec "$@" 8>&1 9>/dev/null', "sh", PYTHON, shop)
    same("/bin/sh", *words, cwd=tmp_path, env=env, fresh=True)
    assert _subcommands(home) == []


def _installed(name: str) -> Path:
    return Path(sysconfig.get_path("scripts")) / name


def _subcommands(home: Path) -> list[str]:
    told = [run for run in runs(home) if run["framework"] == "argparse"]
    return in_short([{**run, "parent": None} for run in told])


def test_what_only_imports_argparse_loads_nothing_else(tmp_path: Path) -> None:
    script = write(
        tmp_path / "job.py",
        """
        import argparse, sys
        parser = argparse.ArgumentParser()
        parser.parse_args()
        ours = {name for name in sys.modules if name.startswith("autotask")}
        print(*sorted(ours - {"autotask.imports"}))  # which finds what has no bytecode yet
        parser.add_subparsers().add_parser("x")
        print("autotask.frameworks.argparse" in sys.modules, "autotask.recorder" in sys.modules)
        """,
    )
    seen = "autotask autotask.agent autotask.argparse_import"
    launched = run_program(script, under="launcher", env={"AUTOTASK_DEBUG": None})
    assert launched.stdout.splitlines() == [seen, "True False"]
    # Nobody else sees the status of this one.
    seen += " autotask.exits autotask.guard autotask.loading autotask.patches"
    assert run_program(script, env=PARENT).stdout.splitlines() == [seen, "True False"]


def test_a_framework_that_is_excluded_has_no_runs(shop: Path, home: Path) -> None:
    for env in ({"AUTOTASK_FRAMEWORKS": "-argparse"}, {"AUTOTASK_IGNORE": "shop.*"}):
        for words in ("ship", "bogus"):
            run_program(shop, words, cwd=shop.parent, env=env)
    assert {run["framework"] for run in runs(home)} == {"process"} | {
        run["framework"] for run in runs(home) if run["task"] == "shop"
    }


LOOK = """
import argparse, copy, inspect, pickle, traceback
before = argparse.ArgumentParser()
commands = before.add_subparsers(title="t")
ship = commands.add_parser("ship")
ship.add_argument("n", type=lambda text: {}[text])
for owner, name in (
    (argparse.ArgumentParser, "add_subparsers"), (argparse.ArgumentParser, "error"),
    (argparse._SubParsersAction, "__call__"),
):
    one = getattr(owner, name)
    print(one.__name__, one.__qualname__, one.__module__, one.__doc__, inspect.signature(one))
    print(pickle.loads(pickle.dumps(one)) is one)
print(copy.deepcopy(before).parse_args([]))
for call in (
    lambda: before.parse_args(), lambda: before.parse_args(["ship", "x"]),
    lambda: argparse.ArgumentParser().add_subparsers(what=1),
):
    try: call()
    except BaseException: traceback.print_exc()
"""


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
def test_argparse_looks_unchanged(version: str, tmp_path: Path) -> None:
    script = write(tmp_path / "job.py", LOOK)
    bare, ours = (
        run_program(pythons(version), script, "ship", "1", under=under, cwd=tmp_path)
        for under in ("bare", "path")
    )
    number = tuple(map(int, version.split(".")))
    assert without_our_frames(ours.stderr, number) == bare.stderr
    assert (ours.status, ours.stdout) == (bare.status, bare.stdout)


def test_a_file_of_the_programs_own_called_argparse_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "argparse.py", "raise ImportError('not that one')")
    script = write(tmp_path / "job.py", "import argparse")
    same(script, cwd=tmp_path, fresh=True)
    write(tmp_path / "argparse.py", "ArgumentParser = 3")
    write(tmp_path / "job.py", "import argparse; print(argparse.ArgumentParser)")
    same(script, cwd=tmp_path, fresh=True)
