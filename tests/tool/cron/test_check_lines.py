"""Lines that cron refuses or misreads, in a table that Debian's own crontab(1) judges as well."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tool.schedule import crontab_lines

from autotask.tool.cron import check_lines
from autotask.tool.schedule.crontab import read

ALL = "so cron ignores the whole crontab"
JOB = "* * * * * job\n"
# A crontab, and what is found in it: its status, and the text after `tab, `.
CASES = [
    # cron takes it, and all is well
    ("", []),
    ("\n \t\n# 61 * * * * job\n", []),
    (JOB, []),
    ("@reboot job\n@daily\tjob\n", []),
    ("1-5/2,7,*/10 0~12 1,15 jan-mar mon-fri job\n", []),
    ("5~ * * * * job\n", []),
    ("* * * * *\n", []),
    ("* * * * * job\n# the end", []),
    ("* * * * * job\n \t", []),
    (f"* * * * * {'x' * 998}\n", []),
    (f"@daily {'ö' * 499}\n", []),
    (f"\t*  *\t* * *   {'x' * 998}\n", []),
    (f"# {'x' * 5000}\n", []),
    ("A=''\nB = \"x y\"\n'C' = d\nE=f#g\n", []),
    # it does not
    ("61 * * * * job\n", [("problem", f"line 1: minute '61' is not between 0 and 59, {ALL}")]),
    (
        JOB + "job\n* 24 * * * job\n",
        [
            ("problem", f"line 2: it has fewer than five fields, {ALL}"),
            ("problem", f"line 3: hour '24' is not between 0 and 23, {ALL}"),
        ],
    ),
    ("A=\n", [("problem", f"line 1: it has fewer than five fields, {ALL}")]),
    ("export A=b\n", [("problem", f"line 1: it has fewer than five fields, {ALL}")]),
    ("5/15 * * * * job\n", [("problem", f"line 1: minute '5/15' is not what cron reads, {ALL}")]),
    (
        "-* * * * * job\n",
        [("problem", f"line 1: only cronie reads a `-` before the minute, {ALL}")],
    ),
    ("~ * * * * job\n", [("problem", f"line 1: a `~` needs a number before it, {ALL}")]),
    ("0 ~7 * * * job\n", [("problem", f"line 1: a `~` needs a number before it, {ALL}")]),
    ("* * * * * a\0b\n", [("problem", f"line 1: it contains a NUL byte, {ALL}")]),
    ("* * * * * job", [("problem", f"line 1: it does not end with a newline, {ALL}")]),
    (JOB + "A=b", [("problem", f"line 2: it does not end with a newline, {ALL}")]),
    (
        f"* * * * * {'x' * 999}\n",
        [("problem", f"line 1: the command has 999 bytes, and cron takes 998, {ALL}")],
    ),
    (
        f"@daily {'ö' * 499} %\n",
        [("problem", f"line 1: the command has 1000 bytes, and cron takes 998, {ALL}")],
    ),
    ("\r\n", [("problem", f"line 1: it contains nothing but a carriage return, {ALL}")]),
    # it takes something else
    (
        "23-0 * * * * job\n",
        [("problem", "line 1: minute '23-0' ends before it starts, so cron never runs it")],
    ),
    (
        JOB + "0 0 31 2 * job\n",
        [("problem", "line 2: none of its months has such a day, so cron never runs it")],
    ),
    (
        "* * * * fri#2 job\n",
        [
            (
                "problem",
                "line 1: day of week 'fri#2' is not between 0 and 7, so cron reads something else",
            )
        ],
    ),
    (
        "1-5-7 * * * * job\n",
        [("problem", "line 1: minute '5-7' is not between 0 and 59, so cron reads something else")],
    ),
    (
        "* * * * * job\r\n# x\r\n* * * * * job\r\n",
        [("problem", "lines 1 and 3: a carriage return at the end is part of the command")],
    ),
    # assignments
    ("PATH=$HOME/bin:/bin\n", [("warning", "line 1: cron does not expand `$HOME` in PATH")]),
    ("A=b\nC=${A}c\n", [("warning", "line 2: cron does not expand `${A}` in C")]),
    ("PATH=/bin:~/bin\n", [("warning", "line 1: cron does not expand `~/` in PATH")]),
    ("HOST=$(hostname)\n", [("warning", "line 1: cron does not expand `$(hostname)` in HOST")]),
    ("DAY=`date`\n", [("warning", "line 1: cron does not expand ``date`` in DAY")]),
    ("PASSWORD=pa$word\nPRICE=5$\nA=~/x\n", []),
    ("CRON_TZ=Asia/Tokyo\n", [("warning", "line 1: Debian's cron ignores CRON_TZ")]),
    ("TZ=Asia/Tokyo\n", []),
    (f"A={'x' * 996}\n", []),
    (f"A={'x' * 997}\n", [("warning", "line 1: cron cuts A off after 998 bytes")]),
    # percent signs
    (
        "0 1 * * * tar cf /srv/$(date +%Y-%m).tar /srv\n",
        [("warning", "line 1: cron ends the command before `%Y-%m).tar`")],
    ),
    ("0 1 * * * echo `date %`\n", [("warning", "line 1: cron ends the command before `%``")]),
    ("0 1 * * * date '+%F' >> log\n", [("warning", "line 1: cron ends the command before `%F'`")]),
    ("0 1 * * * date +%\n", [("warning", "line 1: cron ends the command before `%`")]),
    ('0 1 * * * echo "5 % of it"\n', [("warning", "line 1: cron ends the command before `%of`")]),
    (
        r"0 1 * * * tar cf $(date +\%Y-\%m).tar 'a%b' /srv" + "\n",
        [("warning", "line 1: cron ends the command before `%b'`")],
    ),
    (r"0 1 * * * tar cf $(date +\%Y-\%m).tar /srv" + "\n", []),
    ("0 1 * * * mail -s 'It is \"one\"' ann%Hello,%%it is one.\n", []),
    ("0 1 * * * cat%don't\n", []),
    (r'0 1 * * * echo "\"" $(true) "$(true)" it\'s%' + "\n", []),
]


def found(text: str, system: bool = False, debians: bool = True) -> list[tuple[str, str]]:
    findings = check_lines.findings("tab", read(text.encode(), system), debians)
    return [(finding.status, finding.text.removeprefix("tab, ")) for finding in findings]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_lines_that_cron_refuses_or_misreads_are_found(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert found(text) == expected


def debians_crontab() -> str:
    program = shutil.which("crontab")
    usage = program and subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    if not usage or "dry run" not in usage.stdout + usage.stderr:
        pytest.skip("the package `cron` of Debian is not installed")
    return str(program)


def test_debians_crontab_refuses_what_is_said_to_be_ignored(tmp_path: Path) -> None:
    crontab = debians_crontab()
    rows = [*crontab_lines.PUBLISHED, *crontab_lines.OUR_OWN]
    texts = [text for text, _ in CASES] + [f"{row}\n" for row in rows if row.user is None]
    wrong = []
    for text in texts:
        (tmp_path / "tab").write_bytes(text.encode())
        words = [crontab, "-n", str(tmp_path / "tab")]
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        refused = any(told.endswith(ALL) for _, told in found(text))
        if refused != bool(ended.returncode):
            wrong.append((text, ended.stderr))
    assert not wrong


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("* * * * * root job\n", ""),
        ("* * * * * root \n", ""),
        ("* * * * * root\n", f"line 1: it has no command, {ALL}"),
        ("* * * * *\n", f"line 1: it has no user and no command, {ALL}"),
        ("* * * * * no-such-user job\n", f"line 1: there is no user no-such-user, {ALL}"),
        (f"@daily root {'x' * 998}\n", ""),
        (
            f"@daily root {'x' * 999}\n",
            f"line 1: the command has 999 bytes, and cron takes 998, {ALL}",
        ),
        ("@daily root date +%F\n", "line 1: cron ends the command before `%F`"),
    ],
)
def test_a_systems_crontab_has_users(line: str, told: str) -> None:
    assert [text for _, text in found(line, system=True)] == [told] * bool(told)


def test_cronie_reads_more() -> None:
    text = f"CRON_TZ=Asia/Tokyo\n-* * * * * job\n~ * * * * {'x' * 2000}\nA={'x' * 2000}\n"
    assert len(found(text)) == 4
    assert found(text, debians=False) == []


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((3,), "tab, line 3"),
        ((3, 7), "tab, lines 3 and 7"),
        ((3, 7, 12), "tab, lines 3, 7 and 12"),
    ],
)
def test_a_finding_says_where(numbers: tuple[int, ...], text: str) -> None:
    assert check_lines.at("tab", *numbers) == text
