"""What root's `autotask cron watch` does with the crontab of a user who means harm."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import write
from tool.cron.machines import Machine, isolated, stand_in

JOB = b"*/5 * * * *\tjob\n"
STRANGER = "daemon"  # has no crontab, and a uid of its own


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with isolated(tmp_path) as machine:
        if not machine.prefix:
            pytest.skip("needs root and a namespace of mounts")
        folder = machine.folder / "bin"
        stand_in(folder)
        machine.env["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        yield machine


def test_a_path_that_leads_out_of_the_folder_is_not_written(machine: Machine) -> None:
    place = machine.folder / "theirs" / "autotask"
    path = f"/etc/autotask/../..{place}/shell.tmp.theirs"
    text = f"SHELL={path}\n".encode() + JOB
    write(machine.folder / "bin" / "table", text.decode())
    machine.autotask("cron", "watch", "--user", STRANGER, "--line", "2", "--yes")
    assert not place.exists()
    machine.autotask("cron", "watch", "--user", STRANGER, "--yes")
    assert not place.exists()
    place.mkdir(parents=True)
    script = write(place / "shell.tmp.theirs", "#!/bin/sh\n")
    script.chmod(0o755)
    machine.autotask("cron", "watch", "--user", STRANGER, "--yes")
    assert script.read_text() == "#!/bin/sh\n"


def test_the_file_for_crontab_is_in_a_folder_of_roots(machine: Machine) -> None:
    """In /tmp its owner could put a link in its place, to a crontab that only root may read."""
    account = pwd.getpwnam(STRANGER)
    folder = machine.folder / "bin"
    try_it = (
        f'stat -c "%u %a" "$PWD" "$1" >"{folder}/owners"; '
        f'setpriv --reuid={account.pw_uid} --clear-groups cat "$1" >"{folder}/seen"; '
        'write "$1"'
    )
    stand_in(folder, writing=try_it.replace("$PWD", "$cwd"))
    (folder / "table").write_bytes(JOB)
    ended = machine.autotask("cron", "watch", "--user", STRANGER, "--yes")
    assert ended.status == 0, ended.stderr
    of_folder, of_file = (folder / "owners").read_text().splitlines()
    assert of_folder == "0 711"
    assert of_file == f"{account.pw_uid} 600"
    assert (folder / "seen").read_bytes().endswith(JOB)


def test_a_crontab_whose_shell_has_no_script_does_not_stop_the_others(machine: Machine) -> None:
    table = machine.at("/var/spool/cron/crontabs") / STRANGER
    table.write_bytes(b"SHELL=/" + b"a" * 300 + b"\n" + JOB)
    os.chown(table, pwd.getpwnam(STRANGER).pw_uid, -1)
    table.chmod(0o600)
    (machine.folder / "bin" / "table").write_bytes(table.read_bytes())
    other = machine.at("/etc/cron.d/other")
    other.write_bytes(b"17 * * * *\troot\tjob\n")
    ended = machine.autotask("cron", "watch", "--all", "--yes")
    assert ended.status == 1
    assert "File name too long" in ended.stderr
    assert other.read_bytes().startswith(b"SHELL=/etc/autotask/shell\n")
    assert (machine.folder / "bin" / "table").read_bytes() == table.read_bytes()


def test_a_very_long_file_as_a_script_is_not_read(machine: Machine) -> None:
    script = machine.folder / "autotask" / "shell"
    script.parent.mkdir()
    with script.open("wb") as file:
        file.truncate(1 << 40)
    script.chmod(0o755)
    (machine.folder / "bin" / "table").write_bytes(f"SHELL={script}\n".encode() + JOB)
    ended = machine.autotask("cron", "watch", "--user", STRANGER, "--yes")
    assert ended.status == 0, ended.stderr


def test_scripts_that_a_user_could_not_start_are_not_named(machine: Machine) -> None:
    table = machine.folder / "bin" / "table"
    table.write_bytes(JOB)
    machine.run("install", "-d", "-m", "0700", "/etc/autotask")
    ended = machine.autotask("cron", "watch", "--user", STRANGER, "--yes")
    assert ended.status == 1
    assert f"{STRANGER} cannot execute /etc/autotask/shell: no job of " in ended.stderr
    assert table.read_bytes() == JOB
    machine.run("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/etc/autotask")
    ended = machine.autotask("cron", "watch", "--yes")
    assert ended.status == 1
    assert "root cannot execute /etc/autotask/shell: no job of root would run" in ended.stderr
    assert table.read_bytes() == JOB
    machine.run("umount", "/etc/autotask")
    machine.run("chmod", "0711", "/etc/autotask")
    ended = machine.autotask("cron", "watch", "--user", STRANGER, "--yes")
    assert ended.status == 0, ended.stderr
    assert table.read_bytes() == b"SHELL=/etc/autotask/shell\n" + JOB
