"""Crontabs are written safely: whatever crontab(1) does, and whenever the command is killed."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tool.cron.machines import USAGES, StandIn, stand_in

from autotask.tool.cron import install, tables
from autotask.tool.cron.tables import SystemFile, UsersCrontab
from autotask.tool.errors import ToolError

OLD = b"5 * * * * old\n"
NEW = b"SHELL=/etc/autotask/shell\n5 * * * * old\n"


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is first in the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def replaced(crontab: StandIn, new: bytes = NEW) -> str:
    """Replace the old crontab as `autotask cron watch` does; return where the copy is."""
    table = tables.of_user(None)
    crontab.table.write_bytes(OLD)
    table.check(new)
    return install.install(table, OLD, new, install.copies_folder())


@pytest.mark.parametrize(
    ("kind", "check"), [("debian", ["-n FILE"]), ("cronie", ["-T FILE"]), ("busybox", [])]
)
def test_each_crons_crontab_is_called_as_it_wants(
    kind: str, check: list[str], on_path: Path
) -> None:
    crontab = stand_in(on_path, kind)
    copy = replaced(crontab)
    assert crontab.table.read_bytes() == NEW
    assert Path(copy).read_bytes() == OLD
    assert crontab.calls() == ["-h", *check, "-l", "FILE", "-l"]


def test_the_crontab_of_another_user_is_named(on_path: Path) -> None:
    crontab = stand_in(on_path)
    crontab.table.write_bytes(OLD)
    table = UsersCrontab("nobody")
    copy = install.install(table, OLD, NEW, install.copies_folder())
    assert crontab.calls() == ["-u nobody -l", "-u nobody FILE", "-u nobody -l"]
    assert "crontab-of-nobody-" in copy
    assert table.restoring("/a copy") == "crontab -u nobody '/a copy'"
    # Debian's crontab cuts a longer name.
    assert table.restoring("/" + 99 * "a") == "crontab -u nobody - </" + 99 * "a"


@pytest.mark.parametrize("kind", ["debian", "cronie"])
def test_a_crontab_that_is_refused_is_not_written(kind: str, on_path: Path) -> None:
    crontab = stand_in(on_path, kind)
    with pytest.raises(ToolError, match=r"^`crontab -.` failed: line 3: bad minute$"):
        replaced(crontab, b"refused\n")
    assert crontab.table.read_bytes() == OLD
    assert "FILE" not in crontab.calls()


ONCE = 'if first {0}; then {1}; else write "$1"; fi'
# What crontab(1) does wrong, what the user is told, and what is there afterwards.
FAULTS = {
    "fails": (
        "echo 'no space left' >&2; exit 1",
        "crontab of .* was not changed: `crontab` failed: no space left",
        OLD,
    ),
    "fails and says nothing": ("exit 3", "not changed: `crontab` failed: exit status 3", OLD),
    "is killed": ("kill -9 $$", "not changed: `crontab` failed: exit status -9", OLD),
    "writes nothing": (":", "not changed: `crontab` succeeded, but wrote nothing", OLD),
    "writes half and fails, once": (
        ONCE.format("a", 'head -c 9 "$1" >table; exit 1'),
        "not changed: `crontab` failed: exit status 1; it was restored",
        OLD,
    ),
    "writes an empty one, once": (
        ONCE.format("a", ": >table"),
        "not changed: `crontab` wrote something else than it was given; it was restored",
        OLD,
    ),
    "deletes it, once": (ONCE.format("a", "rm table"), "wrote something else.*restored", OLD),
    "adds a header, once": (
        ONCE.format("a", 'echo "# DO NOT EDIT" | cat - "$1" >table'),
        "wrote something else.*restored",
        OLD,
    ),
    "writes half, always": (
        'head -c 9 "$1" >table',
        "crontab of .* is damaged: .*restore that if need be: crontab .*/crontabs/crontab-of-",
        OLD[:9],
    ),
    "writes, but fails": (
        'write "$1"; echo "no daemon" >&2; exit 1',
        "crontab of .* was written, but `crontab` failed: no daemon",
        NEW,
    ),
    "hangs": ("exec sleep 600", r"not changed: `crontab \S+` did not end within", OLD),
    "hangs after writing": ('write "$1"; exec sleep 600', "was written, but .* did not end", NEW),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_crontab_does_the_user_is_told_what_is_there(
    fault: str, on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, told, left = FAULTS[fault]
    if "hangs" in fault:
        monkeypatch.setattr(tables, "_PATIENCE", 0.5)
    crontab = stand_in(on_path, writing=writing)
    with pytest.raises(ToolError, match=told) as error:
        replaced(crontab)
    assert "\n" not in str(error.value)
    assert crontab.table.read_bytes() == left
    (copy,) = Path(install.copies_folder()).iterdir()
    assert copy.read_bytes() == OLD


def test_a_crontab_that_cannot_be_read_back_has_a_copy(on_path: Path) -> None:
    crontab = stand_in(on_path, listing="! first a || { cat table; exit 0; }; exit 1")
    with pytest.raises(ToolError, match=r"cannot be read back: .* restore that if need be: cro"):
        replaced(crontab)


def test_a_crontab_that_was_changed_meanwhile_is_not_overwritten(on_path: Path) -> None:
    crontab = stand_in(on_path, listing="echo '6 * * * * other' >>table")
    with pytest.raises(ToolError, match="was changed meanwhile: run the command again"):
        replaced(crontab)
    assert "FILE" not in crontab.calls()


@pytest.mark.parametrize("text", [b"", b"\n \n"])
def test_an_empty_crontab_is_never_written(text: bytes, on_path: Path) -> None:
    crontab = stand_in(on_path)
    with pytest.raises(ToolError, match="would be empty: delete it instead"):
        replaced(crontab, text)
    with pytest.raises(ToolError, match="would be empty"):
        tables.of_user(None).write(text)
    assert crontab.table.read_bytes() == OLD


# How `crontab -l` fails, and what the user is told; None if there simply is no crontab.
LISTINGS = {
    "Debian's": ("echo 'no crontab for ann' >&2; exit 1", None),
    "with its name": ("echo 'crontab: no crontab for ann' >&2; exit 1", None),
    "not allowed": (
        "echo 'You (ann) are not allowed to use this program (crontab)' >&2; exit 1",
        r"^`crontab -l` failed: You \(ann\) are not allowed to use this program \(crontab\)$",
    ),
    "busybox's": ("echo \"crontab: can't open 'ann'\" >&2; exit 1", "can't open 'ann'$"),
    "without a word": ("exit 2", "^`crontab -l` failed: exit status 2$"),
    "two lines": ("printf 'a\\n b\\n' >&2; exit 1", "^`crontab -l` failed: a; b$"),
}


@pytest.mark.parametrize("case", LISTINGS)
def test_only_no_crontab_is_no_crontab(case: str, on_path: Path) -> None:
    listing, told = LISTINGS[case]
    stand_in(on_path, listing=listing)
    if told is None:
        assert tables.of_user(None).read() is None
        return
    with pytest.raises(ToolError, match=told):
        tables.of_user(None).read()


def test_a_crontab_may_say_what_crontab_says(on_path: Path) -> None:
    text = b"# there is no crontab for ann\n"
    stand_in(on_path).table.write_bytes(text)
    assert tables.of_user(None).read() == text


def test_without_crontab_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="the command `crontab` was not found: install cron"):
        tables.of_user(None).read()


def test_crontab_is_asked_in_english_and_without_its_header(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRONTAB_NOHEADER", "N")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    stand_in(on_path, listing='echo "$LC_ALL $CRONTAB_NOHEADER"; exit')
    assert tables.of_user(None).read() == b"C Y\n"


# --- copies --------------------------------------------------------------------------------------


def test_each_copy_has_a_name_of_its_own_and_is_private(home: Path) -> None:
    folder = install.copies_folder()
    assert folder == str(home / "crontabs")
    paths = [Path(install.keep(folder, "/etc/cron.d/job", OLD)) for _ in range(3)]
    names = [path.name for path in paths]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"etc-cron\.d-job-\d{8}T\d{6}Z(-[23])?", name) for name in names)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_without_a_home_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTOTASK_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    nobody = os.getuid() + 12345  # a user of a container, who has no entry
    monkeypatch.setattr(os, "getuid", lambda: nobody)
    with pytest.raises(ToolError, match="no home folder is known: set AUTOTASK_HOME"):
        install.copies_folder()


# --- system crontabs -----------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Give a system crontab."""
    path = tmp_path / "cron.d" / "job"
    path.parent.mkdir()
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def test_a_system_crontab_is_replaced_with_its_mode_and_owner(job: Path) -> None:
    if os.geteuid() == 0:
        os.chown(job, 3, 4)
    before = job.stat()
    copy = install.install(tables.named(str(job)), OLD, NEW, install.copies_folder())
    after = job.stat()
    assert (job.read_bytes(), Path(copy).read_bytes()) == (NEW, OLD)
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_ino != before.st_ino  # renamed: nobody has seen half of it
    assert os.listdir(job.parent) == ["job"]


