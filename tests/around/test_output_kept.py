"""What is kept of a failure's output: masked, whole lines, valid text, and not too many files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotask.around.output_kept import MOST, keep, text_of

CONTEXT = 100
KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"MIIEow\n" * 10 + b"-----END RSA PRIVATE KEY-----\n"
# What the ends of the streams were, how much may be kept, and what is.
ENDS: dict[str, tuple[list[bytes], int, str]] = {
    "nothing": ([b"", b""], 100, ""),
    "all of it": ([b"one\ntwo"], 100, "one\ntwo"),
    "errors behind output": ([b"out\n", b"err\n"], 100, "out\nerr\n"),
    "a line that has no end": ([b"out", b"err"], 100, "out\nerr"),
    "errors before output": ([b"out\n" * 5, b"err\n" * 3], 16, "out\nerr\nerr\nerr\n"),
    "no room for output": ([b"out\n", b"err\n" * 3], 12, "err\nerr\nerr\n"),
    "just whole lines": ([b"first line\nsecond\nthird\n"], 13, "second\nthird\n"),
    "whole lines": ([b"first line\nsecond\nthird\n"], 15, "second\nthird\n"),
    "a part of a line": ([b"0123456789" * 2], 5, "56789"),
    "a part of the last line": ([b"one\n" + b"0123456789" * 2 + b"\n"], 6, "56789\n"),
    "letters": (["äöü".encode() * 3], 5, "öü"),
    "no text": ([b"a\377\0b\a\n"], 100, "a\ufffdb\n"),
    "colours": ([b"\33[1;31mred\33[0m \33]0;title\7\33(Bblack\33M\n"], 100, "red black\n"),
    "line ends": ([b"one\r\n 5%\r10%\rdone\n"], 100, "one\n 5%\n10%\ndone\n"),
    "a secret": ([b"password=hunter2\n"], 100, "password=***\n"),
    "a secret in colours": ([b"password\33[0m=\33[1mhunter2\n"], 100, "password=***\n"),
    "a secret that is cut": ([b"x password=" + b"hunter2" * 20 + b"\nend\n"], 10, "end\n"),
    "half of a secret": ([b"unter2" * 30 + b"\nend\n"], 50, "end\n"),
    "half of a word": ([b"unter2" * 25 + b" and the rest"], 50, "and the rest"),
    "one word": ([b"unter2" * 30], 50, ""),
    "a key": ([KEY + b"end\n"], 100, KEY[:31].decode() + "***-----END RSA PRIVATE KEY-----\nend\n"),
    "a key before the end": ([b"x\n" * 20 + KEY + b"end\n"], 35, "end\n"),
}


@pytest.mark.parametrize(("ends", "size", "kept"), ENDS.values(), ids=list(ENDS))
def test_the_end_of_an_output_is_kept_as_text(ends: list[bytes], size: int, kept: str) -> None:
    text = text_of(ends, size, CONTEXT)
    assert text == kept
    assert len(text.encode()) <= size


def test_at_most_a_thousand_outputs_are_kept_and_the_oldest_go(home: Path) -> None:
    for number in range(MOST):
        keep(str(home), f"{number:016x}", "text")
        os.utime(home / "output" / f"{number:016x}", (number, number))
    keep(str(home), "f" * 16, "last")
    names = sorted(os.listdir(home / "output"))
    assert MOST // 2 < len(names) < MOST
    assert names == [f"{n:016x}" for n in range(MOST - len(names) + 1, MOST)] + ["f" * 16]


@pytest.mark.parametrize("place", ["a link", "a file", "a home that is a file"])
def test_what_is_not_a_folder_of_the_home_gets_nothing(
    place: str, home: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if place == "a home that is a file":
        home.touch()
    else:
        home.mkdir()
        if place == "a link":
            (home / "output").symlink_to(elsewhere)
        else:
            (home / "output").touch()
    keep(str(home), "0" * 16, "text")
    assert os.listdir(elsewhere) == []
