"""The Ruby half reads each setting as the Python half does, whatever its value."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruby.half import HYPOTHESIS, Half
from ruby.ruby_programs import run_ruby
from support import Ended

from autotask.frameworks import SUPPORTED
from autotask.settings import PARENT, Settings, parent_of

ANYTHING = settings(max_examples=150, **HYPOTHESIS)

ATTRIBUTES = (
    *("problems", "enabled", "home", "name", "stderr", "journal", "dogstatsd", "events"),
    *("messages", "debug", "process", "destination", "entity_id", "tags", "env", "service"),
    "version",
)
PYTHONS = [name for name in SUPPORTED.split()[::3] if name != "--"]  # of the headings
NAMES = [*PYTHONS, "process", "function", "rake"]
# Letters that both languages know since long ago. But for sigma: Python writes its other small form
# at the end of a word.
LETTERS = st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_categories=["Cs"]).filter(
    lambda letter: letter != "Σ" and unicodedata.ucd_3_2_0.category(letter) != "Cn"
)
WORDS = r"""
    1 0 true FALSE yes No on OFF auto stderr 2 maybe , : = - / // .. ~ ' " \ | # [ ] * ? a b
    env:prod service:shop version:7 team: :shop team:shop plain all rake -click clik Rake
    udp:// unix:// unixgram:// host [::1] :8125 :0 65536 8126 ² x=y:z db:* [!a]b :cron
