r"""autotask_ruby/autotask/patterns.rb, made from the rows of autotask/masking.py.

`PYTHONPATH=tests python -m ruby.ruby_patterns` rewrites it. Both halves have to mask alike, but the
same pattern means something else in Ruby: there `\w`, `\s`, `\d` and `\b` know ASCII alone, `(?i)`
folds other letters, and `(...)` captures nothing beside a group that has a name. So each pattern is
written anew from what Python's own parser makes of it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from autotask.masking import ROWS, WORDS, whole_pattern

if sys.version_info >= (3, 11):
    from re import _constants as words  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
else:
    import sre_constants as words
    import sre_parse as parser

FILE = Path(__file__).resolve().parents[2] / "autotask_ruby" / "autotask" / "patterns.rb"

_CATEGORIES = {  # what Python means by them, inside [...]
    words.CATEGORY_SPACE: r"[:space:]\x1c-\x1f",
    words.CATEGORY_WORD: r"\p{L}\p{N}_",
    words.CATEGORY_DIGIT: r"\p{Nd}",
}
_OTHERS = {
    words.CATEGORY_NOT_SPACE: words.CATEGORY_SPACE,
    words.CATEGORY_NOT_WORD: words.CATEGORY_WORD,
    words.CATEGORY_NOT_DIGIT: words.CATEGORY_DIGIT,
}
_WORD = f"[{_CATEGORIES[words.CATEGORY_WORD]}]"
# What Python takes for a letter of ASCII if case does not count: both cases, and these.
_FOLDED = "\u0130\u0131\u017f\u212a"
_KEPT = "kept"  # Ruby's name of group 1


def page() -> str:
    """Return the Ruby file as the rows have it."""
    lines = [
        "# What secrets look like, for masking.rb.",
        "# Made by tests/ruby/ruby_patterns.py from the rows of autotask/masking.py: change those.",
        "# frozen_string_literal: true",
        "",
        "module AutotaskAgent",
        "  module Patterns",
        "    # Hints in lower case, and a pattern: all but its group `kept` is masked.",
        "    ROWS = [",
    ]
    for name, hints, pattern, _, _ in ROWS:
        lines.append(f"      # {name}")
        lines.append(f"      [[{', '.join(map(_quoted, hints))}],")
        lines.append(f"       {_quoted(translated(pattern))}],")
    lines += [
        "    ].freeze",
        "",
        "    # Unquoted words that can follow a name and are not secrets.",
        f"    WORDS = %w[{' '.join(sorted(WORDS))}].freeze",
        "  end",
        "end",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def translated(pattern: str) -> str:
    """Write a row's pattern as Ruby reads it."""
    return written(whole_pattern(pattern))


def written(pattern: str) -> str:
    """Write a pattern of Python's as Ruby reads it."""
    parsed = parser.parse(pattern)
    names = {number: name for name, number in parsed.state.groupdict.items()}
    return _Writer({1: _KEPT, **names}).sequence(parsed, parsed.state.flags)


