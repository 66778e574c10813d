"""What a container engine does with our examples, on a machine that has none.

An image is a folder with a virtual environment in /python; a container is a program in it by
unshare and chroot: separate namespaces for mounts and processes, the root of the image, the
machine's programs read-only. Containers of a pod share a `process_namespace`. Instead of a
registry, `pip install` takes what is installed here.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from support import INSTALLED, wait_until

from autotask.procfs import start_time

_MACHINE = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
_PATH = "/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# In an image: the tool is run from where it is, another package is copied.
_PIP = """\
#!/python/bin/python
import pathlib, shutil, sys, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
for name in sys.argv[2:]:
    if name == "autotask-agent":
        (site / "machine.pth").write_text("/machine/autotask\\n/machine/site\\n")
        tool = pathlib.Path("/python/bin/autotask")
        tool.write_text(
            "#!/python/bin/python\\nimport sys\\n"
            "from autotask.tool.cli import main\\nsys.exit(main())\\n"
        )
        tool.chmod(0o755)
    elif not name.startswith("-"):
        shutil.copytree("/machine/site/" + name, site / name)
"""


@dataclass(frozen=True)
class Mount:
    """A folder of the machine, seen in a container."""

    place: str
    folder: Path
    read_only: bool = False


@dataclass(frozen=True)
class Image:
    """A folder, and how its programs are started."""

    tree: Path
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    command: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def run(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        mounts: tuple[Mount, ...] = (),
        read_only: bool = False,
        beside: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a separate container: as process 1, or in a `process_namespace`."""
        return subprocess.run(
            self._words(command, mounts, read_only, beside),
            env=self._environment(env),
            capture_output=True,
            text=True,
            check=False,
        )

    def start(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        mounts: tuple[Mount, ...] = (),
        read_only: bool = False,
        beside: int | None = None,
    ) -> subprocess.Popen[str]:
        """Start a program as `run` does, and leave it running."""
        return subprocess.Popen(
            self._words(command, mounts, read_only, beside),
            env=self._environment(env),
            stdout=subprocess.PIPE,
            text=True,
        )

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return {"PATH": _PATH, "HOME": "/", **self.env, **(env or {})}

    def _words(
        self,
        command: tuple[str, ...],
        mounts: tuple[Mount, ...],
        read_only: bool,
        beside: int | None,
    ) -> list[str]:
        command = command or self.command
        user = _numbers(self.user)
        script = "\n".join(
            [
                "set -e",
                f"root={shlex.quote(str(self.tree))}",
                "mount --bind $root $root",
                *(_bind(mount) for mount in machine()),
                "mount --rbind /dev $root/dev",
                *(_bind(mount) for mount in mounts),
                *(["mount -o remount,bind,ro $root"] if read_only else []),
                "mount -t proc proc $root/proc",
                f"exec chroot --userspec={user} --groups= $root /bin/sh -c "
                + shlex.quote(f"cd {shlex.quote(self.workdir)} && exec {shlex.join(command)}"),
            ]
        )
        if beside is None:
            alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
            return [*alone, "sh", "-c", script]
        inside = ["nsenter", "--target", str(beside), "--pid"]
        return [*inside, "unshare", "--mount", "sh", "-c", script]


@contextmanager
def process_namespace() -> Iterator[int]:
    """Make a namespace that several containers share; yield the process that holds it."""
    words = ("unshare", "--pid", "--fork", "--kill-child", "sleep", "infinity")
    with subprocess.Popen(words) as outside:
        try:
            wait_until(lambda: bool(children(outside.pid)))
            (holder,) = children(outside.pid)
            yield holder
        finally:
            outside.kill()


