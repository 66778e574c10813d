"""Drop-ins: a service's commands, with autotask in front, and back again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import LAUNCHER
from tool.journals import records
from tool.schedule.machines import Machine, booted, mode_of

from autotask.tool.cron import drop_in, run_script
from autotask.tool.errors import ToolError
from autotask.tool.schedule import timers
from autotask.tool.schedule.timers import Service

RUN = "/etc/autotask/run"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


def service(machine: Machine, *files: str, unit: str = "backup.service") -> Service:
    """Return a loaded service whose files have these texts: the unit's, its drop-ins'."""
    folder = f"/etc/systemd/system/{unit}"
    names = [
        "/lib/systemd/system/backup.service",
        f"{folder}.d/a.conf",
        f"{folder}.d/override.conf",
    ]
    paths = tuple(machine.write(name, text) for name, text in zip(names, files))
    return Service(unit, loaded=True, kind="oneshot", files=paths)


def commands(machine: Machine, *files: str, unit: str = "backup.service") -> list[str]:
    """Return the commands of the drop-in of a service."""
    text = drop_in.text(service(machine, *files, unit=unit), RUN)
    assert text.splitlines()[1:3] == ["[Service]", "KillMode=mixed"]
    return [line.partition("=")[2] for line in text.splitlines()[4:]]


# What is written after ExecStart=, and the commands of the drop-in.
COMMANDS = [
    ("/usr/bin/backup", ["/etc/autotask/run backup /usr/bin/backup"]),
    ("/usr/bin/backup --all", ["/etc/autotask/run backup /usr/bin/backup --all"]),
    ("  /usr/bin/backup  --all  ", ["/etc/autotask/run backup /usr/bin/backup  --all"]),
    ("-/usr/bin/backup", ["-/etc/autotask/run backup /usr/bin/backup"]),
    ("+/usr/bin/backup", ["+/etc/autotask/run backup /usr/bin/backup"]),
    ("!/usr/bin/backup", ["!/etc/autotask/run backup /usr/bin/backup"]),
    ("-!!/usr/bin/backup", ["-!!/etc/autotask/run backup /usr/bin/backup"]),
    ("-:+/usr/bin/backup $A", ["-:+/etc/autotask/run backup /usr/bin/backup $A"]),
    ("|/usr/bin/backup", ["|/etc/autotask/run backup /usr/bin/backup"]),
    ("backup", ["/etc/autotask/run backup backup"]),
    ("/bin/sh -c 'a; b \"c\"'", ["/etc/autotask/run backup /bin/sh -c 'a; b \"c\"'"]),
    ('/bin/a "b c" d\\x20e', ['/etc/autotask/run backup /bin/a "b c" d\\x20e']),
    ('"/opt/my tools/a" b', ['/etc/autotask/run backup "/opt/my tools/a" b']),
    ("/bin/a %i %% ${A} $B $$", ["/etc/autotask/run backup /bin/a %i %% ${A} $B $$"]),
    ("/opt/a$b/c $D", ["/etc/autotask/run backup /opt/a$$b/c $D"]),
    (":/opt/a$b/c $D", [":/etc/autotask/run backup /opt/a$b/c $D"]),
    (
        "/bin/a ; -/bin/b c",
        ["/etc/autotask/run backup /bin/a", "-/etc/autotask/run backup /bin/b c"],
    ),
    ("/bin/a \\; b", ["/etc/autotask/run backup /bin/a \\; b"]),
    ("/bin/a ';' b", ["/etc/autotask/run backup /bin/a ';' b"]),
    ("/bin/a b;c", ["/etc/autotask/run backup /bin/a b;c"]),
    ("/bin/a \\\n  b \\\n# c\n; d\n\te", ["/etc/autotask/run backup /bin/a    b  \te"]),
    ("/bin/a 'b \\\n c'", ["/etc/autotask/run backup /bin/a 'b   c'"]),
    ("/bin/a b\\\\\nNice=1", ["/etc/autotask/run backup /bin/a b\\\\"]),
    ("/bin/a b\r", ["/etc/autotask/run backup /bin/a b"]),
    ("/bin/a\nExecStart=/bin/b", [f"/etc/autotask/run backup /bin/{name}" for name in "ab"]),
    ("/bin/a\nExecStart=\nExecStart = /bin/b", ["/etc/autotask/run backup /bin/b"]),
    ("/bin/true\n[Install]\nAlias=b.service", ["/etc/autotask/run backup /bin/true"]),
    ("/bin/true\nExecStartPre=/bin/true", ["/etc/autotask/run backup /bin/true"]),
    ("/bin/ä \udce4", ["/etc/autotask/run backup /bin/ä \udce4"]),
]


@pytest.mark.parametrize(("written", "expected"), COMMANDS)
def test_autotask_comes_in_front_of_each_command(
    machine: Machine, written: str, expected: list[str]
) -> None:
    text = f"[Unit]\nExecStart=/bin/no\n[Service]\nType=oneshot\nExecStart={written}\n"
    found = service(machine, "")
    Path(found.files[0]).write_bytes(text.encode("utf-8", "surrogateescape"))
    lines = drop_in.text(found, RUN).splitlines()
    assert lines[3:] == ["ExecStart=", *(f"ExecStart={line}" for line in expected)]


def test_the_commands_are_those_of_the_unit_and_its_drop_ins(machine: Machine) -> None:
    unit = "[Service]\nExecStart=/bin/a\n"
    more, anew = "[Service]\nExecStart=/bin/b\n", "[Service]\nExecStart=\nExecStart=/bin/c\n"
    assert commands(machine, unit, more) == [f"{RUN} backup /bin/{name}" for name in "ab"]
    assert commands(machine, unit, more, anew) == [f"{RUN} backup /bin/c"]


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("backup.service", "backup"),
        ("backup@a.service", "backup@a"),
        ("a-b\\x2dc.service", "a-b\\\\x2dc"),
    ],
)
def test_the_runs_are_named_after_the_unit(machine: Machine, unit: str, name: str) -> None:
    assert commands(machine, "[Service]\nExecStart=/bin/a\n", unit=unit) == [f"{RUN} {name} /bin/a"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", ["KillMode=mixed"]),
        ("KillMode=control-group\n", ["KillMode=mixed"]),
        ("KillMode=process\nKillMode=\n", ["KillMode=mixed"]),
        ("KillMode=process\n", []),
        ("KillMode=mixed\n", []),
        ("KillMode=none\n", []),
    ],
)
def test_a_service_is_stopped_by_one_signal_to_its_command(
    machine: Machine, written: str, expected: list[str]
) -> None:
    found = service(machine, f"[Service]\n{written}ExecStart=/bin/a\n")
    assert drop_in.text(found, RUN).splitlines()[2:-2] == expected


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"unit": "night.target"}, "night.target is not a service"),
    ({"loaded": False}, "systemd has not loaded backup.service"),
    ({"files": ()}, "systemd has not loaded backup.service"),
    ({"files": ("/run/systemd/transient/backup.service",)}, "backup.service is transient"),
    ({"kind": "notify"}, "backup.service has Type=notify"),
    ({"kind": "forking"}, "backup.service has Type=forking"),
    ({"kind": "dbus"}, "backup.service has Type=dbus"),
    ({"other_root": True}, "backup.service has a root folder of its own"),
    ({"files": ("/nowhere/backup.service",)}, "cannot read /nowhere/backup.service: No such file"),
]


@pytest.mark.parametrize(("changed", "why"), REFUSED)
def test_a_service_that_cannot_be_watched_is_refused(
    machine: Machine, changed: dict[str, Any], why: str
) -> None:
    found = service(machine, "[Service]\nExecStart=/bin/a\n")
    assert drop_in.problem(found) is None
    refused = found._replace(**changed)
    assert (drop_in.problem(refused) or "").startswith(why)
    with pytest.raises(ToolError, match=why):
        drop_in.text(refused, RUN)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("ExecStartPre=/bin/a", "has no ExecStart="),
        ("ExecStart=/bin/a\nExecStart=", "has no ExecStart="),
        ("ExecStart=-@/bin/a b", "gives its program another name"),
    ],
)
def test_commands_that_cannot_be_wrapped_are_refused(
    machine: Machine, written: str, why: str
) -> None:
    assert why in (drop_in.problem(service(machine, f"[Service]\n{written}\n")) or "")


def test_a_drop_in_is_written_and_deleted_without_a_trace(machine: Machine) -> None:
    found = service(machine, "[Service]\nExecStart=/bin/a\n")
    before = sorted(machine.root.rglob("*"))
    place = drop_in.write(found, drop_in.text(found, RUN), machine.places)
    assert place == f"{machine.places.units}/backup.service.d/autotask.conf"
    assert Path(place).read_text() == drop_in.text(found, RUN)
    assert mode_of(place) == 0o644
    assert drop_in.present(found, machine.places) == [place]
    assert drop_in.delete(found, machine.places) == [place]
    assert sorted(machine.root.rglob("*")) == before
    assert drop_in.delete(found, machine.places) == []


def test_other_drop_ins_stay(machine: Machine) -> None:
    found = service(machine, "[Service]\nExecStart=/bin/a\n", "[Service]\nNice=5\n")
    drop_in.write(found, drop_in.text(found, RUN), machine.places)
    drop_in.delete(found, machine.places)
    assert Path(found.files[1]).read_text() == "[Service]\nNice=5\n"


def test_written_twice_is_written_once(machine: Machine) -> None:
    found = service(machine, "[Service]\nExecStart=/bin/a\n")
    place = drop_in.write(found, drop_in.text(found, RUN), machine.places)
    watched = found._replace(files=(*found.files, place))
    assert drop_in.text(watched, RUN) == drop_in.text(found, RUN)
    assert drop_in.write(watched, drop_in.text(watched, RUN), machine.places) == place


def test_ours_comes_after_a_drop_in_that_sets_the_command(machine: Machine) -> None:
    anew = "[Service]\nExecStart=\nExecStart=/bin/b\n"
    found = service(machine, "[Service]\nExecStart=/bin/a\n")
    drop_in.write(found, drop_in.text(found, RUN), machine.places)
    edited = service(machine, "[Service]\nExecStart=/bin/a\n", "", anew)
    place = drop_in.write(edited, drop_in.text(edited, RUN), machine.places)
    assert os.path.basename(place) == "zz-autotask.conf" > "override.conf"
    assert drop_in.present(edited, machine.places) == [place]  # and not the first one, too
    assert drop_in.delete(edited, machine.places) == [place]


def test_a_file_of_another_is_neither_replaced_nor_deleted(machine: Machine) -> None:
    found = service(machine, "[Service]\nExecStart=/bin/a\n")
    text = "[Service]\nExecStart=\nExecStart=/bin/b\n"
    other = machine.write("/etc/systemd/system/backup.service.d/autotask.conf", text)
    found = found._replace(files=(*found.files, other))
    with pytest.raises(FileExistsError, match=r"not written by autotask: '/.*/autotask.conf'"):
        drop_in.write(found, drop_in.text(found, RUN), machine.places)
    assert drop_in.delete(found, machine.places) == []
    assert Path(other).read_text() == text


def test_a_drop_in_is_outdated_once_the_unit_starts_something_else(machine: Machine) -> None:
    found = service(machine, "[Service]\nExecStart=/bin/a\n")
    assert not drop_in.is_current(found, RUN, machine.places)
    place = drop_in.write(found, drop_in.text(found, RUN), machine.places)
    watched = found._replace(files=(*found.files, place))
    assert drop_in.is_current(watched, RUN, machine.places)
    assert not drop_in.is_current(watched, "/opt/run", machine.places)
    Path(found.files[0]).write_text("[Service]\nExecStart=/bin/a --new\n")
    assert not drop_in.is_current(watched, RUN, machine.places)
    Path(found.files[0]).unlink()
    assert not drop_in.is_current(watched, RUN, machine.places)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd is installed")
@pytest.mark.parametrize("written", [written for written, _ in COMMANDS if "|" not in written])
def test_systemd_accepts_the_drop_in(machine: Machine, written: str) -> None:
    """`|` is new in systemd 258."""
    written = written.encode("utf-8", "replace").decode()
    script = run_script.write(str(machine.root / "etc/autotask"), "/usr/bin/autotask-run")
    unit = machine.write(
        "/etc/systemd/system/backup.service", f"[Service]\nType=oneshot\nExecStart={written}\n"
    )
    found = Service("backup.service", True, kind="oneshot", files=(unit,))
    drop_in.write(found, drop_in.text(found, script), machine.places)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{machine.places.units}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    problems = [line for line in verified.stderr.splitlines() if "backup.service" in line]
    assert [line for line in problems if "is not executable" not in line] == []
    assert verified.returncode == 0


A_SERVICE = """\
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
Environment="WORDS=two words" HOME={home} AUTOTASK_HOME={home} DD_DOGSTATSD_URL=udp://127.0.0.1:9
ExecStart=-/bin/sh -c 'printf "%%s|" "$0" "$@" >> {out}; exit 3' %i "a  b" $WORDS ${{WORDS}} $$ \\
 \\\\ %%
