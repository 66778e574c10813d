"""Where measured figures are kept: docs/evidence.md, each table between two marks of its own."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

PLACE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"


def write(name: str, text: str) -> None:
    """Put *text* between `<!-- name -->` and `<!-- /name -->`; at the end where these are not."""
    page = PLACE.read_text(encoding="utf-8") if PLACE.exists() else "# Evidence\n"
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, found, rest = page.partition(begin)
    after = rest.partition(end)[2] if found else ""
    PLACE.write_text(
        (before if found else f"{page.rstrip()}\n\n") + f"{begin}{text.strip()}\n{end}{after}",
        encoding="utf-8",
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of Markdown: the first column is words, the others are figures."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *rows))


def setting() -> str:
    """Say when and where something was measured."""
    cpu = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", cpu.read_text()) if cpu.exists() else None
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (
        f"{today}, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()}, {found[1] if found else platform.machine()}"
    )
