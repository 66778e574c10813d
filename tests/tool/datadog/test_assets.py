"""docs/datadog/ is up to date, and valid for Datadog's own tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor
from tool.datadog import assets, typed

from autotask.tool.datadog import config, monitors, plan
from autotask.tool.datadog.tags import MANAGED

pytestmark = pytest.mark.checkout


@pytest.fixture(scope="module", name="files")
def _files() -> dict[str, str]:
    return assets.files()


def test_the_files_are_up_to_date(files: dict[str, str]) -> None:
    found = {
        str(path.relative_to(assets.FOLDER)): path.read_text(encoding="utf-8")
        for path in assets.FOLDER.rglob("*")
        if path.is_file()
    }
    assert found == files


def test_datadogs_models_accept_the_files(files: dict[str, str]) -> None:
    for name, text in files.items():
        if "/monitors/" in name:
            assert typed.problems(Monitor, json.loads(text)["definition"]) == []
        if "/dashboards/" in name:
            assert typed.problems(Dashboard, json.loads(text)) == []


def test_apply_does_not_mistake_them_for_its_own(files: dict[str, str]) -> None:
    theirs = [
        json.loads(text)["definition"] for name, text in files.items() if "/monitors/" in name
    ]
    assert plan.plan(monitors.make([], config.Config()).monitors, theirs, prune=True).same == 0
    assert all(MANAGED not in text for text in files.values())


@pytest.mark.parametrize("what", ["metadata", "service-checks", "dashboards"])
def test_datadogs_tool_for_integrations_finds_them_valid(
    files: dict[str, str], tmp_path: Path, what: str
) -> None:
    ddev = shutil.which("ddev")
    if ddev is None:
        pytest.skip("ddev is not installed")
    for name, text in {**files, "manifest.json": assets.manifest()}.items():
        path = tmp_path / "autotask" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "config.toml").write_text(f'repo = "extras"\n[repos]\nextras = "{tmp_path}"\n')
    commit = ["-c", "user.name=a", "-c", "user.email=a", "commit", "-m", "a"]
    for words in (["init"], ["add", "."], commit):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    environ = {**os.environ, "HOME": str(tmp_path), "DDEV_CONFIG": str(tmp_path / "config.toml")}
    done = subprocess.run(
        [ddev, "--no-interactive", "validate", what, "autotask"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 valid files" in done.stdout or "Passed: 1" in done.stdout
