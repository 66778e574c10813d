"""The pages of the project, and a shell that runs the commands that they show.

A page shows a command in a block of the kind `console`, behind `$ `; the lines below are its
output, with `...` for what is left out. `<!-- file NAME -->` before a block says that this is the
file of that name, which the commands find in their folder.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(
    r"^(?:<!-- file (?P<file>\S+) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Where the examples live, and where the commands of a page do.
PLACES = {
    "/srv/shop": "shop",
    "/opt/autotask": "opt",
    "/var/lib/autotask": "var",
    "/home/ann": "ann",
}
_MARK = "-- end of command"
_ID = re.compile(r"\b[0-9a-f]{8}\b")
_A_RUN = "$(autotask runs --status failure --format csv | tail -1 | cut -c1-8)"
# What differs between runs: ids, times, durations, sizes, versions.
_VARIES = re.compile(
    r"(?:\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|\d\d-\d\d) )?\b\d\d:\d\d\b(?!:)|"
    r"\b[0-9a-f]{8,}\b|\b\d\d-\d\d \d\d:\d\d:\d\d\b|\b\d+(?:\.\d+)?(?:ms|us|s|m|h|d)\b(?: \d+s\b)?"
    r"|\b\d+(?:\.\d+)? [KMGT]i?B\b|\b\d+\.\d+\.\d+(?:\.\d+)?\b"
)


@dataclass
class Command:
    """A command of a page, and what the page shows of its output."""

    text: str
    shown: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """What a command printed, and its exit status."""

    printed: list[str]
    status: int


def text(page: str) -> str:
    """Read a page."""
    return (ROOT / page).read_text()


def blocks(page: str) -> Iterator[tuple[str | None, str, str]]:
    """Yield each block of a page: the name of its file, its kind, its text."""
    for block in _BLOCK.finditer(text(page)):
        yield block["file"], block["kind"], block["text"]


def commands(page: str) -> list[Command]:
    """Return the commands of a page, in its order."""
    found: list[Command] = []
    for _, kind, block in blocks(page):
        is_open = False  # the last line ends with a backslash
        for line in block.splitlines() if kind == "console" else ():
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            elif is_open:
                found[-1].text += "\n" + line
            else:
                found[-1].shown.append(line)
            is_open = (line.startswith("$ ") or is_open) and line.endswith("\\")
    return found


def run(
    given: list[Command], place: Path, env: Mapping[str, str], before: Sequence[str] = ()
) -> list[Outcome]:
    """Run the commands of a page one after the other in one shell, in the folder `/srv/shop`.

    *before* are words before those that start the shell.
    """
    end = f"printf '\\n{_MARK} %s\\n' $?"
    script = f"cd {shlex.quote(str(place / PLACES['/srv/shop']))}\n" + "".join(
        f"{{ {_ID.sub(_A_RUN, moved(one.text, place))}\n}} </dev/null\n{end}\n" for one in given
    )
    done = subprocess.run(
        [*before, "sh", "-c", script],
        env={**os.environ, "TZ": "UTC", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    parts = re.split(rf"\n{_MARK} (\d+)\n", done.stdout)
    printed, statuses = parts[0:-1:2], parts[1::2]
    assert len(statuses) == len(given), f"the shell ended early:\n{done.stdout}"
    return [Outcome(a.splitlines(), int(b)) for a, b in zip(printed, statuses)]


def lay(page: str, place: Path, others: Mapping[str, str]) -> None:
    """Write the files of a page, and others that its commands need, into `/srv/shop`."""
    for folder in PLACES.values():
        (place / folder).mkdir(parents=True, exist_ok=True)
    shop = place / PLACES["/srv/shop"]
    (shop / ".venv").symlink_to(sys.prefix)
    files = {name: block for name, _, block in blocks(page) if name}
    for name, content in {**others, **files}.items():
        file = shop / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(moved(content, place))
        if content.startswith("#!"):
            file.chmod(0o755)


def moved(words: str, place: Path) -> str:
    """Return a text with the places of the examples replaced by those of a test."""
    for example, folder in PLACES.items():
        words = words.replace(example, str(place / folder))
    return words


def is_shown(printed: list[str], shown: list[str], place: Path) -> bool:
    """Tell whether a page shows what a command printed, except what differs between runs."""
    parts = "\n".join(map(_plain, shown)).split("...")
    wanted = r"[\s\S]*".join(re.escape(part.strip(" ")) for part in parts)
    real = "\n".join(_plain(line) for line in _moved_back(printed, place))
    return re.fullmatch(wanted, real.rstrip("\n")) is not None


def _moved_back(lines: list[str], place: Path) -> Iterator[str]:
    for line in lines:
        for example, folder in PLACES.items():
            line = line.replace(str(place / folder), example)
        yield line


def _plain(line: str) -> str:
    return re.sub(r"\s+", " ", _VARIES.sub("#", line)).rstrip()
