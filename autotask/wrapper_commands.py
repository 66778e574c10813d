"""Programs that only start another one, and which of their words come before the other's.

An option that is not in these tables may take the next word as its value. The search ends there, so
that this word, which may be a password, never becomes a name.
"""

from __future__ import annotations

import os

# The short options and the long ones as for getopt(3), a colon after those that take a value, and
# what else comes before the command: a number of words; `=` for assignments; `m` if the command may
# also be `-m MODULE`; `python` if it is what an interpreter takes; `...` for a program that has
# commands itself.
_UV = (
    "qvnUsC:P:f:i:p:",
    (
        "with: with-editable: with-requirements: python: project: directory: env-file: extra:"
        " group: only-group: no-group: no-extra: index: default-index: index-url: link-mode:"
        " find-links: from: extra-index-url: package: resolution: prerelease: exclude-newer:"
        " cache-dir: config-file: color: all-extras dev no-dev only-dev all-groups"
        " no-default-groups exact isolated active no-sync locked frozen script all-packages"
        " no-project no-env-file offline no-cache quiet verbose refresh reinstall upgrade"
        " no-config no-progress no-editable"
    ),
)
_EXEC = (
    "ditTe:u:w:",
    (
        "detach detach-keys: env: env-file: index: interactive no-TTY no-tty privileged tty user:"
        " workdir:"
    ),
    "1",
)
_COMPOSE = (
    "f:p:",
    "ansi: env-file: file: profile: progress: project-directory: project-name: parallel:",
    "...",
)
_DOCKER = "DH:c:l:", "config: context: debug host: log-level: tls connection: url:", "..."
_CONDA = "vn:p:", "name: prefix: cwd: no-capture-output live-stream verbose", "0"
_PROFILE = "o:s:", "outfile: sort:", "m"
_PLAIN = "", "", "0"
_SEVERAL = "", "", "..."
_WRAPPERS = {
    # of the shell and the system
    "env": (
        "i0va:u:C:",
        (
            "- ignore-environment null unset: chdir: argv0: debug block-signal default-signal"
            " ignore-signal list-signal-handling"
        ),
        "=",
    ),
    "exec": ("cla:", "", "0"),
    "command": ("p", "", "0"),
    "busybox": _PLAIN,
    "nohup": _PLAIN,
    "setsid": ("cfw", "ctty fork wait", "0"),
    "nice": ("0123456789n:", "adjustment:", "0"),
    "ionice": ("tc:n:", "class: classdata: ignore", "0"),
    "chrt": ("abdfiorRvT:P:D:", "batch deadline fifo idle other rr reset-on-fork verbose", "1"),
    "taskset": ("ac", "all-tasks cpu-list", "1"),
    "numactl": (
        "li:m:N:C:p:",
        "interleave: membind: cpunodebind: physcpubind: preferred: localalloc",
        "0",
    ),
    "stdbuf": ("i:o:e:", "input: output: error:", "0"),
    "unbuffer": ("p", "", "0"),
    "time": ("apqvf:o:", "append portability quiet verbose format: output:", "0"),
    "timeout": ("fpvk:s:", "foreground kill-after: preserve-status signal: verbose", "1"),
    "flock": (
        "sxeunFovw:E:",
        (
            "shared exclusive unlock nonblock nb no-fork close wait: timeout: conflict-exit-code:"
            " verbose"
        ),
        "1",
    ),
    "chronic": ("ve", "", "0"),
    **dict.fromkeys(("cronic", "eatmydata", "ssh-agent", "dbus-run-session"), _PLAIN),
    **dict.fromkeys(("run-one", "run-this-one", "run-one-constantly"), _PLAIN),
    "xvfb-run": (
        "adle:f:n:p:s:w:",
        (
            "auto-servernum auto-display error-file: auth-file: listen-tcp server-num:"
            " server-args: xauth-protocol: wait:"
        ),
        "0",
    ),
    "systemd-cat": ("t:p:", "identifier: priority: stderr-priority: level-prefix:", "0"),
    "systemd-inhibit": ("", "what: who: why: mode:", "0"),
    "systemd-run": (
        "dGPqrStp:E:M:u:H:",
        (
            "scope user system unit: property: description: slice: slice-inherit remain-after-exit"
            " service-type: uid: gid: nice: working-directory: same-dir setenv: pty pipe quiet"
            " wait collect no-block"
        ),
        "0",
    ),
    "envdir": ("", "", "1"),
    "chroot": ("", "userspec: groups: skip-chdir", "1"),
    # as another user
    "sudo": (
        "ABbEHknPSsiu:g:h:p:C:T:r:t:R:D:",
        (
            "askpass background bell close-from: chdir: preserve-env group: set-home host: login"
            " non-interactive preserve-groups prompt: chroot: role: shell stdin type:"
            " command-timeout: user:"
        ),
        "=",
    ),
    "doas": ("nsu:", "", "0"),
    "runuser": ("u:", "user:", "0"),  # else as su
    **dict.fromkeys(("gosu", "su-exec", "setuidgid", "s6-setuidgid"), ("", "", "1")),
    "setpriv": (
        "",
        (
            "reuid: regid: clear-groups keep-groups init-groups groups: inh-caps: ambient-caps:"
            " bounding-set: securebits: pdeathsig: no-new-privs reset-env"
        ),
        "0",
    ),
    # process 1 of a container, and commands inside one
    "tini": ("sgvwp:e:", "", "0"),
    "dumb-init": ("cvr:", "single-child rewrite: verbose", "0"),
    **dict.fromkeys(("docker", "podman"), _DOCKER),
    **dict.fromkeys(("docker container", "podman container"), _SEVERAL),
    **dict.fromkeys(
        ("docker exec", "docker container exec", "podman exec", "podman container exec"), _EXEC
    ),
    **dict.fromkeys(("docker compose", "docker-compose", "podman compose"), _COMPOSE),
    **dict.fromkeys(("docker compose exec", "docker-compose exec", "podman compose exec"), _EXEC),
    "kubectl": ("n:", "namespace: context: cluster: kubeconfig: user:", "..."),
    "kubectl exec": ("itqc:n:", "container: namespace: stdin tty quiet", "1"),
    # in another environment
    "uv": (*_UV, "..."),
    "uv run": (*_UV, "m"),
    "uv tool": (*_UV, "..."),
    **dict.fromkeys(("uv tool run", "uvx"), (*_UV, "0")),
    "poetry": ("qnvC:P:", "quiet no-interaction verbose directory: project: no-plugins", "..."),
    "pipenv": ("qv", "quiet verbose", "..."),
    "pdm": ("qvc:", "quiet verbose config:", "..."),
    "pdm run": ("sp:", "site-packages project: venv:", "0"),
    "hatch": ("qve:p:", "quiet verbose env: project: config: cache-dir: data-dir:", "..."),
    "pixi": ("qv", "quiet verbose", "..."),
    "pixi run": ("e:", "environment: manifest-path: frozen locked", "0"),
    "pipx run": ("", "quiet verbose spec: with: python: no-cache", "0"),
    **dict.fromkeys(("rye", "conda", "mamba", "micromamba", "pipx", "bundle"), _SEVERAL),
    **dict.fromkeys(("poetry run", "pipenv run", "hatch run", "rye run"), _PLAIN),
    "bundle exec": ("", "keep-file-descriptors no-keep-file-descriptors gemfile:", "0"),
    **dict.fromkeys(("conda run", "mamba run", "micromamba run"), _CONDA),
    "npx": ("yqp:w:", "yes no quiet package: workspace:", "0"),
    "dotenv": ("f:q:e:", "file: quote: export:", "..."),
    "dotenv run": ("", "override no-override", "0"),
    **dict.fromkeys(("direnv", "rbenv", "pyenv", "mise", "asdf"), _SEVERAL),
    "direnv exec": ("", "", "1"),
    **dict.fromkeys(("rbenv exec", "pyenv exec", "mise exec", "mise x", "asdf exec"), _PLAIN),
    **dict.fromkeys(("rvm", "chruby-exec"), ("", "", "1")),
    **dict.fromkeys(("honcho", "foreman", "doppler", "op"), _SEVERAL),
    **dict.fromkeys(("honcho run", "foreman run"), ("e:f:", "env: procfile:", "0")),
    "doppler run": ("p:c:t:", "project: config: token:", "0"),
    "op run": ("", "env-file: no-masking", "0"),
    # under autotask, another agent, a debugger, a profiler
    "autotask-run": ("", "name: tag: timeout: keep-output: no-overlap quiet exec", "0"),
    "ddtrace-run": ("dipv", "debug info profiling version", "0"),
    "newrelic-admin": _SEVERAL,
    "newrelic-admin run-program": _PLAIN,
    "newrelic-admin run-python": ("", "", "python"),
    "opentelemetry-instrument": (
        "",
        (
            "traces_exporter: metrics_exporter: logs_exporter: service_name: propagators:"
            " exporter_otlp_endpoint: exporter_otlp_protocol: resource_attributes: id_generator:"
        ),
        "0",
    ),
    "splunk-py-trace": _PLAIN,
    "elasticapm-run": ("", "config: debug", "0"),
    "cronitor": ("k:n:c:", "api-key: config: env: hostname:", "..."),
    "cronitor exec": ("", "", "1"),
    "coverage": _SEVERAL,
    "coverage run": (
        "aLp",
        (
            "append branch concurrency: context: data-file: include: omit: pylib parallel-mode"
            " rcfile: save-signal: source: timid debug:"
        ),
        "m",
    ),
    "debugpy": (
        "",
        (
            "listen: connect: wait-for-client configure-subProcess: log-to: log-to-stderr"
            " adapter-access-token: parent-session-pid:"
        ),
        "m",
    ),
    "-m cProfile": _PROFILE,
    "-m profile": _PROFILE,
    "-m pdb": ("c:", "command:", "m"),
    "-m trace": (
        "ctlrTsRgf:C:",
        (
            "count trace listfuncs report trackcalls file: coverdir: missing summary no-report"
            " timing ignore-module: ignore-dir:"
        ),
        "m",
    ),
    "pyinstrument": ("to:r:p:i:", "outfile: renderer: render-option: interval: timeline", "m"),
    "viztracer": ("qo:", "quiet output_file: tracer_entries:", "m"),
    "kernprof": ("lbvo:s:p:", "line-by-line builtin outfile: setup: view prof-mod:", "m"),
    "memray": _SEVERAL,
    "memray run": ("qfo:", "quiet force output: live native follow-fork aggregate", "m"),
    "py-spy": _SEVERAL,
    "py-spy record": (
        "sgtno:d:r:f:",
        "output: duration: rate: format: subprocesses gil threads",
        "0",
    ),
}
# Long options whose value after `=` may be what runs: its arguments follow.
_COMMANDS = ("code", "command", "eval", "exec", "file", "print", "run", "shell", "split", "test")