def test_what_killed_commands_have_left_is_deleted(job: Path) -> None:
    with subprocess.Popen(["true"]) as killed:
        pass
    for process in (os.getpid(), killed.pid):
        (job.parent / f".job.autotask.{process}").write_bytes(b"half")
    install.install(tables.named(str(job)), OLD, NEW, install.copies_folder())
    assert os.listdir(job.parent) == ["job"]


def test_two_commands_at_once_write_one_of_two_whole_files(job: Path) -> None:
    """Each of them again and again, until one is done."""
    loop = (
        "import sys; from autotask.tool.cron.replacing import replace\n"
        "for _ in range(200): replace(sys.argv[1], sys.argv[2].encode() * 100_000, 0o644)"
    )
    job.write_bytes(b"a" * 100_000)
    words = [sys.executable, "-c", loop, str(job)]
    with subprocess.Popen([*words, "a"]) as first, subprocess.Popen([*words, "b"]) as second:
        seen = set()
        while first.poll() is None or second.poll() is None:
            seen.add(job.read_bytes())
    assert (first.returncode, second.returncode) == (0, 0)
    assert seen <= {b"a" * 100_000, b"b" * 100_000}
    assert os.listdir(job.parent) == ["job"]


def test_a_link_stays_a_link(job: Path) -> None:
    link = job.parent / "link"
    link.symlink_to("job")
    install.install(tables.named(str(link)), OLD, NEW, install.copies_folder())
    assert link.is_symlink()
    assert job.read_bytes() == NEW


