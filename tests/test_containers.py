"""The examples for containers do what docs/containers.md says, as far as a machine can tell.

Each file is parsed and carried out: by a container engine's stand-in (engine.py), where the
machine allows that.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from engine import Image, Mount, build, instructions, why_not
from support import runs

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "containers"
VERSION = {"PYTHON": "{}.{}".format(*sys.version_info)}
needs_containers = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Build what the examples build, which the machine's Click goes into."""
    pytest.importorskip("click")
    place = tmp_path_factory.mktemp("images")
    return {
        target: build(EXAMPLES / "Dockerfile", target, place / target, VERSION)
        for target in ("autotask", "shop")
    }


def yaml(name: str) -> list[Any]:
    """Read the documents of an example."""
    return list(pytest.importorskip("yaml").safe_load_all((EXAMPLES / name).read_text()))


def recorded(home: Path) -> list[tuple[str, str, str | None]]:
    return [(run["task"], run["status"], run.get("reason")) for run in runs(home)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Give a volume that any user may write to."""
    place = tmp_path / "journal"
    place.mkdir()
    place.chmod(0o777)
    return place


CLEAN = [("nightly.py", "success", None), ("nightly.clean", "success", None)]


# --- Dockerfile ----------------------------------------------------------------------------------


@needs_containers
def test_the_image_records_its_tasks(images: dict[str, Image], journal: Path) -> None:
    shop = images["shop"]
    mounts = (Mount("/var/lib/autotask", journal),)
    assert shop.volumes == ("/var/lib/autotask",)
    done = shop.run(mounts=mounts)
    assert (done.returncode, done.stdout, done.stderr) == (0, "12 files removed\n", "")
    assert recorded(journal) == CLEAN
    assert shop.run("python", "nightly.py", "report", mounts=mounts).returncode == 1
    assert recorded(journal)[2:] == [
        ("nightly.py", "failure", "nested"),
        ("nightly.report", "failure", "exception"),
    ]


@needs_containers
@pytest.mark.parametrize(("file", "trigger"), [(".dockerenv", "container"), ("other", "unknown")])
def test_docker_is_known_by_its_file(
    file: str, trigger: str, images: dict[str, Image], journal: Path
) -> None:
    shop = images["shop"]
    made = shop.tree / file
    made.touch()
    try:
        assert shop.run(mounts=(Mount("/var/lib/autotask", journal),)).returncode == 0
    finally:
        made.unlink()
    assert [run["trigger"] for run in runs(journal)] == [trigger, trigger]


@needs_containers
def test_the_image_tells_of_a_task_that_was_killed(images: dict[str, Image], journal: Path) -> None:
    (images["shop"].tree / "app" / "killed.py").write_text("import os; os.kill(os.getpid(), 9)")
    mounts = (Mount("/var/lib/autotask", journal),)
    assert images["shop"].run("python", "killed.py", mounts=mounts).returncode == 137
    assert recorded(journal) == [("killed.py", "failure", "signal")]


@needs_containers
def test_the_image_has_bytecode_of_the_kind_that_is_never_checked(
    images: dict[str, Image],
) -> None:
    bundle = images["shop"].tree / "opt" / "autotask"
    for source in bundle.rglob("*.py"):
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        assert cached.read_bytes()[4:8] == b"\1\0\0\0"


# --- cronjob.yaml --------------------------------------------------------------------------------


@needs_containers
def test_the_cronjob_records_its_task(
    images: dict[str, Image], journal: Path, tmp_path: Path
) -> None:
    job, claim = yaml("cronjob.yaml")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["journal"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    folders = {"autotask": tmp_path / "emptyDir", "journal": journal}
    folders["autotask"].mkdir(mode=0o777)
    folders["autotask"].chmod(0o777)
    assert volumes.keys() == folders.keys()
    security = pod["securityContext"]
    plain = Image(images["shop"].tree, workdir="/app", user=_user(security))
    for image, container in (
        (Image(images["autotask"].tree, user=_user(security)), pod["initContainers"][0]),
        (plain, pod["containers"][0]),
    ):
        done = image.run(
            *container["command"],
            env=_variables(container),
            mounts=_mounts(container, folders),
            read_only=container.get("securityContext", {}).get("readOnlyRootFilesystem", False),
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert recorded(journal) == CLEAN
    (started, *_) = runs(journal)
    assert (started["service"], started["env"]) == ("shop", "production")


def _user(security: dict[str, int]) -> str:
    return f"{security['runAsUser']}:{security['runAsGroup']}"


def _variables(container: dict[str, Any]) -> dict[str, str]:
    """Return a container's variables; what the cluster would fill in is the machine itself."""
    fields = {"status.hostIP": "127.0.0.1", "metadata.uid": "5a1f"}
    return {
        one["name"]: one["value"]
        if "value" in one
        else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container.get("env", ())
    }


def _mounts(container: dict[str, Any], folders: dict[str, Path]) -> tuple[Mount, ...]:
    return tuple(
        Mount(one["mountPath"], folders[one["name"]], one.get("readOnly", False))
        for one in container["volumeMounts"]
    )


# --- compose.yaml --------------------------------------------------------------------------------


@needs_containers
def test_the_composed_services_record_a_task_and_show_it(
    images: dict[str, Image], journal: Path
) -> None:
    (composed,) = yaml("compose.yaml")
    assert composed["volumes"].keys() == {"journal"}
    nightly, history = (
        _run_service(composed["services"][name], images, journal) for name in ("nightly", "history")
    )
    assert nightly == "12 files removed\n"
    assert recorded(journal) == CLEAN
    assert {"nightly.py", "nightly.clean", "success"} <= set(history.split())


def _run_service(service: dict[str, Any], images: dict[str, Image], journal: Path) -> str:
    assert service["build"]["context"] == "."
    (volume,) = service["volumes"]
    name, _, place = volume.partition(":")
    assert name == "journal"
    env = {**service["environment"]}
    if env.get("DD_AGENT_HOST") == "datadog":  # another service; nobody listens here
        env["DD_AGENT_HOST"] = "127.0.0.1"
    image = images[service["build"]["target"]]
    done = image.run(*service["command"], env=env, mounts=(Mount(place, journal),))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# --- without a volume ----------------------------------------------------------------------------


@needs_containers
def test_without_a_volume_standard_error_has_the_records(images: dict[str, Image]) -> None:
    env = {"AUTOTASK_JOURNAL": "stderr"}
    done = images["shop"].run("python", "nightly.py", "report", env=env, read_only=True)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stderr.splitlines() if line[:8] == '{"run":"']
    page = (ROOT / "docs" / "containers.md").read_text()
    for run in found:
        assert f"    {run['task']} {run['status']} {run['reason']}\n" in page
    assert [run["task"] for run in found] == ["nightly.report", "nightly.py"]


