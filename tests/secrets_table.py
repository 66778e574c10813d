"""The table of docs/secrets.md, made from the rows of autotask/masking.py.

`PYTHONPATH=tests python -m secrets_table` rewrites it.
"""

from __future__ import annotations

from pathlib import Path

from autotask.masking import ROWS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "secrets.md"
_BEGIN, _END = "<!-- secrets -->\n", "<!-- /secrets -->\n"


def page() -> str:
    """Return the page with its table as the rows have it."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    return before + _BEGIN + _table() + _END + rest.partition(_END)[2]


def _table() -> str:
    lines = ["| what | for example | is told as |", "| --- | --- | --- |"]
    for name, _, _, example, masked in ROWS:
        lines.append(f"| {_cell(name)} | `{_cell(example)}` | `{_cell(masked)}` |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