def test_extended_attributes_stay(job: Path) -> None:
    try:
        os.setxattr(job, "user.label", b"cron")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    install.install(tables.named(str(job)), OLD, NEW, install.copies_folder())
    assert os.getxattr(job, "user.label") == b"cron"


def test_a_system_crontab_that_was_changed_meanwhile_is_not_overwritten(job: Path) -> None:
    job.write_bytes(b"other\n")
    with pytest.raises(ToolError, match=f"^{job} was changed meanwhile"):
        install.install(tables.named(str(job)), OLD, NEW, install.copies_folder())
    assert job.read_bytes() == b"other\n"


def test_an_empty_system_crontab_is_never_written(job: Path) -> None:
    for act in (tables.named(str(job)).check, tables.named(str(job)).write):
        with pytest.raises(ToolError, match=f"^{job} would be empty: delete it instead$"):
            act(b"\n")
    assert job.read_bytes() == OLD


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/var/spool/cron/crontabs/ann", "backup", "/srv/shop/crontab"]
)
def test_another_file_is_no_crontab(path: str) -> None:
    with pytest.raises(ToolError, match="for a user's crontab use --user"):
        tables.named(path)


@pytest.mark.parametrize("path", ["/etc/crontab", "/etc/anacrontab", "/etc/cron.d/job"])
def test_a_system_crontab_is_known_by_its_path(path: str) -> None:
    assert tables.named(path) == SystemFile(path)
    assert tables.named(path).restoring("/a copy") == f"cp '/a copy' {path}"


def test_the_stand_ins_speak_as_the_crons_do() -> None:
    assert set(USAGES) == {"debian", "cronie", "busybox"}
