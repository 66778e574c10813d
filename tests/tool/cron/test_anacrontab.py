"""Anacrontabs with and without autotask's line, byte by byte, and what anacron makes of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import write
from tool.cron.private_system import unpacked

from autotask.tool.cron import anacrontab

ETC = "/etc/autotask"
USUAL = b"/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"
FIRST = b"PATH=/etc/autotask/bin:" + USUAL + b"\n"
JOB = b"1\t5\tcron.daily\trun-parts --report /etc/cron.daily\n"
# As Debian installs it.
DEBIANS = (
    b"# /etc/anacrontab\n\nSHELL=/bin/sh\nPATH=/sbin:/bin\nHOME=/root\n\n# replace cron's\n" + JOB
)

WATCHED = {
    "Debian's": (DEBIANS, DEBIANS.replace(b"HOME", b"PATH=/etc/autotask/bin:/sbin:/bin\nHOME")),
    "no path": (JOB, FIRST + JOB),
    "nothing": (b"", FIRST),
    "spaces, which belong to the value": (
        b" PATH =\t/bin \n" + JOB,
        b" PATH =\t/bin \nPATH=/etc/autotask/bin:\t/bin \n" + JOB,
    ),
    "two paths": (
        b"PATH=/bin\n" + JOB + b"PATH=/sbin\n" + JOB,
        b"PATH=/bin\nPATH=/etc/autotask/bin:/bin\n"
        + JOB
        + b"PATH=/sbin\nPATH=/etc/autotask/bin:/sbin\n"
        + JOB,
    ),
    "a path that goes on": (
        b"PATH=/bin:\\\n/sbin\n" + JOB,
        b"PATH=/bin:\\\n/sbin\nPATH=/etc/autotask/bin:/bin:\\\n/sbin\n" + JOB,
    ),
    "a job that goes on": (
        b"1 5 a env \\\nPATH=/x job\n",
        FIRST + b"1 5 a env \\\nPATH=/x job\n",
    ),
    "no newline after a path": (JOB + b"PATH=/bin", JOB + b"PATH=/bin"),
    "no newline after a job": (JOB[:-1], FIRST + JOB[:-1]),
    "an empty path": (b"PATH=\n" + JOB, b"PATH=\nPATH=/etc/autotask/bin:\n" + JOB),
}


@pytest.mark.parametrize("case", WATCHED)
def test_watching_adds_lines_and_changes_none(case: str) -> None:
    before, after = WATCHED[case]
    assert anacrontab.watch(before, ETC) == after
    assert anacrontab.watch(after, ETC) == after
    assert anacrontab.unwatch(after) == before
    assert anacrontab.unwatch(before) == before


EDITED = {
    "a path more, above": (b"PATH=/bin\n" + FIRST, b"PATH=/bin\nPATH=" + USUAL + b"\n"),
    "the path is gone": (b"PATH=/etc/autotask/bin:/bin\n", b"PATH=/bin\n"),
    "our line twice": (FIRST + FIRST + JOB, JOB),
    "another's folder": (b"PATH=/home/ann/autotask/bin:" + USUAL + b"\n" + JOB, JOB),
    "our folder is not the first": (b"PATH=/bin:/etc/autotask/bin:/x\n",) * 2,
}


@pytest.mark.parametrize("case", EDITED)
def test_what_was_edited_since_stays(case: str) -> None:
    edited, without = EDITED[case]
    assert anacrontab.unwatch(edited) == without


_LINES = st.sampled_from(
    [b"PATH=/bin", b" PATH = /bin\t", b"PATH=", b"#PATH=/x", JOB[:-1], b"XPATH=/y", b"\\", b"a\\"]
)


@given(st.lists(_LINES | st.binary(max_size=6), max_size=8).map(b"\n".join), st.booleans())
def test_any_anacrontab_comes_back_byte_by_byte(text: bytes, ended: bool) -> None:
    text += b"\n" * ended
    watched = anacrontab.watch(text, ETC)
    assert anacrontab.unwatch(watched) == text
    assert anacrontab.watch(watched, ETC) == watched


def test_its_jobs_are_counted_by_what_they_start() -> None:
    text = DEBIANS + b"@monthly 15 x nice run-parts /etc/x\n7 10 backup /srv/backup.sh\n\n"
    assert anacrontab.jobs(text) == (2, 1)
    assert anacrontab.jobs(anacrontab.watch(text, ETC)) == (2, 1)
    assert anacrontab.folders(text) == []
    assert anacrontab.folders(anacrontab.watch(text, ETC)) == ["/etc/autotask/bin"]


def test_anacron_finds_the_stand_in_for_run_parts(tmp_path: Path) -> None:
    anacron = unpacked("anacron")
    if anacron is None:
        pytest.skip("anacron is not installed")
    (tmp_path / "spool").mkdir()
    stand_in = write(tmp_path / "autotask" / "bin" / "run-parts", '#!/bin/sh\necho "$@" >>"$OUT"\n')
    stand_in.chmod(0o755)
    table = tmp_path / "anacrontab"
    out = f"OUT={tmp_path}/out\n".encode()
    table.write_bytes(
        anacrontab.watch(
            out + b"PATH=/bin:/usr/bin\n" + b"1 0 x run-parts /etc/x\n", str(tmp_path / "autotask")
        )
    )
    words = [anacron, "-f", "-n", "-d", "-t", str(table), "-S", str(tmp_path / "spool")]
    subprocess.run(words, check=True, capture_output=True)
    assert (tmp_path / "out").read_text() == "/etc/x\n"


def test_a_run_parts_by_its_path_is_not_watched() -> None:
    text = b"1 5 a nice run-parts /etc/a\n1 5 b cd / && run-parts /etc/b\n"
    assert anacrontab.jobs(text) == (2, 0)
    text += b"1 5 c /bin/run-parts /etc/c\n"
    assert anacrontab.jobs(text) == (2, 1)
