"""What the forge runs and requires: workflows, releases, issue forms, hooks, the changelog."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from support import run_program, runs, write

import autotask
from autotask.tool.supported import PYTHONS

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parent.parent
FORGE = ROOT / ".github"
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
FORMS = sorted(
    set((FORGE / "ISSUE_TEMPLATE").glob("*.yml")) - {FORGE / "ISSUE_TEMPLATE/config.yml"}
)
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
LONGEST_ENTRY = 250  # characters

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
each_form = pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)


def load(path: Path) -> Any:
    return pytest.importorskip("yaml").safe_load(path.read_text())


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = load(FORGE / "workflows" / name)["jobs"]
    return found


def scripts(name: str) -> list[str]:
    """Return all that the jobs of a workflow run in a shell."""
    steps = [step for job in jobs(name).values() for step in job.get("steps", [])]
    return [step["run"] for step in steps if "run" in step]


def run_step(
    job: Any, identity: str, cwd: Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run one step of a job as the forge does."""
    (script,) = [step["run"] for step in job["steps"] if step.get("id") == identity]
    command = ("bash", "-e", "-c", script)
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True
    )


def source() -> str:
    """Return the address of the repository, as pyproject.toml defines it."""
    text = (ROOT / "pyproject.toml").read_text()
    (found,) = re.findall(r'^Source = "(.*)"$', text, re.MULTILINE)
    return str(found)


# --- workflows -----------------------------------------------------------------------------------


def test_there_is_a_workflow_for_changes_and_one_for_releases() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]


