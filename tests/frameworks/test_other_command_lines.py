"""cyclopts, fire, cleo, cliff, docopt: a program's subcommand, and how it ends."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from frameworks._own import in_short, same
from support import run_program, runs, write

DOCOPT = '''
"""Shop.

Usage:
  shop.py [--n=N] ship [<what>]
  shop.py db migrate [<what>]
  shop.py run <what>
  shop.py -h | --help
  shop.py --version
"""
import os, sys
from docopt import docopt
args = docopt(__doc__, version="1.0")
print(sorted(args.items()))
exec(args["<what>"] or "")
'''
FIRE = """
import asyncio, os, sys
import fire
class Db:
    def __init__(self, what="pass"): exec(what)
    def migrate(self, what="pass"): exec(what); return "migrated"
    def to_ship(self, n: int, what="pass"): exec(what); return self
def ship(what="pass"): print("shipped", what); exec(what)
async def later(): await asyncio.sleep(0); return 7
class Shop:
    ship = staticmethod(ship)
    db = Db()
    broken = Db
    later = staticmethod(later)
if "-" in sys.argv[1:2]: fire.Fire()
else: fire.Fire(ship if "--what=pass" in sys.argv[1:2] else Shop)
"""
CYCLOPTS = """
import asyncio, os, sys
from cyclopts import App
app = App(name="a-shop", version="1.0")
db = App(name=["db", "d"])
app.command(db)
@app.command(name=["ship", "s"])
def ship(what: str = "pass", *, n: int = 0):
    print("shipped", what)
    exec(what)
@db.command
def migrate(what: str = "pass"): exec(what)
@db.default
def all_of_it(): print("all")
@app.command
def inner(what: str = "pass"): app(["ship", what])
if __name__ == "__main__": app()
"""
CLEO = """
import os, sys
from cleo.application import Application
from cleo.commands.command import Command
from cleo.helpers import argument, option
class Ship(Command):
    name = "ship"
    aliases = ["s"]
    arguments = [argument("what", "what", optional=True)]
    options = [option("count", None, "count", flag=False)]
    def handle(self):
        self.line("shipped")
        return eval(self.argument("what") or "0")
class Migrate(Ship):
    name = "db migrate"
    aliases = []
class Calls(Ship):
    name = "calls"
    aliases = []
    def handle(self): return self.call("ship", f"ship {self.argument('what') or 0}")
application = Application("shop", "1.0")
for command in (Ship(), Migrate(), Calls()): application.add(command)
if __name__ == "__main__": application.run()
"""
CLIFF = """
import os, sys
from cliff.app import App
from cliff.command import Command
from cliff.commandmanager import CommandManager
from cliff.lister import Lister
class Ship(Command):
    "Ship it."
    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument("what", nargs="?", default="0")
        return parser
    def take_action(self, parsed_args):
        print("shipped", flush=True)
        return eval(parsed_args.what)
class Own(Ship):
    def run(self, parsed_args):
        print("own")
        return super().run(parsed_args)
class Goods(Lister):
    "List them."
    def take_action(self, parsed_args): return ("name",), (("tea",),)
class Locked(Ship): pass
class Shop(App):
    def __init__(self):
        super().__init__("shop", "1.0", CommandManager("shop.commands"), deferred_help=True)
        of_name = {"ship": Ship, "db migrate": Own, "goods": Goods, "locked": Locked}
        for name, kind in of_name.items():
            self.command_manager.add_command(name, kind)
    def prepare_to_run_command(self, cmd):
        if type(cmd) is Locked: raise PermissionError("no key")
    def clean_up(self, cmd, result, err):
        super().clean_up(cmd, result, err)
        print("cleaned", result, type(err).__name__)