def key_of(words: list[str]) -> str:
    """Return what a command is called in tables of programs."""
    if words[0] == "-m":
        return " ".join(words[:2])
    return os.path.basename(words[0]) or words[0]


def after_wrapper(words: list[str]) -> list[str]:
    """Return the words of the command that a wrapper starts; an empty list for other programs.

    A line for a shell comes as `sh -c LINE`, a module as `-m MODULE`, and all else that an
    interpreter takes as `python WORDS`.
    """
    key, rest = key_of(words), words[2:] if words[0] == "-m" else words[1:]
    if key in ("su", "runuser") and "-u" not in rest[:1]:
        return _line_of_su(rest)
    if key not in _WRAPPERS:
        key = key.removeprefix("-m ")
    while key in _WRAPPERS:
        short, long, before = _WRAPPERS[key]
        rest = after_options(rest, short, long)
        if not rest:
            return []
        if before != "...":
            return _command(key, before, rest)
        key, rest = f"{key} {rest[0]}", rest[1:]
    return []


def _command(key: str, before: str, rest: list[str]) -> list[str]:
    """Return the command after a wrapper's options."""
    if before == "python":
        return ["python", *rest]
    if before == "m" and rest[0] in ("-m", "--module"):
        return ["-m", *rest[1:]] if "".join(rest[1:2]) else []
    if key == "autotask-run" and rest[0].startswith("--shell"):
        text = rest[0].partition("=")[2]
        return ["sh", "-c", *([text] if text else rest[1:])]
    if rest[0].startswith("-"):
        return []
    if before == "1":
        rest = rest[1:]
    while before == "=" and "=" in "".join(rest[:1]):
        rest = rest[1:]
    if rest[:1] == ["--"]:
        rest = rest[1:]
    return _peculiar(key, rest) if rest else []


