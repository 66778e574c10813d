"""`make upstream`: whether it finds when a framework's own tests notice the agent."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest
from outcomes import (
    CannotRunError,
    Comparison,
    Environment,
    Outcomes,
    RubyEnvironment,
    compare,
)
from support import write
from upstream import PAGE, SUITES, Result, Suite, report, section, write_section

from autotask.tool import supported

pytestmark = pytest.mark.checkout


def _environment(place: Path, tests: str, options: tuple[str, ...] = ()) -> Environment:
    """Make a source distribution with its own suite, for this interpreter."""
    tree = place / "shop-1.0"
    (tree / "tests").mkdir(parents=True)
    (tree / "tests" / "test_shop.py").write_text(textwrap.dedent(tests))
    with tarfile.open(place / "shop-1.0.tar.gz", "w:gz") as archive:
        archive.add(tree, tree.name)
    return Environment(Path(sys.executable), place / "shop-1.0.tar.gz", place, options)


KINDS = {
    "passes": "passed",
    "fails": "failure ZeroDivisionError",
    "has_no_fixture": "error file",
    "breaks_after": "error ZeroDivisionError",
    "fails_and_breaks": "failure assert, error ZeroDivisionError",
    "skips": "skipped",
    "xfails": "xfailed",
    "xpasses": "passed",
}


def test_the_kinds_of_outcomes_are_told_apart(tmp_path: Path) -> None:
    found = _environment(
        tmp_path,
        """
        import pytest

        @pytest.fixture
        def breaking():
            yield
            1 / 0

        def test_passes(): pass
        def test_fails(): 1 / 0
        def test_has_no_fixture(nothing): pass
        def test_breaks_after(breaking): pass
        def test_fails_and_breaks(breaking): assert False
        def test_skips(): pytest.skip()
        @pytest.mark.xfail
        def test_xfails(): assert False
        @pytest.mark.xfail
        def test_xpasses(): pass
        """,
    ).run("bare", {})
    assert {name.rpartition("test_")[2]: outcome for name, outcome in found.items()} == KINDS


RUBY_SUITES = {
    "minitest": (
        """
        require "minitest/autorun"
        class TestShop < Minitest::Test
          def test_passes; end
          def test_fails; assert false; end
          def test_breaks; Integer("x"); end
          def test_breaks_deep; raise Errno::ENOENT; end
          def test_skips; skip; end
        end
        """,
        "Minitest.Assertion",
    ),
    "test/unit": (
        """
        require "test/unit"
        class TestShop < Test::Unit::TestCase
          def test_passes; end
          def test_fails; assert false; end
          def test_breaks; Integer("x"); end
          def test_breaks_deep; raise Errno::ENOENT; end
          def test_skips; omit; end
        end
        """,
        "Failure",
    ),
}


@pytest.mark.parametrize("library", RUBY_SUITES)
def test_the_kinds_of_outcomes_of_a_suite_in_ruby_are_told_apart(
    tmp_path: Path, library: str
) -> None:
    ruby = shutil.which("ruby")
    if ruby is None or not _has(ruby, library):
        pytest.skip(f"needs Ruby with {library}: apt-get install ruby")
    tests, failure = RUBY_SUITES[library]
    tree = write(tmp_path / "shop-1.0" / "test" / "test_shop.rb", tests).parent.parent
    with tarfile.open(tmp_path / "shop-1.0.tar.gz", "w:gz") as archive:
        archive.add(tree, tree.name)
    environment = RubyEnvironment(
        Path(ruby), tmp_path / "shop-1.0.tar.gz", tmp_path, tests=("test/test_*.rb",)
    )
    assert re.fullmatch(r"Ruby \d+\.\d+\.\d+", environment.version())
    for _ in range(2):
        assert environment.run("bare", {}) == {
            "TestShop::test_passes": "passed",
            "TestShop::test_fails": f"failure {failure}",
            "TestShop::test_breaks": "error ArgumentError",
            "TestShop::test_breaks_deep": "error Errno.ENOENT",
            "TestShop::test_skips": "skipped",
        }


def _has(ruby: str, library: str) -> bool:
    return subprocess.run((ruby, f"-r{library}", "-e", "exit!(true)")).returncode == 0


P: Outcomes = {"a": "passed", "b": "passed"}
F: Outcomes = {"a": "failure TypeError", "b": "passed"}
OTHER: Outcomes = {"a": "failure KeyError", "b": "passed"}
GONE: Outcomes = {"b": "passed"}
COMPARISONS = [
    ([P], [P], [], []),
    ([F], [F], [], []),
    ([P], [F], ["a"], []),
    ([F], [P], ["a"], []),
    ([F], [OTHER], ["a"], []),
    ([P], [GONE], ["a"], []),
    ([GONE], [P], ["a"], []),
    ([P, P], [F, P], ["a"], []),  # once is enough
    ([P, F], [F, P], [], ["a"]),
    ([P, F], [P, P], [], ["a"]),
    ([P, F], [OTHER, P], ["a"], ["a"]),
]


@pytest.mark.parametrize(("bare", "ours", "changed", "flaky"), COMPARISONS)
def test_a_test_changed_if_it_never_ends_so_without_the_agent(
    bare: list[Outcomes], ours: list[Outcomes], changed: list[str], flaky: list[str]
) -> None:
    found = Comparison(bare, ours)
    assert (list(found.changed), list(found.flaky)) == (changed, flaky)


HELLO = """
    import os
    from pathlib import Path

    import click
    from click.testing import CliRunner

    def test_hello():
        assert CliRunner().invoke(click.Command("hello", callback=lambda: None)).exit_code == 0
