"""Click and Typer: which of their commands are runs, under which names, and how they ended."""

from __future__ import annotations

import textwrap
import zipfile
from pathlib import Path

import pytest
from frameworks._own import in_short, same
from support import PYTHON, Datagrams, run_program, runs, write

pytest.importorskip("click")

SHOP = """
import sys
import click

class Loud(click.Command):
    def invoke(self, ctx):
        print("loud")
        return super().invoke(ctx)

class Own(click.Command):
    def invoke(self, ctx):
        print("own")
        return 7

class Quiet(click.Group):
    def invoke(self, ctx):
        return super().invoke(ctx)

@click.group()
@click.option("--level", type=int, default=1)
def cli(level): pass

@cli.command()
@click.argument("what", default="all")
def build(what): print("build", what)

@cli.command("other-name")
def a_function(): pass

@cli.command(cls=Loud)
def loud(): print("in loud")

@cli.command(cls=Own)
def own(): pass

@cli.command(cls=Loud)
def loud_boom(): raise ValueError("boom")

@cli.group()
def db(): print("db")

@db.command()
def migrate(): print("migrate")

@db.command()
def broken(): raise ValueError("boom")

@cli.group(invoke_without_command=True)
@click.pass_context
def report(ctx):
    print("report", ctx.invoked_subcommand)

@report.command()
def daily(): print("daily")

@cli.group(chain=True)
def pipe(): pass

@pipe.command()
def one(): print("one")

@pipe.command()
def two(): print("two")

@pipe.command()
def three(): sys.exit(3)

@cli.group(cls=Quiet)
def quiet(): pass

@quiet.command()
def whisper(): pass

@cli.group()
def shut():
    raise ValueError("shut")

@shut.command()
def never(): pass

@cli.group()
def late(): pass

@late.result_callback() if hasattr(click.Group, "result_callback") else late.resultcallback()
def fails_late(result): raise ValueError("late")

@late.command()
def fine(): print("fine")

@cli.command()
@click.pass_context
def closing(ctx):
    def close(): raise ValueError("at the end")
    ctx.call_on_close(close)

@cli.command()
@click.pass_context
def calls(ctx):
    print(ctx.invoke(build, what="called"))
    ctx.forward(build, what="forwarded")
    ctx.invoke(lambda: print("a plain function"))

@cli.command()
@click.pass_context
def calls_boom(ctx):
    ctx.invoke(broken)

@cli.command()
@click.pass_context
def catches_boom(ctx):
    try:
        ctx.invoke(broken)
    except ValueError:
        print("caught")

@cli.command()
@click.argument("number", type=int, nargs=-1)
def adds(number): print(sum(number))

@cli.command()
@click.password_option()
def secret(password): print(len(password))

if __name__ == "__main__":
    cli()
"""

# What is called, and the runs below that of the process.
CALLS = [
    ("build", ["shop.build success"]),
    ("--level 2 build cakes", ["shop.build success"]),
    ("build --level 1", ["shop.build failure usage 2"]),
    ("--level x build", ["shop failure usage 2"]),
    ("other-name", ["shop.other-name success"]),
    ("loud", ["shop.loud success"]),
    ("own", ["shop.own success"]),
    ("loud-boom", ["shop.loud-boom failure exception ValueError"]),
    ("db migrate", ["shop.db.migrate success"]),
    ("db broken", ["shop.db.broken failure exception ValueError"]),
    ("db migrait", ["shop.db failure usage 2"]),
    ("bd migrate", ["shop failure usage 2"]),
    ("report", ["shop.report success"]),
    ("report daily", ["shop.report.daily success"]),
    ("report dally", ["shop.report failure usage 2"]),
    ("pipe one two", ["shop.pipe.one success", "shop.pipe.two success"]),
    ("pipe one three two", ["shop.pipe.one success", "shop.pipe.three failure exit 3"]),
    ("pipe one four", ["shop.pipe failure usage 2"]),
    ("quiet whisper", ["shop.quiet.whisper success"]),
    ("shut never", ["shop.shut failure exception ValueError"]),
    ("late fine", ["shop.late failure exception ValueError", "shop.late.fine success"]),
    ("closing", ["shop failure exception ValueError", "shop.closing success"]),
    (
        "calls",
        [
            "shop.calls success",
            "shop.build success in shop.calls",
            "shop.build success in shop.calls",
        ],
    ),
    (
        "calls-boom",
        [
            "shop.calls-boom failure nested ValueError by shop.db.broken",
            "shop.db.broken failure exception ValueError in shop.calls-boom",
        ],
    ),
    (
        "catches-boom",
        [
            "shop.catches-boom success",
            "shop.db.broken failure exception ValueError in shop.catches-boom",
        ],
    ),
    ("adds 1 2", ["shop.adds success"]),
    ("adds x", ["shop.adds failure usage 2"]),
    # no runs
    ("", []),
    ("--help", []),
    ("db", []),
    ("db --help", []),
    ("build --help", []),
    ("db migrate --help", []),
]