def children(pid: int) -> list[int]:
    """Return the living processes that a process has started."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(word) for word in words]


def kill_whole(container: subprocess.Popen[str]) -> None:
    """Kill all processes of a container, from the outside in: no parent sees its child die."""
    pids = [container.pid]
    for pid in pids:
        pids += children(pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(start_time(pid) for pid in pids))


def why_not() -> str | None:
    """Tell why this machine cannot run a container."""
    if os.getuid() != 0 or shutil.which("unshare") is None or shutil.which("chroot") is None:
        return "containers need root, unshare and chroot"
    mounted = "unshare --mount --pid --fork sh -c 'mount -t tmpfs none /mnt && chroot / true'"
    if subprocess.run(("sh", "-c", mounted), capture_output=True, check=False).returncode:
        return "this machine allows no mounts in a separate namespace"
    return None


def base(tree: Path) -> Image:
    """Make the substitute of `python:...-slim`: this Python, and the pip described above."""
    for name in ("proc", "dev", "tmp", "machine/autotask", "machine/site", *_MACHINE):
        (tree / name).mkdir(parents=True)
    tree.chmod(0o755)
    (tree / "tmp").chmod(0o1777)
    python = Path(sys.base_prefix, "bin", "python{}.{}".format(*sys.version_info))
    subprocess.run((python, "-m", "venv", "--without-pip", tree / "python"), check=True)
    pip = tree / "python" / "bin" / "pip"
    pip.write_text(_PIP)
    pip.chmod(0o755)
    return Image(tree)


def machine() -> tuple[Mount, ...]:
    """Return the folders of the machine that a container sees: its programs and this Python."""
    shown = {f"/{name}": f"/{name}" for name in _MACHINE if Path("/", name).exists()}
    shown[sys.base_prefix] = sys.base_prefix
    shown["/machine/autotask"] = str(INSTALLED)
    shown["/machine/site"] = sysconfig.get_path("purelib")
    return tuple(Mount(place, Path(folder), read_only=True) for place, folder in shown.items())


def _bind(mount: Mount) -> str:
    folder, place = shlex.quote(str(mount.folder)), f"$root{shlex.quote(mount.place)}"
    made = f"mkdir -p {place} && mount --bind {folder} {place}"
    return f"{made} && mount -o remount,bind,ro {place}" if mount.read_only else made


def _numbers(user: str) -> str:
    """Return `uid:gid` of a user of the machine."""
    if ":" in user:
        return user
    entry = pwd.getpwnam(user)
    return f"{entry.pw_uid}:{entry.pw_gid}"


def build(dockerfile: Path, target: str, place: Path, args: Mapping[str, str]) -> Image:
    """Carry out a Dockerfile up to a target. An instruction that is not known is an error."""
    builder = _Builder(dockerfile.parent, place, dict(args))
    for line in instructions(dockerfile.read_text()):
        word, _, rest = line.partition(" ")
        if word == "FROM" and target in builder.stages:
            break
        getattr(builder, f"do_{word.lower()}")(rest.strip())
    return builder.stages[target]


def instructions(dockerfile: str) -> list[str]:
    """Return a Dockerfile's instructions, continued lines joined and comments left out."""
    code = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(code).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]


class _Builder:
    """The instructions of a Dockerfile, one method for each."""

    def __init__(self, context: Path, place: Path, args: dict[str, str]) -> None:
        self.stages: dict[str, Image] = {}
        self._context = context
        self._place = place
        self._args = args
        self._name = ""

    @property
    def _image(self) -> Image:
        return self.stages[self._name]

    def _change(self, image: Image) -> None:
        self.stages[self._name] = image

    def do_arg(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        self._args.setdefault(name, value)

    def do_from(self, rest: str) -> None:
        found = re.fullmatch(r"(\S+) AS (\S+)", re.sub(r"\$\{(\w+)\}", self._value, rest))
        assert found is not None, rest
        self._name = found[2]
        tree = self._place / self._name
        if found[1] == "scratch":
            tree.mkdir(parents=True)
            self._change(Image(tree))
            return
        version = "{}.{}".format(*sys.version_info)
        assert found[1] == f"python:{version}-slim", found[1]
        self._change(base(tree))

    def _value(self, name: re.Match[str]) -> str:
        return self._args[name[1]]

    def do_run(self, rest: str) -> None:
        done = self._image.run("sh", "-c", rest)
        assert done.returncode == 0, done.stdout + done.stderr

    def do_workdir(self, rest: str) -> None:
        (self._image.tree / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self._change(replace(self._image, workdir=rest))

    def do_copy(self, rest: str) -> None:
        *options, source, target = rest.split()
        origin = self._context
        for option in options:
            name, _, stage = option.partition("=")
            assert name == "--from", option
            origin = self.stages[stage].tree
        place = self._image.tree / os.path.join(self._image.workdir, target).lstrip("/")
        found = origin / source.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, place, dirs_exist_ok=True)
        else:
            shutil.copy(found, place)

    def do_env(self, rest: str) -> None:
        added = dict(word.split("=", 1) for word in shlex.split(rest))
        self._change(replace(self._image, env={**self._image.env, **added}))

    def do_volume(self, rest: str) -> None:
        self._change(replace(self._image, volumes=(*self._image.volumes, rest)))

    def do_user(self, rest: str) -> None:
        self._change(replace(self._image, user=rest))

    def do_cmd(self, rest: str) -> None:
        self._change(replace(self._image, command=tuple(json.loads(rest))))
