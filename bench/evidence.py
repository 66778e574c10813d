"""Write measured figures to docs/evidence.md, each table between two marks of its own."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"


def write(name: str, text: str) -> None:
    """Put *text* between `<!-- name -->` and `<!-- /name -->`, or at the end of the page."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Evidence\n"
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, mark, rest = page.partition(begin)
    after = rest.partition(end)[2] if mark else ""
    PAGE.write_text(
        (before if mark else f"{page.rstrip()}\n\n") + f"{begin}{text.strip()}\n{end}{after}",
        encoding="utf-8",
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table: words in the first column, figures in the others."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *rows))


def setting() -> str:
    """Say when and on what machine this was measured."""
    cpu = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpu.read_text()) if cpu.exists() else None
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (
        f"{today}, {platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()}, {model[1] if model else platform.machine()}"
    )