""".split()
SIGNS = list(" \t\n\x1f\x85\xa0\u2003\u3000\udcc2\udcfféİ\u212a")
VALUES = (
    st.lists(st.sampled_from(WORDS + SIGNS) | st.text(LETTERS, max_size=3), max_size=6)
    .map("".join)
    .map(lambda value: value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))
)
VARIABLES = st.sampled_from(
    [
        *("AUTOTASK_ENABLED", "AUTOTASK_NAME", "AUTOTASK_JOURNAL", "AUTOTASK_DOGSTATSD"),
        *("AUTOTASK_EVENTS", "AUTOTASK_MESSAGES", "AUTOTASK_DEBUG", "AUTOTASK_PROCESS"),
        *("AUTOTASK_TAGS", "AUTOTASK_FRAMEWORKS", "AUTOTASK_IGNORE", PARENT, "DD_TAGS", "DD_ENV"),
        *("DD_DOGSTATSD_DISABLE", "DD_DOGSTATSD_URL", "DD_AGENT_HOST", "DD_DOGSTATSD_PORT"),
        *("DD_ENTITY_ID", "DD_SERVICE", "DD_VERSION", "OTHER"),
    ]
)
ENVIRONS = st.dictionaries(VARIABLES, VALUES, max_size=5)
MARKED = st.sampled_from(["UTF-8", "US-ASCII", "ASCII-8BIT"])
TASKS = ["a", "ab", "db:migrate", "b", "é", "\udcff", "*", "[", ""]

ANSWERS = Path(__file__).with_name("journal_answers.rb").read_text().partition("\n")[2]


@pytest.fixture(scope="module")
def half(ruby: str) -> Iterator[Half]:
    assert ruby
    running = Half(ANSWERS)
    yield running
    assert running("warnings") == []
    running.close()


def same(half: Half, environ: Mapping[str, str], marked: str = "UTF-8") -> None:
    """Fail if both halves read an environment differently."""
    values, uses, ignores, parent = half("settings", environ, NAMES, TASKS, marked)
    wanted = Settings(environ)
    expected: dict[str, Any] = {name: getattr(wanted, name) for name in ATTRIBUTES}
    expected["destination"] = list(wanted.destination)
    assert values == expected
    assert list(values["tags"]) == list(wanted.tags)
    assert uses == [wanted.uses(name) for name in NAMES]
    assert ignores == [wanted.ignores(task) for task in TASKS]
    expected_parent = parent_of(environ)
    if not (expected_parent[2] or "").isascii():
        expected_parent = None, None, None  # no trigger of ours
    assert [*parent, None, None, None][:3] == list(expected_parent)


@ANYTHING
@given(ENVIRONS, MARKED)
@example({"AUTOTASK_IGNORE": "\udcff,é"}, "US-ASCII")
@example({PARENT: f"{'0' * 16}:{'f' * 16}:crön"}, "UTF-8")
@example({PARENT: f"{'0' * 16}:{'f' * 16}:cron\n"}, "UTF-8")
@example({PARENT: f"{'0' * 16}:{'F' * 16}:cron"}, "UTF-8")
def test_any_environment_is_read_alike(half: Half, environ: dict[str, str], marked: str) -> None:
    same(half, {"AUTOTASK_HOME": "/h", **environ}, marked)


GLOBS = st.lists(st.sampled_from("ab-!^]*?\\é\udcff&|~"), max_size=7).map("".join) | st.lists(
    st.sampled_from(["[", "]", "[!", "a-c", "a-", "-", "*", "?", "b", "[^", "[]a]", "c-a", "**/"])
).map("".join)
WITHIN = st.lists(st.sampled_from("abc-!^[]é\n\udcff/\\."), max_size=5).map("".join)


@ANYTHING
@given(GLOBS, st.lists(WITHIN, min_size=1, max_size=5), MARKED)
@example("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", ["a" * 200], "UTF-8")
@example("[c-a]", ["b"], "UTF-8")
@example("[!c-a]", ["b"], "UTF-8")
def test_globs_match_alike(half: Half, glob: str, tasks: list[str], marked: str) -> None:
    environ = {"AUTOTASK_HOME": "/h", "AUTOTASK_IGNORE": glob}
    ignores = half("settings", environ, [], tasks, marked)[2]
    wanted = Settings(environ)
    assert ignores == [wanted.ignores(task) for task in tasks]


HOMES: list[dict[str, str]] = [
    {"AUTOTASK_HOME": "/srv/tasks", "XDG_STATE_HOME": "/s", "HOME": "/h"},
    {"AUTOTASK_HOME": "/srv/../tasks/./x//"},
    {"AUTOTASK_HOME": "tasks", "HOME": "/h"},
    {"AUTOTASK_HOME": "~", "HOME": "/h"},
    {"AUTOTASK_HOME": "~/tasks", "HOME": "/h"},
    {"AUTOTASK_HOME": "~root/tasks"},
    {"AUTOTASK_HOME": "~nobody-of-that-name/tasks"},
    {"AUTOTASK_HOME": "/b\udcffd/é"},
    {"AUTOTASK_HOME": " /tasks"},
    {"XDG_STATE_HOME": "/s", "HOME": "/h"},
    {"XDG_STATE_HOME": "/s/", "HOME": "/h"},
    {"XDG_STATE_HOME": "s", "HOME": "/h"},
    {"HOME": "/h"},
    {"HOME": "/h/"},
    {"HOME": "/"},
    {"HOME": "/b\udcffd"},
    {"HOME": ""},
    {"AUTOTASK_HOME": "", "XDG_STATE_HOME": "", "HOME": "/h"},
    {},
]


@pytest.mark.parametrize("environ", HOMES, ids=str)
def test_the_home_is_the_same(half: Half, environ: dict[str, str]) -> None:
    same(half, environ)


def test_all_frameworks_of_the_python_half_can_be_named(half: Half) -> None:
    for name in PYTHONS:
        same(half, {"AUTOTASK_HOME": "/h", "AUTOTASK_FRAMEWORKS": name})
        same(half, {"AUTOTASK_HOME": "/h", "AUTOTASK_FRAMEWORKS": f"-{name}"})


def test_a_plugins_framework_can_have_any_name(half: Half) -> None:
    plugin = {"AUTOTASK_PLUGINS": "shop=shop_plugin:instrument", "AUTOTASK_HOME": "/h"}
    for names in ("shop", "-shop", "shop,doit"):
        same(half, {**plugin, "AUTOTASK_FRAMEWORKS": names})


# What a shell may give a process in any locale; and what it has given is what Python reads.
REAL = {
    "AUTOTASK_HOME": "/h\udcffé",
    "AUTOTASK_NAME": "näme \udcff",
    "AUTOTASK_TAGS": "ä:ö,\udcff:x,\xa0b : c\u2003",
    "AUTOTASK_IGNORE": "\udcff*,é",
    "AUTOTASK_EVENTS": "jä\udcff",
    "AUTOTASK_FRAMEWORKS": "É,rake",
    "DD_AGENT_HOST": "höst\udcff",
    "DD_ENV": "\udcff",
    "DD_TAGS": "\udcff plain,é:É",
}


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX", "none.such"])
def test_a_process_in_any_locale_reads_its_environment_alike(
    locale: str, ruby: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**REAL, "LC_ALL": locale}.items():
        monkeypatch.setenv(name, value)
    half = Half(ANSWERS)
    values, _, _, _ = half("settings_of_process")
    half.close()
    wanted = Settings(os.environ)
    expected: dict[str, Any] = {name: getattr(wanted, name) for name in ATTRIBUTES}
    assert values == {**expected, "destination": list(wanted.destination)}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become an unknown user")
def test_a_user_without_a_home_has_no_journal_and_no_error(ruby: str, tmp_path: Path) -> None:
    source = """
        Process::Sys.setuid(54321)
        p AutotaskAgent::Settings.new({}).home
    """
    assert run_ruby(ruby, source, cwd=tmp_path) == Ended(0, "nil\n", "")


def test_a_very_long_value_takes_no_time(half: Half) -> None:
    for value in ("a" + " " * 100_000 + "b", "udp://" + "/" * 100_000 + "x", "*a" * 5000):
        for name in ("AUTOTASK_TAGS", "DD_DOGSTATSD_URL", "AUTOTASK_EVENTS", "AUTOTASK_IGNORE"):
            half("settings", {"AUTOTASK_HOME": "/h", name: value}, [], [], "UTF-8")