"""
MINDS = """
    def test_environment():
        assert "AUTOTASK_HOME" not in os.environ
"""
NEEDS = """
    def test_environment():
        assert "AUTOTASK_HOME" in os.environ
"""
FLAKY = """
    def test_chance():
        file = Path.home() / "times"
        times = len(file.read_text()) if file.exists() else 0
        file.write_text("." * (times + 1))
        assert times not in {fails}
"""


def _result(place: Path, tests: str) -> Result:
    suite = Suite("click", "1.0", (), ())
    return Result(suite, "shop 1.0", "3", compare(_environment(place, tests), rounds=3))


@pytest.mark.parametrize(
    ("tests", "rounds", "changed", "flaky"),
    [
        (HELLO, 1, [], []),
        (HELLO + MINDS, 3, ["environment"], []),
        (HELLO + NEEDS, 3, ["environment"], []),
        (HELLO + FLAKY.format(fails={1, 2}), 2, [], ["chance"]),
        (HELLO + FLAKY.format(fails={1}), 3, ["chance"], []),
    ],
    ids=["nothing", "minds", "needs", "flaky", "only with us"],
)
def test_a_suite_is_run_again_until_it_is_clear_whose_fault_it_is(
    tmp_path: Path, tests: str, rounds: int, changed: list[str], flaky: list[str]
) -> None:
    result = _result(tmp_path, tests)
    found = result.found
    assert found is not None
    assert len(found.bare) == len(found.ours) == rounds
    assert [name.rpartition("test_")[2] for name in found.changed] == changed
    assert [name.rpartition("test_")[2] for name in found.flaky] == flaky
    assert found.runs == {"process": 1, "click": 1}
    assert result.is_good == (not changed)
    assert ("FAIL" in next(report(result))) == bool(changed)


def test_a_suite_in_which_the_agent_saw_no_task_proves_nothing(tmp_path: Path) -> None:
    result = _result(tmp_path, "def test_nothing(): pass")
    assert result.found is not None
    assert not result.found.changed
    assert not result.is_good
    assert "no run" in "\n".join(report(result))


@pytest.mark.swallows
def test_an_unnoticed_error_of_the_agent_is_a_fault(tmp_path: Path) -> None:
    tests = """
        import sys
        def test_break():
            if "autotask.agent" in sys.modules:
                from autotask import guard
                guard.guarded(lambda: 1 / 0)()
    """
    result = _result(tmp_path, HELLO + textwrap.dedent(tests).replace("\n", "\n    "))
    assert result.found is not None
    assert not result.found.changed
    assert ["ZeroDivisionError" in fault for fault in result.found.faults] == [True]
    assert not result.is_good


@pytest.mark.parametrize(
    ("tests", "limit", "why"),
    [
        ("import nothing_of_that_name", 600, "pytest ended with 2"),
        ("def test_long(): __import__('time').sleep(600)", 2, "no end after 2 s"),
    ],
)
def test_a_suite_that_cannot_be_run_is_told_apart(
    tmp_path: Path, tests: str, limit: float, why: str
) -> None:
    with pytest.raises(CannotRunError, match=why):
        compare(_environment(tmp_path, tests), limit=limit)


def test_a_suite_has_a_terminal(tmp_path: Path) -> None:
    tests = "def test_terminal(): open('/dev/tty').close(); assert __import__('os').isatty(0)"
    found = _environment(tmp_path, tests, ("--capture=no",)).run("bare", {})
    assert list(found.values()) == ["passed"]


def test_each_run_of_a_suite_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strange\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--strange")
    monkeypatch.setenv("AUTOTASK_NAME", "strange")
    (tmp_path / "place").mkdir()
    environment = _environment(
        tmp_path / "place",
        """
        import os
        from pathlib import Path

        def test_leaves_something():
            Path("left").mkdir()

        def test_environment():
            assert "AUTOTASK_NAME" not in os.environ
        """,
    )
    for _ in range(2):
        assert set(environment.run("bare", {}).values()) == {"passed"}


def test_only_the_suites_own_section_of_the_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- upstream -->\nold\n<!-- /upstream -->\nbelow\n")
    write_section(page, "upstream", lambda before: before.upper() + "new")
    assert page.read_text() == ("above\n<!-- upstream -->\nOLD\nnew\n<!-- /upstream -->\nbelow\n")
    with pytest.raises(SystemExit):
        write_section(page, "others", str)


def test_the_page_has_what_happened_in_each_suite() -> None:
    click, _, newest = (suite for suite in SUITES if suite.framework == "click")
    bare = {"a": "passed", "b": "failure KeyError", "c": "skipped", "d": "xfailed", "e": "passed"}
    runs = {"click": 3, "process": 1}
    comparison = Comparison([bare], [{**bare, "e": "absent"}], runs, ["fault"])
    before = (
        "| click 7.1.0 | old |\n| click 8.1.7 | old |\n\n- click 8.1.7, old\n- click 7.1.0, old"
    )
    lines = section(
        [
            Result(click, "click 7.1.1", "3.9.1", comparison),
            Result(newest, "click 8.5.*", "", None),
        ],
        before,
    ).splitlines()[2:]
    assert lines[0].startswith("| click 7.1.1 | 3.9.1 | 5 | 2 | 1 | 2 | 1 | 0 | 4 | 1 | 20")
    assert lines[1:] == [
        "| click 8.1.7 | old |",  # did not run this time
        "",
        "- click 7.1.1, `b` fails both ways: KeyError",
        "- click 7.1.1, `e`: passed bare, absent under the agent",
        "- click 8.1.7, old",
        "- click 8.5.* could not be run",
    ]


# Why a framework's own suite is not run.
NOT_RUN = {
    "asyncclick": "not yet: the page says so",
    "dramatiq": "1.12 is released without tests, 2.2 without what its tests have in common",
    "arq": "the tests of 0.28 start redis in Docker",
    "procrastinate": "released without tests",
    "django_q": "not yet: the page says so",
    "docopt": "released without tests",
    "cyclopts": "released without tests",
    "nox": "not yet: the page says so",
    "dbt": "released without tests",
    "scrapy": "not yet: the page says so",
    "airflow": "not yet: the page says so",
}


def test_the_oldest_and_the_newest_supported_releases_are_tested_and_on_the_page() -> None:
    rows = [line.split("|")[1].split() for line in PAGE.read_text().splitlines() if "|" in line]
    for framework, wanted in supported.FRAMEWORKS.items():
        if framework in NOT_RUN:
            continue
        for release in (wanted.oldest, wanted.newest):
            if (framework, release) == ("cleo", "2.0"):  # released without tests
                continue
            assert f"{release}.*" in [suite.release for suite in SUITES if suite[0] == framework]
            assert any(
                row[0] == framework and row[1].startswith(f"{release}.")
                for row in rows
                if len(row) == 2
            )
