"""django-extensions: what `manage.py runscript` runs has the script's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from frameworks._django import make_project
from frameworks._own import in_short, same
from support import runs, write

pytest.importorskip("django_extensions")

SCRIPTS = {
    "tidy": "def run(*args): print('tidy', args)",
    "boom": "def run(): raise ValueError('boom')",
    "code": "def run(): return 3",
    "leaves": "import sys\ndef run(): sys.exit(5)",
    "calls": "from django.core.management import call_command\ndef run(): call_command('nightly')",
    "empty": "",
    "broken": "import nowhere_to_be_found",
}
# The words after `manage.py runscript`, and the recorded runs.
ROWS = {
    "tidy": ["tidy success"],
    "tidy --script-args a b": ["tidy success"],
    "shop.scripts.tidy": ["shop.scripts.tidy success"],
    "boom": ["boom failure exception ValueError"],
    "boom --no-traceback": ["boom failure exit 1 CommandError"],
    "boom -c": ["boom failure exit 1 CommandError"],
    "boom --silent": ["boom failure exit 1"],
    "code": ["code failure exit 3 CommandError"],
    "leaves": ["leaves failure exit 5"],
    "calls": ["calls success", "nightly success in calls"],
    "nope": ["nope failure exit 1 CommandError"],
    "empty": ["empty failure exit 1 CommandError"],
    "broken": ["broken failure exit 1 CommandError"],
    "tidy calls": ["runscript success", "nightly success in runscript"],
    "tidy boom": ["runscript failure exception ValueError"],
    "": ["runscript failure usage 2"],
    "tidy --bogus": ["runscript failure usage 2"],
    "--help": [],
}
DRIVER = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
from django.core.management import execute_from_command_line
for words in json.loads(sys.argv.pop()):
    print("##", words, flush=True)
    try: execute_from_command_line(["manage.py", "runscript", *words.split()])
    except BaseException as problem: print("raised", repr(problem), flush=True)
    execute_from_command_line(["manage.py", "diffsettings"])
"""


def test_a_script_is_the_run_of_its_command(tmp_path: Path, home: Path) -> None:
    settings = "INSTALLED_APPS += ['django_extensions']; BASE_DIR = '.'"
    project = make_project(tmp_path / "project", {"nightly": "print('nightly')"}, settings)
    write(project / "shop" / "scripts" / "__init__.py", "")
    for name, source in SCRIPTS.items():
        write(project / "shop" / "scripts" / f"{name}.py", source)
    driver, words = write(project / "driver.py", DRIVER), json.dumps(list(ROWS))
    same(driver, words, cwd=project, env={"AUTOTASK_PROCESS": "0"})
    told = iter(in_short(runs(home)))
    found = {row: list(iter(lambda: next(told), "diffsettings success")) for row in ROWS}
    assert found == ROWS
