"""Which command lines start a Ruby, and what keeps the agent out of it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("ruby", "jruby", "truffleruby")
# They have the door under a name of their own, and the agent does not know them.
_OTHERS = {"jruby": "JRuby", "truffleruby": "TruffleRuby"}
_FLAGS = "acdlnpsSUvw"  # options without a value
_VALUED = "CEIKWeirx"
_GEMS = ("gem", "gems", "all")
# Version managers, by a word in their scripts. Such a script starts a program with the Ruby version
# that a file in the folder names; so does the `ruby` beside it.
_MANAGERS = ("rbenv", "asdf-plugin: ruby", "rvm", "chruby")


def is_ruby(name: str) -> bool:
    """Tell whether a file of this name is a Ruby: `ruby3.1`, `jruby`, not `ruby-build`."""
    return name.rstrip("0123456789.") in _NAMES


def options_of(words: list[str]) -> list[str]:
    """Return Ruby's own options, which come before a script, each with its value in one word."""
    options: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word in ("-", "--"):
            break
        value = ""
        if word in ("--enable", "--disable", "--encoding"):
            value = "=" + next(rest, "")
        elif word[-1] in _VALUED and not word[1:-1].strip(_FLAGS):
            value = next(rest, "")
        options.append(word + value)
    return options


def what_bars(name: str, options: list[str], environ: Mapping[str, str], origin: str) -> str | None:
    """Return what keeps the agent out of a Ruby of this file name, with these options."""
    other = _OTHERS.get(name.rstrip("0123456789."))
    if other:
        return f"{other} does not load it"
    # An option of the command line beats one of RUBYOPT.
    barred = None
    for words, where in (
        (environ.get("RUBYOPT", "").split(), "in RUBYOPT"),
        (options, origin),
    ):
        for word in words:
            switch, features = _switch(word)
            if any(feature in _GEMS for feature in features):
                barred = (
                    None if switch == "enable" else f"{word} {where} keeps it out (no RubyGems)"
                )
    return barred


def _switch(word: str) -> tuple[str, list[str]]:
    """Return `enable` or `disable` and what: of --disable-gems, --disable=gems,did_you_mean."""
    for switch in ("enable", "disable"):
        for mark in "-=":
            if word.startswith(f"--{switch}{mark}"):
                return switch, word.partition(f"--{switch}{mark}")[2].split(",")
    return "", []


def behind_shim(file: str, text: str) -> str | None:
    """Return the `ruby` beside a script by which a version manager starts a gem's command.

    The manager chooses the same Ruby for both. mise has links to itself instead.
    """
    folder = os.path.dirname(file)
    ruby = os.path.join(folder, "ruby")
    if not os.access(ruby, os.X_OK) or os.path.basename(file) == "ruby":
        return None
    if os.path.basename(os.path.realpath(file)) in ("mise", "rtx"):
        return ruby if _is_gems(os.path.dirname(folder), os.path.basename(file)) else None
    return ruby if any(manager in text for manager in _MANAGERS) else None


def _is_gems(data: str, name: str) -> bool:
    """Tell whether one of mise's Rubies has a command of this name."""
    rubies = os.path.join(data, "installs", "ruby")
    try:
        return any(os.path.exists(f"{rubies}/{each}/bin/{name}") for each in os.listdir(rubies))
    except OSError:
        return False
