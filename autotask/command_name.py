"""The name of a command that starts another one, or is one of many."""

from __future__ import annotations

import os

from autotask import naming
from autotask.naming import is_line, is_python, program_words
from autotask.shell_line import commands, is_assignment
from autotask.wrapper_commands import after_options, after_wrapper, key_of

SHELLS = frozenset(["sh", "bash", "dash", "ash", "ksh", "zsh"])
_NAME = "AUTOTASK_NAME"
_DEEPEST = 12  # wrappers inside one another
_INTERPRETERS = {  # their options, see `looked_through`
    "php": ("nqCc:d:", ""),
    "perl": ("acfnpstTuUwWxl0123456789I:M:", ""),
    **dict.fromkeys(
        ("ruby", "jruby", "truffleruby"),
        (
            "aclnpsvwdSUWI:r:C:E:K:",
            (
                "enable: disable: disable-gems disable-gem disable-did_you_mean"
                " disable-error_highlight disable-rubyopt disable-all encoding: external-encoding:"
                " internal-encoding: verbose jit yjit mjit rjit dev"
            ),
        ),
    ),
    **dict.fromkeys(
        ("node", "nodejs"),
        ("r:", "require: import: loader: env-file: inspect no-warnings trace-warnings"),
    ),
    "Rscript": ("", "vanilla no-save no-restore no-init-file slave verbose"),
    # The folder of its scripts names it: /etc/cron.daily.
    "run-parts": (
        "va:u:",
        (
            "report verbose reverse exit-on-error new-session lsbsysinit stdin regex: arg: umask:"
            " test list debug"
        ),
    ),
}
# Programs that only lead to many commands: the word that chooses one becomes part of the name.
_ROUTERS = frozenset(
    [
        *("artisan", "console", "occ", "drush", "wp", "rake", "gitlab-rake", "rails", "thor"),
        *("certbot", "manage.py", "django-admin", "-m django", "make", "docker", "podman"),
        *("npm", "npm run", "yarn", "yarn run", "pnpm", "pnpm run", "composer", "composer run"),
        *("cap", "cap *", "autotask"),  # of cap a stage, and a task
    ]
)
# Their options before it. Those of Rake that only show something are not here.
_RAKE = (
    "ABGgmNnqstvXC:E:f:I:j:R:r:",
    (
        "all backtrace build-all comments directory: dry-run execute-continue: job-stats: jobs:"
        " libdir: multitask no-deprecation-warnings no-search nosearch no-system nosystem quiet"
        " rakefile: rakelib: rakelibdir: require: rules silent suppress-backtrace: system trace"
        " verbose"
    ),
)
_ROUTER_OPTIONS = dict.fromkeys(("rake", "gitlab-rake", "cap", "cap *"), _RAKE)
_QUIET = "nqsv", "no-interaction non-interactive quiet silent verbose"
_MARKS = {ord(mark): None for mark in "_:.-"}  # that a subcommand's name may have
# A shell's line is never named after these, and after _ASIDES only if it starts nothing else.
_BUILTINS = frozenset(
    "cd . source test [ [[ : true false exit return export readonly local declare set unset shift"
    " umask ulimit trap wait eval read exec command builtin type hash alias kill pushd popd break"
    " continue shopt let getopts jobs times disown bg fg pwd mapfile readarray".split()
)
_ASIDES = frozenset(
    "autotask sleep echo printf date cat yes tee logger mail mailx sendmail curl wget mkdir touch"
    " rm chmod chown which ts".split()
)


def name_of(command: list[str]) -> str:
    """Name any command: as `naming.name_of` does, which loads this module only if it has to."""
    return naming.name_of(command, innermost_name)


def name_of_line(text: str) -> str:
    """Name a line for a shell, as `autotask-run --shell` does: by `name_in_line`, else itself."""
    return name_in_line(text) or innermost_name(["sh", "-c", text])


def name_in_line(text: str) -> str | None:
    """Return the name that a line for a shell gives itself: `AUTOTASK_NAME=nightly ./job`.

    It may be in front of the command that would name the line, or of the first one, as in
    `AUTOTASK_NAME=nightly cd /srv && ./job`. Only what the shell need not expand is a name.
    """
    if f"{_NAME}=" not in text:
        return None
    first = next(commands(text), ([], [], False))
    for assignment in (*_best_of_line(text, _DEEPEST)[0], *first[0]):
        variable, _, value = assignment.partition("=")
        if variable == _NAME and value and "$" not in value:
            return value
    return None