class _Writer:
    """Writes what the parser has read: a method for each of its words."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names

    def sequence(self, items: Any, flags: int) -> str:
        return "".join(self._item(item, flags) for item in items)

    def _item(self, item: Any, flags: int) -> str:
        word, value = item
        method = getattr(self, "_" + str(word).lower())
        written: str = method(value, flags)
        return written

    def _literal(self, code: int, flags: int) -> str:
        if flags & re.IGNORECASE and chr(code).isalpha():
            return self._in([(words.LITERAL, code)], flags)
        return _escaped(code)

    def _not_literal(self, code: int, flags: int) -> str:
        return self._in([(words.NEGATE, None), (words.LITERAL, code)], flags)

    def _in(self, items: Any, flags: int) -> str:
        negated = items[0][0] is words.NEGATE
        members = "".join(_member(*item) for item in items[negated:])
        if flags & re.IGNORECASE:
            members += _other_cases(items[negated:])
        if members == _any():
            return "(?m:.)"
        return f"[{'^' * negated}{members}]"

    def _branch(self, value: Any, flags: int) -> str:
        return f"(?:{'|'.join(self.sequence(branch, flags) for branch in value[1])})"

    def _subpattern(self, value: Any, flags: int) -> str:
        group, added, removed, items = value
        written = self.sequence(items, (flags | added) & ~removed)
        return f"(?:{written})" if group is None else f"(?<{self._names[group]}>{written})"

    def _max_repeat(self, value: Any, flags: int) -> str:
        return self._repeated(value, flags)

    def _min_repeat(self, value: Any, flags: int) -> str:
        return self._repeated(value, flags) + "?"

    def _repeated(self, value: Any, flags: int) -> str:
        least, most, items = value
        written = self.sequence(items, flags)
        if len(items) > 1 or items[0][0] not in (words.LITERAL, words.NOT_LITERAL, words.IN):
            written = f"(?:{written})"
        known = {(0, 1): "?", (0, words.MAXREPEAT): "*", (1, words.MAXREPEAT): "+"}
        last = "" if most is words.MAXREPEAT else most
        return written + known.get((least, most), f"{{{least},{last}}}")

    def _assert(self, value: Any, flags: int) -> str:
        direction, items = value
        return f"(?{'=' if direction > 0 else '<='}{self.sequence(items, flags)})"

    def _assert_not(self, value: Any, flags: int) -> str:
        direction, items = value
        return f"(?{'!' if direction > 0 else '<!'}{self.sequence(items, flags)})"

    def _at(self, value: Any, flags: int) -> str:
        return {
            words.AT_END_STRING: r"\z",
            words.AT_BOUNDARY: f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))",
        }[value]

    def _groupref(self, group: int, flags: int) -> str:
        name = rf"\k<{self._names[group]}>"
        return f"(?i:{name})" if flags & re.IGNORECASE else name

    def _groupref_exists(self, value: Any, flags: int) -> str:
        group, then, otherwise = value
        branches = [self.sequence(items, flags) for items in (then, otherwise) if items is not None]
        return f"(?(<{self._names[group]}>){'|'.join(branches)})"


def _member(word: Any, value: Any) -> str:
    if word is words.RANGE:
        return "-".join(map(_escaped, value))
    if word is words.CATEGORY:
        return f"[^{_CATEGORIES[_OTHERS[value]]}]" if value in _OTHERS else _CATEGORIES[value]
    return _escaped(value)


def _any() -> str:
    return _member(words.CATEGORY, words.CATEGORY_SPACE) + _member(
        words.CATEGORY, words.CATEGORY_NOT_SPACE
    )


def _other_cases(items: Any) -> str:
    """Return what else belongs to a set if case does not count."""
    codes: set[int] = set()
    for word, value in items:
        if word is words.RANGE:
            codes.update(range(value[0], value[1] + 1))
        elif word is words.LITERAL:
            codes.add(value)
    letters = "".join(chr(code) for code in codes if chr(code).isalpha())
    assert letters.isascii()
    if not letters:
        return ""
    every = "".join(map(chr, range(128))) + _FOLDED
    others = re.findall(f"(?i)[{letters}]", every)
    return _ranges(sorted(set(map(ord, others)) - codes))


def _ranges(codes: list[int]) -> str:
    written, start = "", 0
    for index, code in enumerate(codes):
        if index + 1 == len(codes) or codes[index + 1] != code + 1:
            first = codes[start]
            written += _escaped(first) + (f"-{_escaped(code)}" if code > first else "")
            start = index + 1
    return written


def _escaped(code: int) -> str:
    letter = chr(code)
    if code < 32 or code == 127:
        return f"\\x{code:02x}"
    if code > 127:
        return f"\\u{code:04x}"
    return letter if letter.isalnum() or letter in " _\"'%,:;<>=@~`!" else f"\\{letter}"


if __name__ == "__main__":
    FILE.write_text(page())
