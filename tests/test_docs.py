"""The README says what the code does: its tables name just what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import secrets_table

from autotask import agent, settings
from autotask.tool import supported
from autotask.tool.doctor import checks

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
_VARIABLE = re.compile(r"\b(?:AUTOTASK|DD)_[A-Z_]+\b")


def _first_column(table: str) -> list[str]:
    rows = README.partition(f"<!-- {table} -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_the_table_of_settings_names_all_that_are_read() -> None:
    between_our_own_processes = {settings.PARENT, settings.PROCESS_RUN}
    source = Path(settings.__file__).read_text()
    assert sorted(_first_column("settings")) == sorted(
        set(_VARIABLE.findall(source)) - between_our_own_processes
    )


def test_doctor_knows_the_settings_of_the_table() -> None:
    names = [name for name in _first_column("settings") if not name.startswith("DD_")]
    assert sorted(checks.SETTINGS) == sorted(names)


def test_the_table_of_frameworks_names_all_that_are_supported() -> None:
    served = {name for names, _, _ in agent.TABLE.values() for name in names.split()}
    assert sorted(_first_column("frameworks")) == sorted(served | {"function", "process"})


def test_the_table_of_frameworks_has_the_versions_that_are_tested() -> None:
    assert set(supported.FRAMEWORKS) == {
        name for names, _, _ in agent.TABLE.values() for name in names.split()
    }
    for name, wanted in supported.FRAMEWORKS.items():
        (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
        assert row.split("|")[2].strip().startswith(str(wanted))


def test_the_table_of_secrets_is_that_of_the_rows() -> None:
    assert secrets_table.PAGE.read_text() == secrets_table.page()


def test_the_readme_opens_with_the_two_commands() -> None:
    opening = README.split("```")[1]
    assert re.findall(r"\$ (make \w+)", opening) == ["make demo", "make test"]


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_that_are_there(page: str) -> None:
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), link


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_what_make_is_asked_for_is_there(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^(?:    |\$ )make (\w+)", (ROOT / page).read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
