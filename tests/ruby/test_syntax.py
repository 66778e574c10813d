"""Which Rubies can parse the Ruby half, by other parsers than that of this machine's Ruby.

The file that RUBYLIB leads to may be loaded by any Ruby, all others from 2.5 on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import RUBY

DOOR = RUBY / "rubygems" / "defaults" / "ruby.rb"
NEWER = {
    "1.8": ("call = ->(x) { x }", "a&.b", "f key: 1"),
    "2.5": ("p(1..)", "def f(...) = g(...)", "def f(a) = a", "case [1] in [x] then x end"),
}
_PRISM = Path(__file__).resolve().parents[2] / "build" / "prism"
_ASKED = os.environ.get("FRAMEWORK_ENVIRONMENTS")
_PARSE = """
import { readFileSync } from "node:fs";
import { loadPrism } from "@ruby/prism";
const parse = await loadPrism();
const [version, ...files] = process.argv.slice(2);
const told = files.flatMap((file) => {
  const { errors, warnings } = parse(readFileSync(file, "utf-8"), { version });
  return [...errors, ...warnings].map((problem) => `${file}: ${problem.message}`);
});
console.log(JSON.stringify(told));
"""


def _errors(version: str, *words: str | Path) -> list[str]:
    """Parse files as an old Ruby, with the parser that RuboCop has; return its complaints."""
    program = shutil.which("ruby-parse")
    if program is None:
        pytest.skip("needs ruby-parse: apt-get install ruby-parser")
    command = (program, f"--{version.replace('.', '')}", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return re.findall(r"^.*:\d+:\d+: error: .*", done.stdout, re.MULTILINE)


def test_the_oldest_ruby_can_parse_what_rubylib_leads_to() -> None:
    assert _errors("1.8", DOOR) == []


def test_ruby_2_5_can_parse_all_files() -> None:
    assert _errors("2.5", *RUBY.rglob("*.rb")) == []


@pytest.mark.parametrize("version", NEWER)
def test_that_parser_knows_what_an_old_ruby_cannot_parse(tmp_path: Path, version: str) -> None:
    files = [tmp_path / f"{number}.rb" for number, _ in enumerate(NEWER[version])]
    for file, code in zip(files, NEWER[version]):
        file.write_text(code)
    refused = {line.partition(":")[0] for line in _errors(version, *files)}
    assert refused == set(map(str, files))


@pytest.fixture(scope="module")
def prism() -> Path:
    """Install Ruby's own parser as npm has it, in WebAssembly, once."""
    ready = _PRISM / "parse.mjs"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm")
    if not ready.exists():
        if _ASKED != "all":
            pytest.skip("Ruby's newest parser is installed with FRAMEWORK_ENVIRONMENTS=all")
        _PRISM.mkdir(parents=True, exist_ok=True)
        command = (npm, "install", "--no-save", "--prefix", str(_PRISM), "@ruby/prism@1")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"@ruby/prism cannot be installed: {done.stderr.strip()}")
        ready.write_text(_PARSE)
    return ready


@pytest.mark.parametrize("version", ["3.3", "3.4", "4.0"])
def test_the_newest_rubies_can_parse_all_files_and_warn_of_nothing(
    prism: Path, version: str, tmp_path: Path
) -> None:
    def told(*files: Path) -> list[str]:
        command: tuple[str | Path, ...] = ("node", "--no-warnings", prism, version, *files)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: list[str] = json.loads(done.stdout)
        return found

    broken = tmp_path / "broken.rb"
    broken.write_text("def (")
    assert told(broken)
    assert told(*RUBY.rglob("*.rb")) == []