# --- probes --------------------------------------------------------------------------------------


def _probe(word: str) -> str:
    """Return the example on the page that has a word in it."""
    page = (ROOT / "docs" / "containers.md").read_text()
    (example,) = [
        text for text in re.findall(r"```\w+\n(.*?)```\n", page, re.DOTALL) if word in text
    ]
    return str(example)


@needs_containers
@pytest.mark.parametrize("way", ["livenessProbe", "HEALTHCHECK", "AUTOTASK_IGNORE"])
@pytest.mark.parametrize("supervise", ["0", "1"])
def test_a_probe_is_no_run_where_its_command_says_so(
    way: str, supervise: str, images: dict[str, Image], journal: Path
) -> None:
    shop = images["shop"]
    (shop.tree / "app" / "healthz.py").write_text(
        "import click\n@click.command()\ndef healthz(): click.echo('well')\nhealthz()\n"
    )
    load, env = pytest.importorskip("yaml").safe_load, {"AUTOTASK_SUPERVISE": supervise}
    command = ["python", "/app/healthz.py"]
    if way == "livenessProbe":
        command = load(_probe(way))["livenessProbe"]["exec"]["command"]
    elif way == "HEALTHCHECK":
        command = load(_probe(way).removeprefix("HEALTHCHECK CMD "))
    else:
        env.update((one["name"], one["value"]) for one in load(_probe("- {name: " + way))["env"])
    mounts = (Mount("/var/lib/autotask", journal),)
    done = shop.run(*command, env=env, mounts=mounts)
    assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", "")
    assert recorded(journal) == []
    plain = {"AUTOTASK_SUPERVISE": supervise}
    assert shop.run("python", "/app/healthz.py", env=plain, mounts=mounts).returncode == 0
    assert [task for task, *_ in recorded(journal)] == ["healthz.py", "healthz"]


# --- what they say of each other -----------------------------------------------------------------


def test_the_examples_agree() -> None:
    """The image, the pod and the services name the same folder, home and stages."""
    dockerfile = instructions((EXAMPLES / "Dockerfile").read_text())
    stages = [line.split()[-1] for line in dockerfile if line.startswith("FROM")]
    (composed,) = yaml("compose.yaml")
    built = [one["build"]["target"] for one in composed["services"].values() if "build" in one]
    assert sorted(stages) == sorted(built)
    (env,) = [line for line in dockerfile if line.startswith("ENV")]
    job, _ = yaml("cronjob.yaml")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    of_image = dict(word.split("=") for word in env.split()[1:])
    of_pod = _variables(container)
    assert of_image.keys() <= of_pod.keys()
    assert {name for name in of_image if of_image[name] != of_pod[name]} == {"PYTHONPATH"}


def test_the_page_shows_the_examples_as_they_are() -> None:
    page = (ROOT / "docs" / "containers.md").read_text()
    shown = re.findall(r"<!-- (examples/\S+) -->\n```\w+\n(.*?)```\n", page, re.DOTALL)
    assert {name for name, _ in shown} == {
        f"examples/containers/{name}" for name in ("Dockerfile", "cronjob.yaml", "compose.yaml")
    }
    for name, text in shown:
        assert text == (ROOT / name).read_text()
