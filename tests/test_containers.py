"""The examples for containers do what docs/containers.md says, as far as a machine can tell.

Each file is parsed, and run by a substitute of a container engine (engine.py) if the machine
allows that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import (
    Image,
    Mount,
    build,
    children,
    instructions,
    kill_whole,
    process_namespace,
    why_not,
)
from support import PATIENCE, Datagrams, runs, wait_until

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "containers"
NOBODY = 65534
VERSION = {"PYTHON": "{}.{}".format(*sys.version_info)}
needs_containers = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Build the image of the examples with the Click of the machine."""
    pytest.importorskip("click")
    place = tmp_path_factory.mktemp("images")
    return {
        target: build(EXAMPLES / "Dockerfile", target, place / target, VERSION)
        for target in ("autotask", "files", "shop")
    }


def yaml(name: str) -> list[Any]:
    """Read the documents of an example."""
    return list(pytest.importorskip("yaml").safe_load_all((EXAMPLES / name).read_text()))


def recorded(home: Path) -> list[tuple[str, str, str | None]]:
    return [(run["task"], run["status"], run.get("reason")) for run in runs(home)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return a volume as an engine makes it: it belongs to the user of the image."""
    place = tmp_path / "journal"
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
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
def test_docker_is_recognized_by_its_file(
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
def test_the_image_reports_a_task_that_was_killed(images: dict[str, Image], journal: Path) -> None:
    (images["shop"].tree / "app" / "killed.py").write_text("import os; os.kill(os.getpid(), 9)")
    mounts = (Mount("/var/lib/autotask", journal),)
    assert images["shop"].run("python", "killed.py", mounts=mounts).returncode == 137
    assert recorded(journal) == [("killed.py", "failure", "signal")]


@needs_containers
def test_the_image_has_unchecked_bytecode(
    images: dict[str, Image],
) -> None:
    bundle = images["shop"].tree / "opt" / "autotask"
    for source in bundle.rglob("*.py"):
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        assert cached.read_bytes()[4:8] == b"\1\0\0\0"


@needs_containers
def test_the_image_for_a_volume_has_only_the_folder(images: dict[str, Image]) -> None:
    bundle = images["autotask"].tree / "opt" / "autotask"
    volume = images["files"].tree
    assert (volume / "sitecustomize.py").is_file()
    assert sorted(path.relative_to(volume) for path in volume.rglob("*")) == sorted(
        path.relative_to(bundle) for path in bundle.rglob("*")
    )


# --- cronjob.yaml --------------------------------------------------------------------------------


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the pod that a CronJob or Job makes."""
    job = document["spec"].get("jobTemplate", document)
    return dict(job["spec"]["template"]["spec"])


class Pod:
    """A pod of an example: its containers run one after the other, or side by side."""

    def __init__(
        self, pod: dict[str, Any], images: dict[str, Image], folder: Path, env: dict[str, str]
    ) -> None:
        security = pod["securityContext"]
        user = f"{security['runAsUser']}:{security['runAsGroup']}"
        shop, tool = images["shop"], images["autotask"]
        self._images = {
            "shop": Image(shop.tree, workdir="/app", user=user),  # as if it had no variables
            "autotask": Image(tool.tree, user=user),
        }
        self._env = env
        self.init, self.sidecar = pod.get("initContainers", [None, None])
        (self.program,) = pod["containers"]
        self.folders = {volume["name"]: folder / volume["name"] for volume in pod["volumes"]}
        for place in self.folders.values():
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)  # what an emptyDir has
        self.home = self.folders["autotask-home"] / "home"

    def arguments(self, container: dict[str, Any], beside: int | None) -> dict[str, Any]:
        return {
            "env": {**_variables(container), **self._env},
            "mounts": tuple(self._mount(mount) for mount in container["volumeMounts"]),
            "read_only": container["securityContext"]["readOnlyRootFilesystem"],
            "beside": beside,
        }

    def _mount(self, mount: dict[str, Any]) -> Mount:
        folder = self.folders[mount["name"]] / mount.get("subPath", ".")
        assert folder.is_dir(), "the kubelet would make it, as root"
        return Mount(mount["mountPath"], folder, mount.get("readOnly", False))

    def image(self, container: dict[str, Any]) -> Image:
        return self._images[container["image"].rpartition("/")[2].partition(":")[0]]

    def run(self, container: dict[str, Any], *command: str, beside: int | None = None) -> str:
        """Run a container to its end, or another command in it; return what it printed."""
        done = self.image(container).run(
            *(command or container["command"]), **self.arguments(container, beside)
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def start(self, container: dict[str, Any], *command: str, beside: int) -> subprocess.Popen[str]:
        """Start a container."""
        return self.image(container).start(
            *(command or container["command"]), **self.arguments(container, beside)
        )


def _variables(container: dict[str, Any]) -> dict[str, str]:
    """Return a container's variables; what the cluster would fill in names this machine."""
    fields = {"status.hostIP": "127.0.0.1", "metadata.uid": "5a1f"}
    (job,) = yaml("cronjob.yaml")
    labels = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    fields.update((f"metadata.labels['{name}']", value) for name, value in labels.items())
    return {
        one["name"]: one["value"]
        if "value" in one
        else fields[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container.get("env", ())
    }


@pytest.fixture
def pod(images: dict[str, Image], tmp_path: Path, datagrams: Datagrams) -> Pod:
    (job,) = yaml("cronjob.yaml")
    env = {"DD_DOGSTATSD_PORT": str(datagrams.port)}
    return Pod(pod_of(job), images, tmp_path / "volumes", env)


@needs_containers
def test_the_cronjob_records_its_task(pod: Pod) -> None:
    pod.run(pod.init)
    assert pod.run(pod.program) == "12 files removed\n"
    assert recorded(pod.home) == CLEAN
    (started, *_) = runs(pod.home)
    assert (started["service"], started["env"], started["version"]) == ("shop", "production", "1.0")


@needs_containers
@pytest.mark.parametrize("supervise", ["0", "1"])
def test_the_sidecar_reports_a_container_that_was_killed_whole(
    supervise: str, pod: Pod, datagrams: Datagrams
) -> None:
    pod.run(pod.init)
    pod.program["env"].append({"name": "AUTOTASK_SUPERVISE", "value": supervise})
    with process_namespace() as namespace, pod.start(pod.sidecar, beside=namespace) as sidecar:
        nap = ("python", "-c", "import time; print('up', flush=True); time.sleep(999)")
        pod.program["env"].append({"name": "AUTOTASK_PROCESS", "value": "1"})
        with pod.start(pod.program, *nap, beside=namespace) as program:
            assert program.stdout
            program.stdout.readline()
            assert [status for _, status, _ in recorded(pod.home)] == ["running"]
            kill_whole(program)
        wait_until(lambda: [end for *_, end in recorded(pod.home)] == ["lost"])
        shown = pod.run(pod.sidecar, "autotask", "runs", beside=namespace)  # kubectl exec
        assert "lost" in shown
        (count,) = datagrams.lines("autotask.task.runs", wait=5)
        assert {"reason:lost", "env:production", "service:shop", "version:1.0"} <= {
            *count.partition("|#")[2].split(",")
        }
        kill_whole(sidecar)


@needs_containers
def test_the_sidecar_closes_what_died_just_before_the_pod_stopped_it(
    pod: Pod, datagrams: Datagrams
) -> None:
    pod.run(pod.init)
    with process_namespace() as namespace, pod.start(pod.sidecar, beside=namespace) as sidecar:
        nap = ("python", "-c", "import time; print('up', flush=True); time.sleep(999)")
        pod.program["env"].append({"name": "AUTOTASK_PROCESS", "value": "1"})
        with pod.start(pod.program, *nap, beside=namespace) as program:
            assert program.stdout
            program.stdout.readline()
            pod.run(pod.sidecar, "autotask", "runs", beside=namespace)  # the sidecar is up, too
            kill_whole(program)
        (shell,) = children(sidecar.pid)
        os.kill(shell, signal.SIGTERM)
        assert sidecar.wait(PATIENCE) == 0
    assert [end for *_, end in recorded(pod.home)] == ["lost"]
    assert datagrams.lines("autotask.task.runs", wait=5)


@needs_containers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_in_a_shared_namespace_a_signal_ends_a_program_and_sets_its_status(
    number: signal.Signals, pod: Pod
) -> None:
    pod.run(pod.init)
    with process_namespace() as namespace:
        nap = ("python", "-c", "import time; print('up', flush=True); time.sleep(999)")
        pod.program["env"].append({"name": "AUTOTASK_PROCESS", "value": "1"})
        with pod.start(pod.program, *nap, beside=namespace) as program:
            assert program.stdout
            program.stdout.readline()
            (parent,) = children(program.pid)
            (child,) = children(parent)
            os.kill(child if number == signal.SIGKILL else parent, number)
            assert program.wait(PATIENCE) == -number  # an engine makes it 128 and the number
    (run,) = runs(pod.home)
    assert (run["reason"], run["signal"]) == ("signal", number.name)


@needs_containers
def test_a_home_that_every_user_can_write_to_is_refused_by_the_sidecar(pod: Pod) -> None:
    pod.run(pod.init)
    (mount,) = pod.sidecar["volumeMounts"]
    del mount["subPath"]  # the emptyDir itself
    with process_namespace() as namespace:
        refused = pod.image(pod.sidecar).run(
            *pod.sidecar["command"], **pod.arguments(pod.sidecar, namespace)
        )
    assert refused.returncode == 1
    assert "/var/lib/autotask can be written by other users" in refused.stderr


# --- reader.yaml ---------------------------------------------------------------------------------


@needs_containers
def test_the_reader_shows_the_runs_on_the_volume_claim(
    pod: Pod, images: dict[str, Image], tmp_path: Path
) -> None:
    pod.run(pod.init)
    pod.run(pod.program)
    claim, job = yaml("reader.yaml")
    (volume,) = pod_of(job)["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    reader = Pod(pod_of(job), images, tmp_path / "volumes", {})
    assert {"nightly.clean", "success"} <= {*reader.run(reader.program).split()}
    assert recorded(pod.home) == CLEAN


# --- restricted ----------------------------------------------------------------------------------

ALLOWED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def offences(pod: dict[str, Any]) -> Iterator[str]:
    """Yield what Pod Security `restricted` refuses in a pod, and what clusters often ask for."""
    security = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", ()):
        if not volume.keys() - {"name"} <= ALLOWED_VOLUMES:
            yield f"volume {volume['name']}"
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        own = {**security, **container.get("securityContext", {})}
        wanted: dict[str, bool] = {
            "runAsNonRoot": own.get("runAsNonRoot") is True,
            "runAsUser": own.get("runAsUser") != 0,
            "seccompProfile": own.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "drop": own.get("capabilities", {}).get("drop") == ["ALL"],
            "add": not own.get("capabilities", {}).get("add"),
            "privileged": not own.get("privileged"),
            "hostPort": not any("hostPort" in port for port in container.get("ports", ())),
            "requests": {"cpu", "memory"} <= container["resources"]["requests"].keys(),
            "limits": "memory" in container["resources"]["limits"],
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
        }
        yield from (f"{container['name']}: {rule}" for rule, kept in wanted.items() if not kept)


@pytest.mark.parametrize("name", ["cronjob.yaml", "reader.yaml"])
def test_the_pods_pass_the_restricted_profile(name: str) -> None:
    pods = [pod_of(document) for document in yaml(name) if document["kind"] in ("CronJob", "Job")]
    assert [list(offences(pod)) for pod in pods] == [[]]


def test_the_rules_of_the_restricted_profile_find_offences() -> None:
    (job,) = yaml("cronjob.yaml")
    pod = pod_of(job)
    pod["volumes"].append({"name": "socket", "hostPath": {"path": "/var/run/datadog"}})
    pod["hostPID"] = True
    pod["securityContext"] = {"runAsUser": 0}
    pod["containers"][0]["securityContext"] = {"capabilities": {"add": ["SYS_PTRACE"]}}
    found = {one.rpartition(": ")[2] for one in offences(pod)}
    assert {"volume socket", "hostPID", "runAsUser", "runAsNonRoot", "drop", "add"} <= found


# --- the same pod by other ways ------------------------------------------------------------------


def plain(job: dict[str, Any]) -> dict[str, Any]:
    """Return the CronJob of the example without anything of autotask."""
    bare: dict[str, Any] = json.loads(json.dumps(job))
    bare["metadata"]["labels"] = {"autotask": "enabled"}
    pod = pod_of(bare)
    template = bare["spec"]["jobTemplate"]["spec"]["template"]
    for name in ("initContainers", "shareProcessNamespace"):
        del pod[name]
    pod["volumes"] = [one for one in pod["volumes"] if one["name"] == "tmp"]
    (container,) = pod["containers"]
    container["env"] = []
    mounts = container["volumeMounts"]
    container["volumeMounts"] = [one for one in mounts if one["name"] == "tmp"]
    template["spec"] = pod
    return bare


def by_name(pod: dict[str, Any]) -> dict[str, Any]:
    """Return a pod with sorted lists of mounts and volumes."""
    sorted_pod: dict[str, Any] = json.loads(json.dumps(pod))
    sorted_pod["volumes"].sort(key=lambda one: str(one["name"]))
    for container in [*sorted_pod["initContainers"], *sorted_pod["containers"]]:
        container["volumeMounts"].sort(key=lambda one: str(one["mountPath"]))
    return sorted_pod


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_kustomize_component_makes_the_same_pod(tmp_path: Path) -> None:
    (job,) = yaml("cronjob.yaml")
    load = pytest.importorskip("yaml").safe_load
    shutil.copytree(EXAMPLES / "component", tmp_path / "component")
    (tmp_path / "plain.yaml").write_text(json.dumps(plain(job)))
    base = {"resources": ["plain.yaml"], "components": ["component"]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(base))
    words = ("kubectl", "kustomize", tmp_path)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert by_name(pod_of(load(done.stdout))) == by_name(pod_of(job))


def test_the_kustomize_component_is_for_those_with_the_label() -> None:
    (component,) = yaml("component/kustomization.yaml")
    assert component["kind"] == "Component"
    load = pytest.importorskip("yaml").safe_load
    for patch in component["patches"]:
        assert patch["target"] == {"kind": "CronJob", "labelSelector": "autotask=enabled"}
        assert load(patch["patch"])


def test_the_helm_templates_make_the_same_pod() -> None:
    (job,) = yaml("cronjob.yaml")
    pod = pod_of(job)
    (container,) = pod["containers"]
    text = (EXAMPLES / "_autotask.tpl").read_text()
    image = "registry.example.com/autotask:0.1.0"
    text = text.partition("*/}}")[2].replace("{{ .Values.autotask.image }}", image)
    defined = re.findall(
        r'\{\{- define "autotask\.(\w+)" -\}\}\n(.*?)\{\{- end \}\}', text, re.DOTALL
    )
    load = pytest.importorskip("yaml").safe_load
    assert {name: load(body) for name, body in defined} == {
        "initContainers": pod["initContainers"],
        "env": container["env"],
        "volumeMounts": container["volumeMounts"][:2],
        "volumes": pod["volumes"][:2],
    }


def test_the_policy_makes_the_same_pod() -> None:
    """Its patches are read as data: what is CEL in them are the names of types, and the paths."""
    (job,) = yaml("cronjob.yaml")
    pod = pod_of(job)
    (container,) = pod["containers"]
    policy, binding = yaml("policy.yaml")
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    (mutation,) = policy["spec"]["mutations"]
    added: dict[str, list[Any]] = {}
    for patch in _patches(mutation["jsonPatch"]["expression"]):
        assert patch["op"] == "add"
        added.setdefault(patch["path"], []).append(patch["value"])
    empty = [path for path, values in added.items() if values == [[]]]
    assert [path.rpartition("/")[2].strip('"') for path in empty] == [
        *("volumes", "initContainers", "env", "volumeMounts"),
    ]
    assert {path: values for path, values in added.items() if path not in empty} == {
        "/spec/shareProcessNamespace": [True],
        "/spec/volumes/-": pod["volumes"][:2],
        "/spec/initContainers/-": pod["initContainers"],
        'place + "/env/-"': container["env"],
        'place + "/volumeMounts/-"': container["volumeMounts"][:2],
    }


def _patches(expression: str) -> Iterator[dict[str, Any]]:
    load = pytest.importorskip("yaml").safe_load
    for name in ("()", "{}", "[]"):
        assert expression.count(name[0]) == expression.count(name[1])
    for text in expression.split("JSONPatch{")[1:]:
        depth, end = 1, 0
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        data = re.sub(r"\bObject[\w.]*\{", "{", "{" + text[:end])
        yield load(
            re.sub(r"path: ([^,]*\+[^,]*),", lambda path: f"path: {json.dumps(path[1])},", data)
        )


# --- compose.yaml, ecs.json ----------------------------------------------------------------------


@needs_containers
def test_the_composed_services_record_a_task_and_show_it(
    images: dict[str, Image], journal: Path
) -> None:
    (composed,) = yaml("compose.yaml")
    assert composed["volumes"].keys() == {"journal"}
    nightly, sidecar = (composed["services"][name] for name in ("nightly", "autotask"))
    assert nightly["pid"] == "service:autotask"
    assert nightly["build"]["context"] == sidecar["build"]["context"] == "."
    with process_namespace() as namespace:  # which `init: true` holds
        shop, tool = (images[one["build"]["target"]] for one in (nightly, sidecar))
        mounts: dict[str, Any] = {"mounts": (_volume(nightly, journal),), "beside": namespace}
        ended = shop.run(*nightly["command"], env=_local(nightly), **mounts)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "12 files removed\n", "")
        assert recorded(journal) == CLEAN
        with tool.start(env=_local(sidecar), **mounts) as service:
            (shop.tree / "app" / "nap.py").write_text(
                "import time\nprint('up', flush=True)\ntime.sleep(999)"
            )
            with shop.start("python", "nap.py", env=_local(nightly), **mounts) as program:
                assert program.stdout
                program.stdout.readline()
                kill_whole(program)
            wait_until(lambda: recorded(journal)[2:] == [("nap.py", "failure", "lost")])
            history = tool.run("autotask", "runs", **mounts)  # compose exec
            kill_whole(service)
    assert {"nightly.clean", "success", "nap.py", "lost"} <= {*history.stdout.split()}


def _volume(service: dict[str, Any], journal: Path) -> Mount:
    (volume,) = service["volumes"]
    name, _, place = volume.partition(":")
    assert name == "journal"
    return Mount(place, journal)


def _local(service: dict[str, Any]) -> dict[str, str]:
    assert service["environment"]["DD_AGENT_HOST"] == "datadog"  # nothing is listening here
    return {**service["environment"], "DD_AGENT_HOST": "127.0.0.1"}


def test_the_ecs_task_shares_its_processes_and_its_journal() -> None:
    task = json.loads((EXAMPLES / "ecs.json").read_text())
    assert task["pidMode"] == "task"
    program, sidecar = task["containerDefinitions"]
    assert (program["essential"], sidecar["essential"]) == (True, False)
    assert program["user"] == sidecar["user"]
    assert program["mountPoints"] == sidecar["mountPoints"]
    (job,) = yaml("cronjob.yaml")
    assert sidecar["command"] == pod_of(job)["initContainers"][1]["command"]
    assert program["dependsOn"] == [{"containerName": sidecar["name"], "condition": "START"}]


# --- without a volume ----------------------------------------------------------------------------


@needs_containers
def test_without_a_volume_standard_error_has_the_records(images: dict[str, Image]) -> None:
    env = {"AUTOTASK_JOURNAL": "stderr"}
    done = images["shop"].run("python", "nightly.py", "report", env=env, read_only=True)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stderr.splitlines() if line[:8] == '{"run":"']
    page = (ROOT / "docs" / "containers.md").read_text()
    for run in found:
        assert f"\n{run['task']} {run['status']} {run['reason']}\n" in page
    assert [run["task"] for run in found] == ["nightly.report", "nightly.py"]


# --- probes --------------------------------------------------------------------------------------


def _probe(word: str) -> str:
    """Return the example on the page that contains a word."""
    page = (ROOT / "docs" / "containers.md").read_text()
    (example,) = [
        text for text in re.findall(r"```\w+\n(.*?)```\n", page, re.DOTALL) if word in text
    ]
    return str(example)


@needs_containers
@pytest.mark.parametrize("way", ["livenessProbe", "HEALTHCHECK", "AUTOTASK_IGNORE"])
@pytest.mark.parametrize("supervise", ["0", "1"])
def test_a_probe_is_not_a_run_if_its_command_says_so(
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
    """The image, the pod and the services name the same folder, home, user and stages."""
    dockerfile = instructions((EXAMPLES / "Dockerfile").read_text())
    stages = [line.split()[-1] for line in dockerfile if line.startswith("FROM")]
    (composed,) = yaml("compose.yaml")
    built = [one["build"]["target"] for one in composed["services"].values() if "build" in one]
    assert sorted(stages) == sorted([*built, "files"])
    of_tool, of_shop = [
        dict(word.split("=") for word in line.split()[1:])
        for line in dockerfile
        if line.startswith("ENV")
    ]
    (job,) = yaml("cronjob.yaml")
    pod = pod_of(job)
    security = pod["securityContext"]
    (container,) = pod["containers"]
    assert of_shop.items() <= _variables(container).items()
    assert of_tool.items() <= _variables(pod["initContainers"][1]).items()
    user = f"{security['runAsUser']}:{security['runAsGroup']}"
    assert [line for line in dockerfile if line.startswith("USER")] == [f"USER {user}"] * 2


PAGES = {
    "containers.md": {"cronjob.yaml"},
    "platforms.md": {"compose.yaml"},
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_the_examples_verbatim(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    shown = re.findall(r"<!-- (examples/\S+) -->\n```\w+\n(.*?)```\n", text, re.DOTALL)
    assert {name for name, _ in shown} == {f"examples/containers/{name}" for name in PAGES[page]}
    for name, example in shown:
        assert example == (ROOT / name).read_text()


def test_the_page_shows_the_end_of_the_dockerfile() -> None:
    text = (ROOT / "docs" / "containers.md").read_text()
    (part,) = re.findall(r"<!-- part of \S+ -->\n```dockerfile\n(.*?)```\n", text, re.DOTALL)
    assert (EXAMPLES / "Dockerfile").read_text().endswith(part)


@pytest.mark.parametrize("page", PAGES)
def test_the_yaml_on_a_page_is_valid(page: str) -> None:
    load = pytest.importorskip("yaml").safe_load_all
    text = (ROOT / "docs" / page).read_text()
    examples = re.findall(r"```yaml\n(.*?)```\n", text, re.DOTALL)
    assert len(examples) > 2
    assert all(isinstance(document, dict) for example in examples for document in load(example))


def test_a_pod_that_mounts_the_agents_socket_is_not_restricted() -> None:
    (job,) = yaml("cronjob.yaml")
    pod = pod_of(job)
    text = (ROOT / "docs" / "containers.md").read_text()
    (example,) = [
        one for one in re.findall(r"```yaml\n(.*?)```\n", text, re.DOTALL) if "hostPath" in one
    ]
    added = pytest.importorskip("yaml").safe_load(example)
    pod["volumes"] += added["volumes"]
    assert list(offences(pod)) == ["volume datadog"]
