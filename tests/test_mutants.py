"""`make mutants`: each module has tests that must notice a mutation, each exemption its line."""

from __future__ import annotations

import ast

import pytest
from mutants import FOLDERS, MORE_TESTS, ROOT, equivalent, files_of, functions, modules, source_of

pytestmark = pytest.mark.checkout


def test_each_module_has_tests_that_must_notice_its_mutations() -> None:
    bare = [name for name in modules() if not files_of(name) and source_of(name).count("\n") > 1]
    assert bare == []


def test_the_table_names_only_existing_modules_and_tests() -> None:
    assert MORE_TESTS.keys() <= set(modules())
    files = {f"tests/{word}.py" for words in MORE_TESTS.values() for word in words.split()}
    folders = {f"tests/{name}" for name in FOLDERS.values()}
    assert [name for name in sorted(files | folders) if not (ROOT / name).exists()] == []


def test_each_equivalent_mutation_is_of_an_existing_line() -> None:
    for entry in equivalent():
        source = source_of(entry["module"])
        lines = source.splitlines()
        spans = functions(ast.parse(source))
        assert entry["reason"]
        assert entry["line"] != entry["becomes"]
        assert any(
            entry["line"] == line.strip()
            for begin, end, name in [*spans, (1, len(lines), "")]
            if name == entry["function"]
            for line in lines[begin - 1 : end]
        ), entry