ExecStart=/bin/sh -c 'echo end >> {out}'
"""
SAYS = "x|a  b|two|words|two words|$|\\|%|end\n"


def test_a_real_systemd_runs_the_same_commands_and_they_are_recorded(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "root")
    out = tmp_path / "out"
    machine.write("/etc/systemd/system/tests.target", "[Unit]\n")
    machine.write("/etc/systemd/system/a@.service", A_SERVICE.format(out=out, home=home))
    script = run_script.write(str(machine.root / "etc/autotask"), str(LAUNCHER))
    with booted(machine):
        machine.on_path(monkeypatch)
        assert _started(machine, out) == SAYS

        found = timers.service("a@x.service")
        assert drop_in.problem(found) is None
        drop_in.write(found, drop_in.text(found, script), machine.places)
        timers.reload()
        assert _started(machine, out) == SAYS
        watched = timers.service("a@x.service")
        assert drop_in.is_current(watched, script, machine.places)

        run_script.write(str(machine.root / "etc/autotask"), "/gone/autotask-run")
        assert _started(machine, out) == SAYS

        drop_in.delete(watched, machine.places)
        timers.reload()
        assert timers.service("a@x.service") == found
    runs = [(run["task"], run["status"], run["exit_code"]) for run in records()]
    assert runs == [("a@x", "failure", 3), ("a@x", "success", None)]


def _started(machine: Machine, out: Path) -> str:
    """Start the service; return what it has written."""
    out.unlink(missing_ok=True)
    subprocess.run([machine.programs / "systemctl", "start", "a@x.service"], check=True)
    return out.read_text()


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("NoExecPaths=/", "b.service may not execute other programs (NoExecPaths=)"),
        (
            "SystemCallFilter=@basic-io",
            "b.service may not make all usual system calls (SystemCallFilter=)",
        ),
        ("SystemCallFilter=@basic-io @system-service", None),
        ("SystemCallFilter=~@mount", None),
    ],
)
def test_a_service_in_which_autotask_run_could_not_start_is_refused(
    tmp_path: Path, setting: str, why: str | None
) -> None:
    unit = tmp_path / "b.service"
    unit.write_text(f"[Service]\n{setting}\nExecStart=/usr/bin/backup\n")
    assert drop_in.problem(Service("b.service", True, "oneshot", files=(str(unit),))) == why