@each_workflow
def test_each_action_is_pinned_to_a_commit_whose_version_is_named(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for action in used:
        assert action == "./.github/workflows/ci.yml" or re.fullmatch(
            r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action
        )


def test_an_action_has_the_same_version_in_all_places() -> None:
    used = re.findall(r"uses: (.*)@(.*)", "".join(path.read_text() for path in WORKFLOWS))
    assert len(set(used)) == len({action for action, _ in used})


@each_workflow
def test_each_job_has_a_time_limit(path: Path) -> None:
    for name, job in jobs(path.name).items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name


def test_only_the_jobs_that_publish_may_write() -> None:
    granted = set()
    for path in WORKFLOWS:
        assert load(path)["permissions"] == {}
        for name, job in jobs(path.name).items():
            granted |= {(name, *grant) for grant in job.get("permissions", {}).items()}
    assert {grant for grant in granted if grant[1:] != ("contents", "read")} == {
        ("publish", "id-token", "write"),
        ("announce", "contents", "write"),
    }


def test_ci_tests_the_wheel_on_each_python_in_the_classifiers(tmp_path: Path) -> None:
    output = tmp_path / "output"
    done = run_step(jobs("ci.yml")["build"], "pythons", ROOT, GITHUB_OUTPUT=str(output))
    assert (done.returncode, done.stderr) == (0, "")
    name, _, value = output.read_text().partition("=")
    assert (name, json.loads(value)) == ("pythons", list(PYTHONS["cpython"]))
    matrix = jobs("ci.yml")["test"]["strategy"]["matrix"]
    assert matrix["python"] == "${{ fromJSON(needs.build.outputs.pythons) }}"
    more = [row["python"] for row in matrix["include"]]
    assert more == [f"pypy{version}" for version in PYTHONS["pypy"]]


def test_the_other_ci_jobs_use_a_supported_python() -> None:
    assert load(FORGE / "workflows" / "ci.yml")["env"]["PYTHON_VERSION"] in PYTHONS["cpython"]


def test_ci_runs_every_required_check() -> None:
    wanted = re.findall(r"^make .*", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    run = "\n".join(scripts("ci.yml"))
    assert wanted
    assert [
        line for line in wanted if not re.search(rf"{re.escape(line)}$", run, re.MULTILINE)
    ] == []


def test_a_merge_waits_for_every_ci_job() -> None:
    every = jobs("ci.yml")
    assert set(every.pop("all")["needs"]) == set(every)


def code_in(page: Path) -> Iterator[str]:
    """Yield what a page of Markdown shows as code."""
    for token in MarkdownIt().parse(page.read_text()):
        for part in (token, *(token.children or ())):
            if part.type in ("code_inline", "code_block", "fence"):
                yield part.content


def test_each_make_target_named_in_a_workflow_exists() -> None:
    texts = [text for path in WORKFLOWS for text in scripts(path.name)]
    for page in ("README.md", "CONTRIBUTING.md", ".github/pull_request_template.md"):
        texts += code_in(ROOT / page)
    called = re.findall(r"^(?:\$ |sudo .*)?make\b([^#\n]*)", "\n".join(texts), re.MULTILINE)
    words = re.sub(r'"[^"]*"', "", " ".join(called)).split()
    named = {word for word in words if "=" not in word}
    assert named >= {"test", "test-wheel", "test-busy", "lint", "wheel", "bench", "matrix"}
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named - set(targets) == set()


# --- releases ------------------------------------------------------------------------------------

HISTORY = """\
# Changelog

## [Unreleased]

### Added

- Not yet.

## [1.2.0] - 2026-12-01

### Added

- A thing: [docs](docs/thing.md).

## [1.1.0] - 2026-11-01

### Fixed

- Another thing.

[1.2.0]: https://example.org
"""


def check_release(tag: str, place: Path) -> subprocess.CompletedProcess[str]:
    place.joinpath("autotask").mkdir()
    write(place / "autotask" / "__init__.py", f'__version__ = "{tag.lstrip("v")}"\n')
    write(place / "CHANGELOG.md", HISTORY)
    return run_step(jobs("release.yml")["check"], "notes", place, GITHUB_REF_NAME=tag)


@pytest.mark.parametrize(
    ("tag", "notes"),
    [
        ("v1.2.0", "\n### Added\n\n- A thing: [docs](docs/thing.md).\n\n"),
        ("v1.1.0", "\n### Fixed\n\n- Another thing.\n\n"),
    ],
)
def test_a_release_is_announced_with_its_section_of_the_changelog(
    tmp_path: Path, tag: str, notes: str
) -> None:
    done = check_release(tag, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "notes.md").read_text() == notes


@pytest.mark.parametrize("tag", ["v1.3.0", "v1.2", "vUnreleased"])
def test_a_version_without_a_section_is_not_released(tmp_path: Path, tag: str) -> None:
    done = check_release(tag, tmp_path)
    assert done.returncode == 1
    assert "CHANGELOG.md has no section" in done.stdout


def test_a_tag_that_is_not_the_version_is_not_released(tmp_path: Path) -> None:
    done = check_release("1.2.0", tmp_path)
    assert done.returncode == 1
    assert "the tag is 1.2.0, but autotask/__init__.py says 1.2.0" in done.stdout


def test_what_is_published_is_what_was_tested() -> None:
    release = jobs("release.yml")
    assert release["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert (release["ci"]["needs"], release["publish"]["needs"]) == ("check", "ci")
    downloads = [
        step["with"]
        for step in (*release["publish"]["steps"], *jobs("ci.yml")["test"]["steps"])
        if "download-artifact" in step.get("uses", "")
    ]
    assert downloads == [{"name": "dist", "path": "dist/"}] * 2


# --- the changelog -------------------------------------------------------------------------------


def headings(level: int, text: str = CHANGELOG) -> list[str]:
    return re.findall(rf"^{'#' * level} (.*)", text, re.MULTILINE)


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    versions = headings(2)
    for heading in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading)
    assert versions[0] == "[Unreleased]" or re.fullmatch(r"\[[\d.]+\] - [\d-]+", versions[0])
    assert len(set(versions)) == len(versions)
    for section in re.split(r"^## .*\n", CHANGELOG, flags=re.MULTILINE)[1:]:
        kinds = headings(3, section)
        assert kinds == sorted(set(kinds), key=KINDS.index)
        for entries in re.split(r"^### .*\n", section, flags=re.MULTILINE)[1:]:
            assert "\n- " in entries
            for line in entries.partition("\n[")[0].splitlines():  # the links come last
                assert re.fullmatch(r"|- \S.*|  \S.*|[A-Z].*:", line)


def test_an_entry_of_the_changelog_is_short() -> None:
    entries = re.findall(r"^- (.*(?:\n  .*)*)", CHANGELOG, re.MULTILINE)
    assert entries
    for entry in entries:
        assert len(re.sub(r"\s+", " ", entry)) <= LONGEST_ENTRY, entry


def test_each_version_has_a_section_in_the_changelog() -> None:
    listed = subprocess.run(
        ("git", "tag", "--list", "v*"), cwd=ROOT, capture_output=True, text=True
    )
    released = {tag[1:] for tag in listed.stdout.split()}
    named = {heading.partition("]")[0][1:] for heading in headings(2)}
    assert released - named == set()
    # Until its release, what is new in this version is called unreleased.
    assert autotask.__version__ in named or {"Unreleased"} == named - released


def test_each_heading_of_the_changelog_is_a_link() -> None:
    for heading in headings(2):
        assert f"\n{heading.partition(' ')[0]}: {source()}/" in CHANGELOG


# --- issues and pull requests --------------------------------------------------------------------


@each_form
def test_a_form_can_be_shown(path: Path) -> None:
    form = load(path)
    assert form["name"]
    assert form["description"]
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    for part in form["body"]:
        assert part["type"] in ("input", "textarea", "checkboxes")
        assert part["attributes"]["label"]


def test_a_bug_comes_with_the_output_of_doctor() -> None:
    for name in ("bug.yml", "wrong_outcome.yml"):
        (asked,) = [
            part for part in load(FORGE / "ISSUE_TEMPLATE" / name)["body"] if part["id"] == "doctor"
        ]
        assert "`autotask doctor --format json -- COMMAND`" in asked["attributes"]["description"]
        assert asked["validations"]["required"] is True


@each_form
def test_a_form_names_commands_and_settings_that_exist(
    path: Path, tmp_path: Path, home: Path
) -> None:
    tool = Path(sys.executable).parent / "autotask"
    script = write(tmp_path / "nightly.py", "print('done')")
    assert run_program(script, under="launcher").status == 0
    (run,) = runs(home)
    text = path.read_text()
    for command in re.findall(r"`autotask ([^`]+)`", text):
        words = command.replace("ID", run["run"]).replace("COMMAND", f"{sys.executable} {script}")
        done = run_program(tool, *words.split(), under="bare", env={"AUTOTASK_DOGSTATSD": "0"})
        assert (done.status, done.stderr) == (0, ""), command
        assert "nightly.py" in done.stdout
        if "json" in words:
            json.loads(done.stdout)
    code = "".join(module.read_text() for module in (ROOT / "autotask").rglob("*.py"))
    assert [name for name in re.findall(r"AUTOTASK_[A-Z]+", text) if f'"{name}"' not in code] == []


def test_the_project_url_is_the_same_everywhere_and_its_files_exist() -> None:
    places = [*FORGE.rglob("*.*"), *ROOT.glob("*.md"), ROOT / "pyproject.toml"]
    text = "\n".join(path.read_text() for path in places if path.is_file())
    addresses = re.findall(r"https://github\.com/autotask[^\s\"')>]*", text)
    assert [url for url in addresses if not f"{url}/".startswith(f"{source()}/")] == []
    files = re.findall(rf"{re.escape(source())}/(?:blob|tree)/main/([^\s\"')#]+)", text)
    assert "CHANGELOG.md" in files
    assert [name for name in files if not (ROOT / name).exists()] == []


# --- hooks and updates ---------------------------------------------------------------------------


def test_the_pre_commit_hooks_are_what_make_lint_runs() -> None:
    lint = subprocess.run(
        ("make", "--no-print-directory", "-n", "lint"), cwd=ROOT, capture_output=True, text=True
    )
    hooks = load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == lint.stdout.splitlines()[-len(hooks) :]


def test_the_actions_are_kept_up_to_date() -> None:
    (update,) = load(FORGE / "dependabot.yml")["updates"]
    assert update["package-ecosystem"] == "github-actions"