def innermost_name(command: list[str]) -> str:
    """Name what a command leads to."""
    if is_line(command[0]):
        command = ["env", *command] if _has_assignments(command) else ["sh", "-c", command[0]]
    words = _innermost(command)
    key = key_of(words)
    name, rest = key.removeprefix("-m "), words[2 if words[0] == "-m" else 1 :]
    while key in _ROUTERS:
        rest = after_options(rest, *_ROUTER_OPTIONS.get(key, _QUIET))
        if not rest or not _is_subcommand(rest[0]):
            break
        word = rest.pop(0)
        key = f"{key} *" if f"{key} *" in _ROUTERS else f"{key} {word}"
        name = f"{name} {word}"
    return name.partition("?")[0] or name  # uv also runs what a URL names


def _has_assignments(command: list[str]) -> bool:
    return len(command) > 1 and is_assignment(command[0])


def _is_subcommand(word: str) -> bool:
    return not word.startswith("-") and word.translate(_MARKS).isalnum()


def _innermost(words: list[str], depth: int = _DEEPEST) -> list[str]:
    """Follow wrappers, shells and interpreters to what they start: a command, a script, `-m X`."""
    for left in range(depth, 0, -1):
        following = after_wrapper(words) or after_interpreter(words, left - 1)
        if following and _is_text(following[0]):
            following = _of_line(following[0], left - 1)
        if not following or not following[0]:
            break
        words = following
    return words


def _is_text(word: str) -> bool:
    """Tell whether a word is a whole line, not a command in a folder that a variable names."""
    return is_line(word.replace("$", "")) and not word.startswith("$/")


def after_interpreter(words: list[str], depth: int) -> list[str]:
    """Return what an interpreter runs: a script, a module, a command of a shell's line."""
    name, rest = os.path.basename(words[0]), words[1:]
    if is_python(name):
        return program_words(rest)
    if name in SHELLS:
        return _after_shell(rest, depth)
    name = name.rstrip("0123456789.")
    if name not in _INTERPRETERS:
        return []
    if name.endswith("ruby"):
        rest = [word[:2] if word.startswith("-W") else word for word in rest]  # -W:no-deprecated
    rest = after_options(rest, *_INTERPRETERS[name])
    if rest[:1] == ["-f"] and name.startswith("php"):
        rest = rest[1:]
    return [] if rest[:1] and rest[0].startswith("-") else rest


def _after_shell(words: list[str], depth: int) -> list[str]:
    """Return a shell's script, or what its line starts."""
    rest, has_line = [*words], False
    while rest and rest[0][:1] in ("-", "+") and rest[0] not in ("-", "--"):
        word = rest.pop(0)
        if word.startswith("--"):
            del rest[: word in ("--rcfile", "--init-file")]
            continue
        if "s" in word:
            return []  # its commands come from standard input
        has_line = has_line or "c" in word
        del rest[: word[-1] in "oO"]
    if rest[:1] in (["-"], ["--"]):
        del rest[:1]
    return _of_line(rest[0], depth) if rest and has_line else rest


def _of_line(text: str, depth: int) -> list[str]:
    """Return what the command leads to that names a shell's line."""
    return _best_of_line(text, depth)[1]


def _best_of_line(text: str, depth: int) -> tuple[list[str], list[str]]:
    """Find the last command of a shell's line that is not a helper, such as `cd` and `echo`.

    Return the assignments in front of it, and what it leads to.
    """
    best: tuple[list[str], list[str]] = [], []
    least = 2
    for assignments, command, helps in commands(text):
        if _is_text(command[0]):  # which the shell does not find
            continue
        words = _innermost(command, depth)
        name = key_of(words).removeprefix("-m ")
        is_builtin = name in _BUILTINS and os.path.dirname(words[0]) in ("", "/bin", "/usr/bin")
        if (not is_builtin or words[0] == "-m") and _is_known(name):
            helped = 2 if name in _ASIDES else 1 if helps else 0
            if helped <= least:
                best, least = (assignments, words), helped
    return best


def _is_known(name: str) -> bool:
    """Tell whether a name holds nothing that only the shell knows: a variable, a pattern."""
    return name.isprintable() and frozenset("$*?").isdisjoint(name) and name[:1] not in ("-", "")