if __name__ == "__main__": sys.exit(Shop().run(sys.argv[1:]))
"""
SOURCES = {
    "docopt": DOCOPT, "fire": FIRE, "cyclopts": CYCLOPTS, "cleo": CLEO, "cliff": CLIFF,
}  # fmt: skip
_WHOLE = "shop.py success"
_INTERRUPT = "os.kill(os.getpid(), 2)"

# Programs whose exit status depends on the release: cliff's with 130 after Ctrl-C, cyclopts's with
# 1 or 2 for wrong arguments.
_ODD_STATUSES = [("cliff", _INTERRUPT), ("cyclopts", _INTERRUPT), ("cyclopts", "bogus")]

# The words of a program, its other runs besides the process run, and that.
ROWS: dict[str, list[tuple[list[str], list[str], str]]] = {
    "docopt": [
        (["ship"], ["shop.ship success in shop.py"], _WHOLE),
        (["--n=3", "ship"], ["shop.ship success in shop.py"], _WHOLE),
        (["db", "migrate"], ["shop.db.migrate success in shop.py"], _WHOLE),
        (["run", "pass"], ["shop.run success in shop.py"], _WHOLE),
        (["--help"], [], _WHOLE),
        (["--version"], [], _WHOLE),
        (["bogus"], ["shop failure usage 1 in shop.py"], "shop.py failure nested 1 by shop"),
        ([], ["shop failure usage 1 in shop.py"], "shop.py failure nested 1 by shop"),
        (
            ["ship", "sys.exit(3)"],
            ["shop.ship failure exit 3 in shop.py"],
            "shop.py failure nested 3 by shop.ship",
        ),
        (
            ["run", "1 / 0"],
            ["shop.run failure exception ZeroDivisionError in shop.py"],
            "shop.py failure nested ZeroDivisionError by shop.run",
        ),
        (
            ["ship", _INTERRUPT],
            ["shop.ship failure interrupted in shop.py"],
            "shop.py failure nested by shop.ship",
        ),
    ],
    "fire": [
        (["ship"], ["shop.ship success in shop.py"], _WHOLE),
        (["db", "migrate"], ["shop.db.migrate success in shop.py"], _WHOLE),
        (["db", "to-ship", "1"], ["shop.db.to_ship success in shop.py"], _WHOLE),
        (
            ["db", "to-ship", "1", "-", "migrate"],
            ["shop.db.to_ship success in shop.py", "shop.db.to_ship.migrate success in shop.py"],
            _WHOLE,
        ),
        (["broken", "migrate"], ["shop.broken.migrate success in shop.py"], _WHOLE),
        (["-", "ship"], ["shop.ship success in shop.py"], _WHOLE),
        (["--what=pass"], ["shop success in shop.py"], _WHOLE),
        (["--help"], [], _WHOLE),
        (["ship", "--help"], [], _WHOLE),
        (["bogus"], ["shop failure usage 2 in shop.py"], "shop.py failure nested 2 by shop"),
        (
            ["db", "to-ship"],
            ["shop.db.to_ship failure usage 2 in shop.py"],
            "shop.py failure nested 2 by shop.db.to_ship",
        ),
        (
            ["ship", "--what=1/0"],
            ["shop.ship failure exception ZeroDivisionError in shop.py"],
            "shop.py failure nested ZeroDivisionError by shop.ship",
        ),
        (
            ["ship", "--what=sys.exit(3)"],
            ["shop.ship failure exit 3 in shop.py"],
            "shop.py failure nested 3 by shop.ship",
        ),
        (
            ["ship", f"--what={_INTERRUPT}"],
            ["shop.ship failure interrupted in shop.py"],
            "shop.py failure nested by shop.ship",
        ),
        (
            ["broken", "--what=1/0", "migrate"],
            ["shop failure exception ZeroDivisionError in shop.py"],
            "shop.py failure nested ZeroDivisionError by shop",
        ),
    ],
    "cyclopts": [
        (["ship"], ["shop.ship success in shop.py"], _WHOLE),
        (["s", "pass", "--n", "3"], ["shop.ship success in shop.py"], _WHOLE),
        (["d", "migrate"], ["shop.db.migrate success in shop.py"], _WHOLE),
        (["db"], ["shop.db success in shop.py"], _WHOLE),
        (
            ["inner"],
            ["shop.inner success in shop.py", "shop.ship success in shop.inner"],
            _WHOLE,
        ),
        ([], [], _WHOLE),
        (["--help"], [], _WHOLE),
        (["ship", "--help"], [], _WHOLE),
        (["--version"], [], _WHOLE),
        (["bogus"], ["shop failure usage in shop.py"], "shop.py failure nested by shop"),
        (
            ["s", "--n", "bogus"],
            ["shop failure usage in shop.py"],
            "shop.py failure nested by shop",
        ),
        (
            ["ship", _INTERRUPT],
            ["shop.ship failure interrupted in shop.py"],
            "shop.py failure nested by shop.ship",
        ),
        (
            ["ship", "sys.exit(3)"],
            ["shop.ship failure exit 3 in shop.py"],
            "shop.py failure nested 3 by shop.ship",
        ),
        (
            ["ship", "1 / 0"],
            ["shop.ship failure exception ZeroDivisionError in shop.py"],
            "shop.py failure nested ZeroDivisionError by shop.ship",
        ),
        (
            ["inner", "1 / 0"],
            [
                "shop.inner failure nested ZeroDivisionError by shop.ship in shop.py",
                "shop.ship failure exception ZeroDivisionError in shop.inner",
            ],
            "shop.py failure nested ZeroDivisionError by shop.ship",
        ),
    ],
    "cleo": [
        (["ship"], ["shop.ship success in shop.py"], _WHOLE),
        (["s"], ["shop.ship success in shop.py"], _WHOLE),
        (["db", "migrate"], ["shop.db.migrate success in shop.py"], _WHOLE),
        (
            ["calls"],
            ["shop.calls success in shop.py", "shop.ship success in shop.calls"],
            _WHOLE,
        ),
        ([], [], _WHOLE),
        (["list"], [], _WHOLE),
        (["--help"], [], _WHOLE),
        (["help", "ship"], [], _WHOLE),
        (["ship", "--help"], [], _WHOLE),
        (["--version"], [], _WHOLE),
        (["bogus"], ["shop failure usage 1 in shop.py"], "shop.py failure nested 1 by shop"),
        (
            ["ship", "--bogus"],
            ["shop.ship failure usage 1 in shop.py"],
            "shop.py failure nested 1 by shop.ship",
        ),
        (
            ["ship", "3"],
            ["shop.ship failure exit 3 in shop.py"],
            "shop.py failure nested 3 by shop.ship",
        ),
        (
            ["ship", "sys.exit(4)"],
            ["shop.ship failure exit 4 in shop.py"],
            "shop.py failure nested 4 by shop.ship",
        ),
        (
            ["ship", "1/0"],
            ["shop.ship failure exception ZeroDivisionError in shop.py"],
            "shop.py failure nested 1 by shop.ship",
        ),
        (
            ["calls", "3"],
            [
                "shop.calls failure nested 3 by shop.ship in shop.py",
                "shop.ship failure exit 3 in shop.calls",
            ],
            "shop.py failure nested 3 by shop.ship",
        ),
        (
            ["ship", f"{_INTERRUPT}"],
            ["shop.ship failure interrupted in shop.py"],
            "shop.py failure nested 1 by shop.ship",
        ),
    ],
    "cliff": [
        (["ship"], ["shop.ship success in shop.py"], _WHOLE),
        (["db", "migrate"], ["shop.db.migrate success in shop.py"], _WHOLE),
        (["goods"], ["shop.goods success in shop.py"], _WHOLE),
        (["--help"], [], _WHOLE),
        (["help", "ship"], [], _WHOLE),
        (["ship", "--help"], [], _WHOLE),
        (["--version"], [], _WHOLE),
        (["bogus"], ["shop failure usage 2 in shop.py"], "shop.py failure nested 2 by shop"),
        (
            ["ship", "--bogus"],
            ["shop.ship failure usage 2 in shop.py"],
            "shop.py failure nested 2 by shop.ship",
        ),
        (
            ["ship", "3"],
            ["shop.ship failure exit 3 in shop.py"],
            "shop.py failure nested 3 by shop.ship",
        ),
        (
            ["ship", "sys.exit(4)"],
            ["shop.ship failure exit 4 in shop.py"],
            "shop.py failure nested 4 by shop.ship",
        ),
        (
            ["db", "migrate", "1/0"],
            ["shop.db.migrate failure exception ZeroDivisionError in shop.py"],
            "shop.py failure nested 1 by shop.db.migrate",
        ),
        (
            ["locked"],
            ["shop.locked failure exception PermissionError in shop.py"],
            "shop.py failure nested 1 by shop.locked",
        ),
        (
            ["ship", _INTERRUPT],
            ["shop.ship failure interrupted in shop.py"],
            "shop.py failure nested by shop.ship",
        ),
    ],
}


@pytest.mark.parametrize(
    ("framework", "words", "others", "whole"),
    [
        pytest.param(framework, *row, id=f"{framework} {' '.join(row[0])}")
        for framework, rows in ROWS.items()
        for row in rows
    ],
)
def test_a_subcommand_has_a_run_that_ends_as_it_did(
    framework: str, words: list[str], others: list[str], whole: str, tmp_path: Path, home: Path
) -> None:
    _need(framework)
    script = write(tmp_path / "shop.py", SOURCES[framework])
    same(script, *words, cwd=tmp_path, fresh=True)
    found = runs(home)
    if (framework, *words[-1:]) in _ODD_STATUSES:
        for run in found:
            run.pop("exit_code", None)
    assert in_short(found) == [whole, *others]
    assert {run["framework"] for run in found} == {"process", *[framework for _ in others[:1]]}


@pytest.mark.parametrize("framework", ["cleo", "cliff"])
def test_an_error_that_a_framework_swallows_is_told(
    framework: str, tmp_path: Path, home: Path
) -> None:
    _need(framework)
    script = write(tmp_path / "shop.py", SOURCES[framework])
    run_program(script, "ship", "{}['tea']", cwd=tmp_path)
    _, ship = runs(home)
    assert ship["error"] == {"type": "KeyError", "message": "'tea'", "where": "<string>:1"}


def test_cyclopts_finds_the_program_behind_our_frames(tmp_path: Path) -> None:
    _need("cyclopts")
    source = """
    import cyclopts.core
    app = cyclopts.App()
    app.command(cyclopts.core._get_root_module_name, name="who")
    try: print(app(["who"]))
    except SystemExit: pass
    """
    write(tmp_path / "shop" / "__init__.py", "")
    write(tmp_path / "shop" / "__main__.py", source)
    assert same("-m", "shop", cwd=tmp_path, fresh=True).stdout == "__main__\n"


ASYNC = {
    "ship": "shop.ship success",
    "ship 1/0": "shop.ship failure exception ZeroDivisionError",
    "ship --bogus": "shop failure usage",
}


@pytest.mark.parametrize("words", ASYNC)
def test_cyclopts_runs_a_command_in_a_loop_that_runs_already(
    words: str, tmp_path: Path, home: Path
) -> None:
    _need("cyclopts")
    from cyclopts import App

    if not hasattr(App, "run_async"):
        pytest.skip("Cyclopts 4 and later")
    source = CYCLOPTS.replace(": app()", ": asyncio.run(app.run_async())")
    script = write(tmp_path / "shop.py", source.replace("def ship", "async def ship"))
    same(script, *words.split(), cwd=tmp_path, fresh=True)
    process, run = runs(home)
    run.pop("exit_code", None)  # depends on the release
    assert in_short([process, run])[1] == f"{ASYNC[words]} in shop.py"


def _need(framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