def _peculiar(key: str, rest: list[str]) -> list[str]:
    if key == "kubectl exec" and "--" in rest and rest[0].startswith("-"):
        return rest[rest.index("--") + 1 :]  # it takes options after the pod, too
    if key == "rvm":
        return rest[1:] if rest[0] == "do" else []
    if key in ("mise exec", "mise x"):  # `ruby@3.2 node@20 -- rake`
        while rest[1:] and "@" in rest[0]:
            rest = rest[1:]
        rest = rest[rest[0] == "--" :]
        return rest if rest and not rest[0].startswith("-") else []
    if key == "flock" and rest[0] in ("-c", "--command"):
        return ["sh", "-c", *rest[1:]]
    if key == "hatch run":  # `test:pytest` is pytest, in the environment `test`
        while rest[1:] and rest[0].startswith("+"):  # choices among the variants of `test`
            rest = rest[1:]
        return [rest[0].rpartition(":")[2], *rest[1:]]
    return [] if rest[0].startswith("-") else rest


def _line_of_su(rest: list[str]) -> list[str]:
    """Return the line that su(1) hands to a shell; it takes its options in any order."""
    for index, word in enumerate(rest):
        if word.startswith("--command="):
            return ["sh", "-c", word.partition("=")[2]]
        if word in ("-c", "-lc", "--command"):
            return ["sh", "-c", *rest[index + 1 :]]
    return []


def after_options(words: list[str], short: str, long: str) -> list[str]:
    """Return the words after a program's options; they begin with the first unknown option."""
    rest, known = list(words), long.split()
    while rest and rest[0].startswith("-") and rest[0] != "--":
        takes = _takes(rest[0], short, known)
        if takes is None:
            return rest
        del rest[: 1 + takes]
    return rest[1:] if rest[:1] == ["--"] else rest


def _takes(word: str, short: str, long: list[str]) -> int | None:
    """Return how many words an option takes as its value; None if the option is not known."""
    if word.startswith("--") or word == "-":
        name, equals, _ = word.partition("=")
        name = name[2:] or "-"
        if name + ":" in long:
            return 0 if equals else 1
        is_known = not name.startswith(_COMMANDS) if equals else name in long
        return 0 if is_known else None
    for end, letter in enumerate(word[1:], 2):
        index = short.find(letter)
        if index < 0 or letter == ":":
            return None
        if short[index + 1 : index + 2] == ":":
            return 0 if word[end:] else 1
    return 0
