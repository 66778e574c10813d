"""The commands in a line for a shell, as far as reading shows them: nothing is expanded or run.

What only running it would show (`$(...)`, a variable) leaves a `$` in its word. shlex splits words,
not commands, and importing it takes longer than all that is done here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 8192  # characters that are read
_OPERATORS = ("&&", "||", "|&", ";;")
_OPENING = frozenset("if then else elif fi while until do done esac ! { }".split())
_HEADS = frozenset("for select case function".split())  # no command follows them


class _Operator(str):
    __slots__ = ()


class _Reader:
    """Splits a text into words and operators; redirections are left out."""

    def __init__(self, text: str) -> None:
        self._text = text[:_MOST]
        self._at = 0
        self._word: str | None = None  # as far as it is read
        self._is_target = False  # the next word is a redirection's
        self._has_document = False  # the lines after this one are input for a command
        self._parts: list[str] = []

    def parts(self) -> list[str]:
        """Return all words and operators."""
        while self._at < len(self._text):
            self._step(self._text[self._at])
        self._end_word()
        return self._parts

    def _step(self, char: str) -> None:
        if char in " \t":
            self._end_word()
            self._at += 1
        elif char == "\\" and self._text[self._at + 1 : self._at + 2] == "\n":
            self._at += 2
        elif char == "#" and self._word is None:
            self._at = self._end(self._text.find("\n", self._at))
        elif char in "<>" or self._text[self._at : self._at + 2] == "&>":
            self._redirect()
        elif char in ";&|()\n":
            self._operator(char)
        else:
            self._word = (self._word or "") + self._piece(char)

    def _end_word(self) -> None:
        if self._word is not None and not self._is_target:
            self._parts.append(self._word)
        self._is_target = self._is_target and self._word is None
        self._word = None

    def _operator(self, char: str) -> None:
        if char == "(" and (self._word or "").endswith("="):  # an array
            self._word = (self._word or "") + self._nested("(", ")")
            return
        self._end_word()
        both = self._text[self._at : self._at + 2]
        if both == "((":  # arithmetic
            self._nested("(", ")")
            return
        self._at += len(both) if both in _OPERATORS else 1
        self._parts.append(_Operator(both if both in _OPERATORS else char))
        if char == "\n" and self._has_document:
            self._at = len(self._text)

    def _redirect(self) -> None:
        if self._word is not None and not self._word.isdigit():
            self._end_word()
        self._word = None
        start = self._at
        while self._text[self._at : self._at + 1] in ("<", ">", "&") and self._at < start + 3:
            self._at += 1
        mark = self._text[start : self._at]
        if mark in ("<", ">") and self._text[self._at : self._at + 1] == "(":
            self._word = self._nested("(", ")")
            return
        following = self._text[self._at : self._at + 1]
        if following in ("|", "-"):
            self._at += 1
        if following == "-" and mark.endswith("&"):  # `2>&-` closes: no word belongs to it
            return
        self._has_document = self._has_document or mark == "<<"
        self._is_target = True

    def _piece(self, char: str) -> str:
        """Read on inside a word; return what the shell makes of it."""
        if char == "$":
            return self._dollar()
        self._at += 1
        if char == "\\":
            self._at += 1
            return self._text[self._at - 1 : self._at]
        if char in "'`":
            start, self._at = self._at, self._end(self._text.find(char, self._at)) + 1
            return "$" if char == "`" else self._text[start : self._at - 1]
        return self._quoted() if char == '"' else char

    def _quoted(self) -> str:
        text = ""
        while self._text[self._at : self._at + 1] not in ('"', ""):
            char = self._text[self._at]
            if char in "\\$`":
                text += self._piece(char)
            else:
                text += char
                self._at += 1
        self._at += 1
        return text

    def _dollar(self) -> str:
        self._at += 1
        opening = self._text[self._at : self._at + 1]
        if opening in ("(", "{"):
            return self._nested(opening, ")" if opening == "(" else "}")
        return "$"

    def _nested(self, opening: str, closing: str) -> str:
        """Skip what is in brackets; its value is not known."""
        depth = 0
        while self._at < len(self._text):
            char = self._text[self._at]
            depth += (char == opening) - (char == closing)
            if char in "\\'":
                self._piece(char)
            else:
                self._at += 1
            if not depth:
                break
        return "$"

    def _end(self, index: int) -> int:
        return index if index >= 0 else len(self._text)


def _simple_command(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the assignments in front of a command, and the command, without keywords."""
    start, assignments = 0, []
    while start < len(words) and (words[start] in _OPENING or is_assignment(words[start])):
        if words[start] not in _OPENING:
            assignments.append(words[start])
        start += 1
    return assignments, [] if _HEADS.intersection(words[start : start + 1]) else words[start:]


def is_assignment(word: str) -> bool:
    """Tell whether a word is `NAME=value`."""
    name, equals, _ = word.partition("=")
    return bool(equals) and name.removesuffix("+").isidentifier()


# Last: if this file is cut short, importing it fails, and the launcher runs its command without us.
def commands(text: str) -> Iterator[tuple[list[str], list[str], bool]]:
    """Yield each command: the assignments before it, its words, and whether it only helps another.

    It does after `|`, which gives it the output, and after `||`, which runs it after a failure.
    """
    words: list[str] = []
    helps, depth = False, 0
    for part in [*_Reader(text).parts(), _Operator("\n")]:
        if not isinstance(part, _Operator):
            words.append(part)
        elif words[:1] == ["[["] and "]]" not in words and part != "\n":
            continue  # the test has its own `&&` and `<`
        else:
            # The name of a function comes before `(`, a pattern of `case` before a lone `)`.
            if part != "(" and (part != ")" or depth):
                assignments, command = _simple_command(words)
                if command:
                    yield assignments, command, helps
            depth += (part == "(") - (part == ")" and depth > 0)
            if part not in ("(", ")"):
                helps = part in ("|", "|&", "||")
            words = []