@pytest.mark.parametrize(("words", "expected"), CALLS)
def test_each_command_that_works_is_a_run(
    words: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", SHOP)
    same(script, *words.split(), cwd=tmp_path)
    assert _below_process(home) == expected


def _below_process(home: Path) -> list[str]:
    return [
        line.replace(" in shop.py", "")
        for line in in_short(runs(home))
        if "shop.py " not in line[:8]
    ]


# How a program is called, the files of its folder, and the name of its command.
LAYOUTS = [
    ("script", ["shop.py", "build"], "shop.build"),
    ("script without a suffix", ["shop", "build"], "shop.build"),
    ("module", ["-m", "shop", "build"], "shop.build"),
    ("module in a package", ["-m", "pkg.jobs", "build"], "pkg.jobs.build"),
    ("package", ["-m", "pkg", "build"], "pkg.build"),
]


@pytest.mark.parametrize(
    ("words", "name"), [row[1:] for row in LAYOUTS], ids=[row[0] for row in LAYOUTS]
)
def test_a_program_has_its_name_however_it_is_called(
    words: list[str], name: str, tmp_path: Path, home: Path
) -> None:
    for file in ("shop.py", "shop", "pkg/__init__.py", "pkg/jobs.py", "pkg/__main__.py"):
        write(tmp_path / file, "" if file.endswith("__init__.py") else SHOP)
    same(PYTHON, *words, cwd=tmp_path, env={"PYTHONPATH": None})
    (run,) = [run for run in runs(home) if run["framework"] == "click"]
    assert run["task"] == name


@pytest.mark.parametrize("archive", ["shop.pyz", "shop.pex", "shop.py"])
def test_an_archive_has_its_name_without_the_ending(
    archive: str, tmp_path: Path, home: Path
) -> None:
    with zipfile.ZipFile(tmp_path / archive, "w") as file:
        file.writestr("__main__.py", textwrap.dedent(SHOP))
    same(PYTHON, archive, "build", cwd=tmp_path)
    assert [run["task"] for run in runs(home)] == [archive, "shop.build"]


NAMES = """
import sys
import click

class Aliased(click.Group):  # like click-aliases
    names = {"i": "install", "inst": "install", "d": "db", "st": "set-up"}
    def get_command(self, ctx, name):
        return super().get_command(ctx, self.names.get(name, name))

class Beginning(click.Group):  # as in Click's documentation
    def get_command(self, ctx, name):
        fitting = [known for known in self.list_commands(ctx) if known.startswith(name)]
        return super().get_command(ctx, fitting[0]) if len(fitting) == 1 else None

class Lazy(click.Group):
    def list_commands(self, ctx): return ["late"]
    def get_command(self, ctx, name):
        return click.Command("cli", callback=lambda: None) if name == "late" else None

cli = Aliased("cli")
def add(group, name, kind=click.Command, **more):
    command = kind(name, **more)
    if kind is click.Command: command.callback = lambda **given: None
    group.add_command(command)
    return command
install = add(cli, "install", params=[click.Option(["--count"], type=int)])
db = add(cli, "db", Beginning)
add(db, "migrate")
add(db, "status")
cli.add_command(click.Command("set_up", callback=lambda: None), "set-up")
cli.add_command(install, "also")
add(cli, "lazy", Lazy)
cli.add_command(click.CommandCollection("all", sources=[cli]))
for words in sys.stdin:
    try: cli(words.split())
    except SystemExit: pass
"""
NAMED = [
    ("install", "shop.install"),
    ("i", "shop.install"),
    ("inst", "shop.install"),
    ("also", "shop.install"),
    ("i --count x", "shop.install"),  # the arguments are wrong
    ("db mig", "shop.db.migrate"),
    ("d m", "shop.db.migrate"),
    ("set-up", "shop.set-up"),
    ("st", "shop.set-up"),
    ("lazy late", "shop.lazy.late"),
    ("all i", "shop.all.install"),
    ("d nothing", "shop.db"),
]


def test_a_command_has_its_own_name_not_an_alias(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "shop.py", NAMES)
    run_program("shop.py", cwd=tmp_path, stdin="".join(f"{words}\n" for words, _ in NAMED))
    named = [run["task"] for run in runs(home) if run["framework"] == "click"]
    assert named == [name for _, name in NAMED]


# What django-click 2.5 does with Django's arguments, and where call_command names a command.
DJANGO = """
import os
import sys
import click

@click.command()
def tidy(): pass

@click.command()
def caller():
    with tidy.make_context("", [], parent=click.get_current_context(silent=True)) as ctx:
        tidy.invoke(ctx)

@click.group()
def grp(): pass

@grp.command()
@click.option("--count", type=int)
def one(count): pass

for words in sys.stdin:
    name, *args = words.split()
    try:
        if name == "plain":  # a command of Django's own
            with grp.make_context("", args) as ctx: grp.invoke(ctx)
        else:
            globals()[name].main(args=args, prog_name=f"{os.path.basename(sys.argv[0])} {name}")
    except (SystemExit, click.UsageError): pass
"""
DJANGO_NAMED = [
    ("tidy", ["tidy"]),
    ("grp one", ["grp.one"]),
    ("grp one --count x", ["grp.one"]),
    ("grp none", ["grp"]),
    ("caller", ["caller", "tidy"]),
    ("plain one", ["grp.one"]),
    ("plain one --count x", ["grp.one"]),
]


@pytest.mark.parametrize(
    ("program", "name"), [(["manage.py"], "manage"), (["-m", "django"], "django")]
)
def test_a_django_click_command_is_named_under_its_program(
    program: list[str], name: str, tmp_path: Path, home: Path
) -> None:
    write(tmp_path / "django" / "__init__.py", "")  # in the place of an installed one
    for file in ("manage.py", "django/__main__.py"):
        write(tmp_path / file, DJANGO)
    lines = "".join(f"{words}\n" for words, _ in DJANGO_NAMED)
    run_program(*program, cwd=tmp_path, stdin=lines)
    named = [run["task"] for run in runs(home) if run["framework"] == "click"]
    assert named == [f"{name}.{path}" for _, paths in DJANGO_NAMED for path in paths]


def test_a_console_script_has_the_name_of_its_file(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "shop.py", SHOP)
    script = write(
        tmp_path / "bin" / "shop-admin",
        f"""\
        #!{PYTHON}
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from shop import cli
        if __name__ == "__main__":
            sys.exit(cli())
        """,
    )
    script.chmod(0o755)
    same(script, "build", cwd=tmp_path)
    assert [run["task"] for run in runs(home)] == ["shop-admin", "shop-admin.build"]


# Programs that call their commands themselves.
WITHIN = [
    (
        "without standalone mode an exit is a return value",
        """
        @click.command()
        @click.pass_context
        def job(ctx): ctx.exit(3)
        print(job(standalone_mode=False, args=[]))
        """,
        ["shop failure exit 3"],
    ),
    (
        "without standalone mode an exception propagates",
        """
        @click.command()
        def job(): raise ValueError("boom")
        try:
            job(standalone_mode=False, args=[])
        except ValueError as problem:
            print(problem)
        """,
        ["shop failure exception ValueError"],
    ),
    (
        "without standalone mode wrong arguments are an exception",
        """
        @click.command()
        def job(): pass
        try:
            job(standalone_mode=False, args=["--no"])
        except click.UsageError as problem:
            print(problem.format_message())
        """,
        ["shop failure usage 2"],
    ),
    (
        "CliRunner enters main again in the same process",
        """
        import sys
        from click.testing import CliRunner
        @click.group()
        def cli(): pass
        @cli.command()
        def good(): print("good")
        @cli.command()
        def bad(): sys.exit(3)
        for name in ("good", "bad", "good"):
            done = CliRunner().invoke(cli, [name])
            print(done.exit_code, done.output)
        """,
        ["cli.good success", "cli.bad failure exit 3", "cli.good success"],
    ),
    (
        "an async callback is run by the command itself",
        """
        import asyncio
        class Async(click.Command):
            def invoke(self, ctx):
                return asyncio.run(super().invoke(ctx))
        @click.command(cls=Async)
        async def job():
            await asyncio.sleep(0)
            raise ValueError("boom")
        job()
        """,
        ["shop failure exception ValueError"],
    ),
    (
        "an async callback that is never awaited is a success",
        """
        import warnings
        warnings.simplefilter("ignore")
        @click.command()
        async def job(): raise ValueError("never")
        job()
        """,
        ["shop success"],
    ),
    (
        "commands that call others' main are the parents of their runs",
        """
        @click.command()
        def inner(): print("inner")
        @click.command()
        def outer(): inner(args=[], standalone_mode=False, prog_name="inner")
        outer()
        """,
        ["shop success", "inner success in shop"],
    ),
    (
        "a command collection and an alias of a group",
        """
        class Aliased(click.Group):
            def get_command(self, ctx, name):
                return super().get_command(ctx, {"b": "build"}.get(name, name))
        @click.group(cls=Aliased)
        def one(): pass
        @one.command()
        def build(): pass
        @click.group()
        def two(): pass
        @two.command()
        def ship(): pass
        click.CommandCollection(sources=[one, two])(["ship"], standalone_mode=False)
        one(["b"], standalone_mode=False)
        """,
        ["shop.ship success", "shop.build success"],
    ),
    (
        "a command that is broken at its start",
        """
        class Lazy(click.Group):
            def list_commands(self, ctx): return ["job"]
            def get_command(self, ctx, name):
                import nothing_of_that_name
        Lazy("lazy")(["job"])
        """,
        ["shop failure exception ModuleNotFoundError"],
    ),
    (
        "a parameter's callback that fails",
        """
        def check(ctx, param, value): raise ValueError(value)
        @click.command()
        @click.option("--size", callback=check, default="big")
        def job(size): pass
        job()
        """,
        ["shop failure exception ValueError"],
    ),
    (
        "an eager option that exits",
        """
        @click.command()
        @click.version_option("1.0")
        def job(): pass
        job(["--version"])
        """,
        [],
    ),
]


@pytest.mark.parametrize(
    ("source", "expected"), [row[1:] for row in WITHIN], ids=[row[0] for row in WITHIN]
)
def test_a_program_may_call_its_commands_in_any_way(
    source: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    script = write(tmp_path / "shop.py", "        import click\n" + source)
    same(script, cwd=tmp_path)
    assert _below_process(home) == expected


CATCHING = """
import sys
import click
class Catching(click.Group):
    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except {caught} as problem:
            {then}
        {later}
@click.group(cls=Catching)
def cli(): pass
@cli.command()
@click.option("--size", type=int)
def job(size): raise ValueError("no disk")
@cli.group()
def inner(): pass
@inner.command("job")
def inner_job(): raise ValueError("no disk")
{call}
"""
_RAISED = ["shop.job failure exception ValueError"]
# What is caught, what follows, what comes after; the arguments, the runs below the process.
CATCHES = {
    "sys.exit": ("Exception", "sys.exit(3)", "", "job", _RAISED),
    "raise SystemExit": ("Exception", "raise SystemExit(3)", "", "job", _RAISED),
    "ctx.exit": ("Exception", "ctx.exit(3)", "", "job", _RAISED),
    "ctx.fail": ("Exception", "ctx.fail('no')", "", "job", _RAISED),
    "another exception": ("Exception", "raise KeyError('gone')", "", "job", _RAISED),
    "an exception from it": (
        "Exception",
        "raise KeyError('gone') from problem",
        "",
        "job",
        _RAISED,
    ),
    "one of Click's from it": (
        "Exception",
        "raise click.ClickException('no') from problem",
        "",
        "job",
        _RAISED,
    ),
    "sys.exit when it is over": ("Exception", "code = 3", "sys.exit(code)", "job", _RAISED),
    "an exception when it is over": ("Exception", "pass", "raise KeyError('gone')", "job", _RAISED),
    "success": ("Exception", "click.echo(problem)", "", "job", _RAISED),
    "sys.exit(0)": ("Exception", "sys.exit(0)", "", "job", _RAISED),
    "a command of a group inside": (
        "Exception",
        "sys.exit(3)",
        "",
        "inner job",
        ["shop.inner.job failure exception ValueError"],
    ),
    "wrong arguments": (
        "click.UsageError",
        "sys.exit(3)",
        "",
        "job --size x",
        ["shop.job failure usage 2"],
    ),
    "no such command": ("click.UsageError", "sys.exit(3)", "", "jab", ["shop failure usage 2"]),
}


@pytest.mark.parametrize("name", CATCHES)
@pytest.mark.parametrize("call", ["cli()", "cli(standalone_mode=False)"])
def test_a_failure_caught_by_a_group_is_reported_once(
    name: str, call: str, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    caught, then, later, words, expected = CATCHES[name]
    source = CATCHING.format(caught=caught, then=then, later=later or "return None", call=call)
    ended = same(write(tmp_path / "shop.py", source), *words.split(), cwd=tmp_path)
    process, *_ = runs(home)
    assert _below_process(home) == expected
    if words.endswith("job") and then != "raise SystemExit(3)":  # cannot be seen from inside
        assert process.get("reason") == ("nested" if ended.status else None)
        assert len(datagrams.lines("_e{")) == 1


# Programs that catch what a command raises elsewhere.
CATCH_ELSEWHERE = {
    "its own main": (
        """
        class Own(click.Group):
            def main(self, *args, **kwargs):
                try:
                    return super().main(*args, standalone_mode=False, **kwargs)
                except Exception as problem:
                    {then}
        @click.group(cls=Own)
        def cli(): pass
        @cli.command()
        def job(): raise ValueError("no disk")
        cli(["job"])
        """,
        ["shop.job failure exception ValueError"],
    ),
    "a function around main": (
        """
        @click.command()
        def job(): raise ValueError("no disk")
        try:
            job(standalone_mode=False)
        except Exception as problem:
            {then}
        """,
        ["shop failure exception ValueError"],
    ),
    "a command that calls a program": (
        """
        @click.command()
        def job(): raise click.ClickException("no disk")
        @click.command()
        def outer(): job([], prog_name="job")
        outer()  # {then}
        """,
        [
            "shop failure nested 1 by job",
            "job failure exception ClickException in shop",
        ],
    ),
}


@pytest.mark.parametrize("then", ["sys.exit(3)", "raise KeyError('gone') from problem"])
@pytest.mark.parametrize("name", CATCH_ELSEWHERE)
def test_a_failure_caught_by_a_program_is_reported_once(
    name: str, then: str, tmp_path: Path, home: Path, datagrams: Datagrams
) -> None:
    source, expected = CATCH_ELSEWHERE[name]
    source = "        import sys\n        import click\n" + source.replace("{then}", then)
    same(write(tmp_path / "shop.py", source), cwd=tmp_path)
    process, *_ = runs(home)
    assert _below_process(home) == expected
    assert process["reason"] == "nested"
    assert len(datagrams.lines("_e{")) == 1


def test_a_groups_own_failure_is_reported_besides_the_one_its_command_caught(
    tmp_path: Path, home: Path
) -> None:
    source = """
        import click
        @click.group()
        def cli(): pass
        at_end = getattr(cli, "result_callback", None) or cli.resultcallback
        @at_end()
        def after(result): raise OSError("no disk")
        @cli.command()
        def broken(): raise ValueError("boom")
        @cli.command()
        @click.pass_context
        def job(ctx):
            try: ctx.invoke(broken)
            except ValueError: pass
        cli(["job"])
    """
    same(write(tmp_path / "shop.py", source), cwd=tmp_path)
    assert sorted(_below_process(home)) == [
        "shop failure exception OSError",
        "shop.broken failure exception ValueError in shop.job",
        "shop.job success",
    ]


TYPER = """
import typer
app = typer.Typer(pretty_exceptions_enable=False)
db = typer.Typer()
app.add_typer(db, name="db")

@app.callback()
def main(level: int = 1): pass

@app.command()
def build(what: str = "all"): print("build", what)

@app.command("other-name")
def a_function(): pass

@app.command()
def boom(): raise ValueError("boom")

@db.callback(invoke_without_command=True)
def status(): print("status")

@db.command()
def migrate(): print("migrate")

if __name__ == "__main__":
    app()
"""

TYPER_CALLS = [
    ("build", ["shop.build success"]),
    ("build --what cakes", ["shop.build success"]),
    ("build --who", ["shop.build failure usage 2"]),
    ("--level x build", ["shop failure usage 2"]),
    ("other-name", ["shop.other-name success"]),
    ("boom", ["shop.boom failure exception ValueError"]),
    ("db", ["shop.db success"]),
    ("db migrate", ["shop.db.migrate success"]),
    ("db migrait", ["shop.db failure usage 2"]),
    ("bd", ["shop failure usage 2"]),
    ("", ["shop failure usage 2"]),  # no help, but "Missing command."
    ("--help", []),
    ("build --help", []),
    ("--show-completion bash", []),
]


@pytest.mark.parametrize(("words", "expected"), TYPER_CALLS)
def test_typer_is_recorded_with_its_own_copy_of_click_too(
    words: str, expected: list[str], tmp_path: Path, home: Path
) -> None:
    pytest.importorskip("typer")
    script = write(tmp_path / "shop.py", TYPER)
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # of the shell that runs us
    same(script, *words.split(), cwd=tmp_path, env=env)
    assert _below_process(home) == expected
    assert {run["framework"] for run in runs(home)} <= {"process", "typer"}


def test_typers_pretty_tracebacks_go_on_working(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("typer")
    script = write(tmp_path / "shop.py", TYPER.replace("pretty_exceptions_enable=False", ""))
    ended = run_program(script, "boom", cwd=tmp_path)
    bare = run_program(script, "boom", under="bare", cwd=tmp_path)
    assert ended.status == bare.status == 1
    assert "ValueError: boom" in ended.stderr


def test_runs_of_a_disabled_framework_are_not_recorded(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "shop.py", SHOP)
    for value in ("-click", "invoke,doit", "all,-click"):
        same(script, "build", cwd=tmp_path, env={"AUTOTASK_FRAMEWORKS": value})
    assert {run["framework"] for run in runs(home)} <= {"process"}


def test_ignored_commands_are_not_runs(tmp_path: Path, home: Path) -> None:
    script = write(tmp_path / "shop.py", SHOP)
    same(script, "db", "migrate", cwd=tmp_path, env={"AUTOTASK_IGNORE": "x,shop.db.*"})
    same(script, "build", cwd=tmp_path, env={"AUTOTASK_IGNORE": "x,shop.db.*"})
    assert _below_process(home) == ["shop.build success"]


def test_what_is_instrumented_looks_unchanged(tmp_path: Path) -> None:
    script = write(
        tmp_path / "look.py",
        """
        import inspect, pickle, pydoc
        import click
        for owner, name in ((click.Command, "main"), (click.Command, "invoke"),
                            (click.Command, "make_context"), (click.Group, "invoke"),
                            (click.Context, "invoke")):
            found = getattr(owner, name)
            print(found.__qualname__, found.__module__, inspect.signature(found), found.__doc__)
            print(inspect.getsource(found))
            assert pickle.loads(pickle.dumps(found)) is found
        """,
    )
    same(script, cwd=tmp_path)


@pytest.mark.parametrize(
    ("raising", "status", "expected"),
    [
        ("raise click.ClickException('no')", 1, "shop failure exception ClickException"),
        ("raise OfClass('no')", 3, "shop failure exit 3 OfClass"),
        ("raise Below('no')", 3, "shop failure exit 3 Below"),
        ("raise OfObject(4)", 4, "shop failure exit 4 OfObject"),
        ("raise OfObject(0)", 0, "shop success"),
        ("raise click.FileError('gone')", 1, "shop failure exception FileError"),
        (
            "try: raise KeyboardInterrupt\n    except BaseException: raise OfObject(2)",
            2,
            "shop failure interrupted 2",
        ),
    ],
)
def test_an_exception_that_carries_an_exit_code_of_its_own_is_an_exit(
    raising: str, status: int, expected: str, tmp_path: Path, home: Path
) -> None:
    source = f"""
import click
class OfClass(click.ClickException): exit_code = 3
class Below(OfClass): pass
class OfObject(click.ClickException):
    def __init__(self, code): self.exit_code = code
    def show(self, file=None): pass
@click.command()
def shop():
    {raising}
shop()
"""
    ended = same(write(tmp_path / "shop.py", source), cwd=tmp_path, env={"AUTOTASK_PROCESS": "0"})
    assert ended.status == status
    assert in_short(runs(home)) == [expected]
