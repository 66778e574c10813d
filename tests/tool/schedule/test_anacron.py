"""Lines of an anacrontab, as anacron reads them."""

from __future__ import annotations

import pytest

from autotask.tool.schedule import anacron

# A file, and of each job: line, period, delay in seconds, identifier, command.
FILES = [
    ("1 5 daily /srv/job", [(1, "1", 300, "daily", "/srv/job")]),
    ("\n# no\n\t# no\n7\t10  weekly\tjob  a b \n", [(4, "7", 600, "weekly", "job  a b ")]),
    ("@monthly 0 id job", [(1, "@monthly", 0, "id", "job")]),
    ("1 5 a job \\\n b\n2 5 c job", [(1, "1", 300, "a", "job   b"), (3, "2", 300, "c", "job")]),
    ("\\\n1 5 a job", [(1, "1", 300, "a", "job")]),
    (
        "1 5 a job\nRANDOM_DELAY=6\n1 5 b job",
        [(1, "1", 300, "a", "job"), (3, "1", 660, "b", "job")],
    ),
    ("RANDOM_DELAY = 6\n1 5 b job", [(2, "1", 660, "b", "job")]),
    ("RANDOM_DELAY=much\n1 5 b job", [(2, "1", 300, "b", "job")]),
    ("1 5 a A=b job", [(1, "1", 300, "a", "A=b job")]),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), FILES)
def test_the_jobs_of_a_file(text: str, expected: list[tuple[object, ...]]) -> None:
    entries, bad = anacron.read(text.encode())
    assert [entry[:5] for entry in entries] == expected
    assert bad == []


@pytest.mark.parametrize(
    "line", ["x", "1 5 a", "1 x a job", "-1 5 a job", "1 5 a/b job", "@reboot 5 a job", "1.5 5 a b"]
)
def test_a_line_that_anacron_skips(line: str) -> None:
    assert anacron.read(f"A=b\n{line}\n1 5 good job\n".encode())[1] == [2]


def test_a_job_has_the_environment_above_it() -> None:
    first, second = anacron.read(b"A=1\nB = 2 \n1 5 a job\nA=3\n1 5 b job\n")[0]
    assert first.environment == {"A": "1", "B": "2"}
    assert second.environment == {"A": "3", "B": "2"}


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("1", "every day, by anacron"),
        ("7", "every 7 days, by anacron"),
        ("@daily", "every day, by anacron"),
        ("@weekly", "every week, by anacron"),
        ("@monthly", "every month, by anacron"),
        ("@yearly", "every year, by anacron"),
        ("@annually", "every year, by anacron"),
    ],
)
def test_a_period_in_words(period: str, words: str) -> None:
    ((entry,), _) = anacron.read(f"{period} 5 id job\n".encode())
    assert entry.words == words
