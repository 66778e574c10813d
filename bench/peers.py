"""Compare autotask with its peers on the same programs: `make bench-peers`.

Each peer has an environment of its own under build/peers and a back end on loopback, and all are
measured in turn. If even a record that must arrive (the control) does not, its endings are reported
as `not observed`. The result is written to docs/evidence.md.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import endings
import evidence
import measure
from collector import REFUSED, Collector, Hanging
from endings import ENDINGS, RIGHT, Record
from house import CALLS, PROGRAMS, ROOT, House
from measure import TELL_END, Command

sys.path.insert(0, str(ROOT / "tests"))

from beside._peers import PEERS
from environments import build

PLACE = ROOT / "build" / "peers"
BASE = "click typer invoke doit"
PROGRAM = PLACE / "program"

_SENTRY = """\
import sentry_sdk
from sentry_sdk.crons import monitor
sentry_sdk.init("http://public@{address}/1")
def watched(function):
    return monitor(monitor_slug=function.__name__.replace("_", "-"))(function)
"""


@dataclass(frozen=True)
class Peer:
    """One peer: what to install, to put before the command, to set, and to write into programs."""

    title: str
    wanted: str
    versions: str  # distributions
    settings: Mapping[str, str]
    control: str  # a program whose one record must arrive
    before: tuple[str, ...] = ()
    real: Mapping[str, str] = field(
        default_factory=dict
    )  # settings added if its records are not read
    watched: str = endings.UNWATCHED
    read: Callable[[Collector, Path], list[Record]] = field(default=lambda *_: [])


def _by_library(script: str, path: str) -> Callable[[Collector, Path], list[Record]]:
    return lambda collector, place: endings.decoded(
        place / "bin" / "python", script, collector.bodies(path), place
    )


_PEERS = {
    "ddtrace": Peer(
        "ddtrace-run",
        f"{PEERS['ddtrace']} msgpack",
        "ddtrace",
        {"DD_TRACE_AGENT_URL": "http://{address}", "DD_TRACE_API_VERSION": "v0.4"},
        "from ddtrace.trace import tracer\nwith tracer.trace('x', resource='control'): pass\n",
        ("ddtrace-run",),
        read=_by_library(endings.MSGPACK, "/v0.4/traces"),
    ),
    "opentelemetry": Peer(
        "opentelemetry-instrument",
        f"{PEERS['opentelemetry']} opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-sdk opentelemetry-instrumentation-click",
        {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://{address}",
        },
        "from opentelemetry import trace\n"
        "with trace.get_tracer('x').start_as_current_span('control'): pass\n",
        ("opentelemetry-instrument",),
        read=_by_library(endings.OTLP, "/v1/traces"),
    ),
    "newrelic": Peer(
        "newrelic-admin",
        PEERS["newrelic"],
        "newrelic",
        # Its own back end for developers: it talks to the real one only over TLS.
        {
            "NEW_RELIC_LICENSE_KEY": "none",
            "NEW_RELIC_DEVELOPER_MODE": "true",
            "NEW_RELIC_AUDIT_LOG": "{folder}/audit.log",
            "NEW_RELIC_LOG": "{folder}/agent.log",
        },
        "import newrelic.agent as agent\n"
        "app = agent.register_application(timeout=10)\n"
        "@agent.background_task(application=app)\n"
        "def control(): pass\n"
        "control()\n",
        ("newrelic-admin", "run-program"),
        {
            "NEW_RELIC_DEVELOPER_MODE": "false",
            "NEW_RELIC_HOST": "{host}",
            "NEW_RELIC_PORT": "{port}",
        },
        read=lambda _, place: endings.of_newrelic(place / "audit.log"),
    ),
    "elasticapm": Peer(
        "elasticapm-run",
        PEERS["elasticapm"],
        "elastic-apm",
        {"ELASTIC_APM_SERVER_URL": "http://{address}", "ELASTIC_APM_CLOUD_PROVIDER": "none"},
        "import elasticapm\n"
        "client = elasticapm.get_client() or elasticapm.Client()\n"
        "client.begin_transaction('x')\n"
        "client.end_transaction('control', 'success')\n",
        ("elasticapm-run",),
        read=lambda collector, _: endings.of_elastic(collector.bodies("/intake/v2/events")),
    ),
    "sentry": Peer(
        "sentry cron monitor",
        "sentry-sdk<3",
        "sentry-sdk",
        {},
        _SENTRY + "@watched\ndef control(): pass\ncontrol()\n",
        watched=_SENTRY,
        read=lambda collector, _: endings.of_sentry(collector.bodies("/api/1/envelope/")),
    ),
}
BARE, PATH, RUN = "bare", "autotask (PYTHONPATH)", "autotask-run"
_WATCH = """\
import click

@click.command()
@watched
def hello():
    pass

"""
# As in house.py, with the decorator that one peer needs.
_PROGRAMS = {
    "hello.py": _WATCH + "hello()\n",
    "loop.py": PROGRAMS["loop.py"].replace("@click.command()\n", "@click.command()\n@watched\n"),
    "out.py": _WATCH + "hello.main([], standalone_mode=False)\n" + TELL_END,
    "tasks.py": "from invoke import task\n\n@task\n@watched\ndef hello(c):\n    pass\n",
    "dodo.py": (
        "@watched\ndef hello():\n    pass\n\ndef task_hello():\n    return {'actions': [hello]}\n"
    ),
    "shop.py": endings.CLICK,
    "typed.py": endings.TYPER,
}
_MOODS = ("answering", "refusing", "hanging")
_OUT = ("out.py",)
_SWIFT = 1000.0  # ms: a process that exits faster is measured more often


class Contest:
    """Everything that is compared, and the programs that it runs."""

    def __init__(self) -> None:
        self.house = House(ROOT / "build" / "peers-house")
        self.hanging = Hanging()
        self.missing: dict[str, str] = {}  # peers that could not be installed, and why
        self.peers = dict(_PEERS)
        self._build()

    @property
    def columns(self) -> list[str]:
        return [BARE, PATH, RUN, *self.peers]

    def title(self, column: str) -> str:
        return self.peers[column].title if column in self.peers else column

    def _build(self) -> None:
        for column in (BARE, *_PEERS):
            wanted = f"{BASE} {_PEERS[column].wanted}" if column in _PEERS else BASE
            problem = build(PLACE / column, wanted)
            if problem and column in _PEERS:
                self.missing[column] = problem
                del self.peers[column]
            elif problem:
                raise SystemExit(f"peers: {problem}")

    def command(
        self, column: str, *words: str, address: str = REFUSED, mood: str = "refusing"
    ) -> Command:
        """Return a command as a column runs it: one of the programs here, `inv` or `doit`."""
        peer = self.peers.get(column)
        place = PLACE / (column if peer else BARE)
        folder = self._programs(column, address)
        program = words[0]
        inner = [program] if program.endswith(".py") else [str(place / "bin" / program)]
        whole = [str(place / "bin" / "python"), *inner, *words[1:]]
        environ = {"PATH": f"{place / 'bin'}:/usr/bin:/bin", "HOME": str(folder)}
        if peer:
            values = {"address": address, "folder": str(place)}
            settings = peer.settings if mood == "answering" else {**peer.settings, **peer.real}
            values["host"], _, values["port"] = address.partition(":")
            environ |= {name: value.format(**values) for name, value in settings.items()}
            front = [str(place / "bin" / word) for word in peer.before[:1]]
            return Command([*front, *peer.before[1:], *whole], environ, folder)
        if column == BARE:
            return Command(whole, environ, folder)
        environ |= self._ours(mood)
        if column == RUN:
            del environ["PYTHONPATH"]
            whole.insert(0, str(self.house.place / "bin" / "autotask-run"))
        return Command(whole, environ, folder)

    def _ours(self, mood: str) -> dict[str, str]:
        house = self.house
        destinations = (house.listening, house.refused, house.full)
        return {
            "PYTHONPATH": str(house.place / "sitecustomize_template"),
            "AUTOTASK_HOME": str(house.place / "home"),
            "DD_DOGSTATSD_URL": dict(zip(_MOODS, destinations))[mood],
        }

    def _programs(self, column: str, address: str) -> Path:
        """Write the programs as a peer needs them; return their folder."""
        peer = self.peers.get(column)
        watched = peer.watched if peer else endings.UNWATCHED
        folder = PROGRAM / (f"{column}-{address.rpartition(':')[2]}" if peer else BARE)
        if not folder.exists():
            folder.mkdir(parents=True)
            for name, source in _PROGRAMS.items():
                (folder / name).write_text(watched.replace("{address}", address) + source)
            if peer:
                control = peer.control.replace("{address}", address)
                (folder / "control.py").write_text(control)
        return folder

    def measure(
        self,
        kind: measure.Measure,
        repeats: int,
        words: Sequence[str],
        mood: str = "answering",
        choose: Callable[[Sequence[float]], float] = statistics.median,
        columns: Sequence[str] = (),
    ) -> list[float]:
        """Measure a program in all columns, or in those given, in turn."""
        collector = Collector()
        addresses = dict(zip(_MOODS, (collector.address, REFUSED, self.hanging.address)))
        commands = [
            self.command(column, *words, address=addresses[mood], mood=mood)
            for column in columns or self.columns
        ]
        print(f"peers: {' '.join(words)}, back end {mood}", file=sys.stderr, flush=True)
        return list(measure.paired(kind, commands, repeats, choose))


def costs(contest: Contest, quick: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each measurement, and a cell for each column."""
    hellos = 3 if quick else 9
    for what, words in (
        ("Click hello, ms CPU", ("hello.py",)),
        ("Invoke hello, ms CPU", ("inv", "hello")),
        ("doit hello, ms CPU", ("doit", "-v0", "hello")),
    ):
        times = contest.measure(measure.cpu, hellos, words)
        yield what, [f"{time:.0f} ({time / times[0]:.2f})" for time in times]
    loops = 1 if quick else 3
    many = contest.measure(measure.cpu, loops, ("loop.py", str(CALLS)))
    none = contest.measure(measure.cpu, loops, ("loop.py", "0"))
    each = [(more - less) * 1000 / CALLS for more, less in zip(many, none)]
    yield f"one of {CALLS:,} calls, us CPU", [f"{time:.0f} ({time / each[0]:.1f})" for time in each]


def ends(contest: Contest, quick: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield how long a process takes to exit with each back end: a name, and the cells."""
    for mood in _MOODS:
        # The minimum: a process that waits does so each time, and the rest is noise.
        repeats = 2 if quick else 3
        columns = contest.columns
        times = dict(zip(columns, contest.measure(measure.way_out, repeats, _OUT, mood, min)))
        swift = [column for column, time in times.items() if time < _SWIFT]
        more = contest.measure(measure.way_out, repeats * 5, _OUT, mood, min, swift)
        times |= dict(zip(swift, map(min, more, (times[column] for column in swift))))
        yield f"back end {mood}, ms", [f"{times[column]:.1f}" for column in columns]


# --- the endings ---------------------------------------------------------------------------------


def verdicts(contest: Contest) -> dict[str, list[str]]:
    """Judge what each column recorded of each ending."""
    judged: dict[str, list[str]] = {}
    for column in contest.columns[1:]:
        print(f"peers: endings, {contest.title(column)}", file=sys.stderr, flush=True)
        is_peer = column in contest.peers
        if is_peer and not _recorded(contest, column, ("control.py",)):
            judged[column] = ["not observed"] * len(ENDINGS)
            continue
        recorded = _recorded if is_peer else _recorded_by_autotask
        judged[column] = [
            endings.verdict(ending.expected, recorded(contest, column, ending.words))
            for ending in ENDINGS.values()
        ]
    return judged


def _recorded(contest: Contest, column: str, words: tuple[str, ...]) -> list[Record]:
    collector = Collector()
    for log in (PLACE / column).glob("*.log"):
        log.unlink()
    _run(contest.command(column, *words, address=collector.address, mood="answering"))
    return contest.peers[column].read(collector, PLACE / column)


def _recorded_by_autotask(contest: Contest, column: str, words: tuple[str, ...]) -> list[Record]:
    home = contest.house.place / "home"
    shutil.rmtree(home, ignore_errors=True)
    _run(contest.command(column, *words, mood="answering"))
    command = [sys.executable, "-m", "autotask.tool.cli", "runs", "--all", "--format", "jsonl"]
    environ = {"AUTOTASK_HOME": str(home), "PYTHONPATH": str(contest.house.place)}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return endings.of_autotask(ended.stdout)


def _run(command: Command) -> None:
    subprocess.run(
        command.words,
        env=dict(command.environ),
        cwd=command.cwd,
        capture_output=True,
        timeout=120,
        check=False,
    )


# --- the page ------------------------------------------------------------------------------------

_PAGE = """\
## Beside the peers

{setting}. Each peer in an environment of its own with {versions}; back ends on loopback; medians
of runs in turn, in brackets the ratio to the bare program. The peers' settings are their defaults,
except the address of the back end, OpenTelemetry's metrics and logs (off) and New Relic's back end
(to get answers, its own for developers: it talks to the real one only over TLS). Sentry's monitor
needs two lines in the program and a decorator on each command; the others need none.

<!-- peers-costs -->
{costs}
<!-- /peers-costs -->

From the last line of a Click hello to the end of its process: the minimum of many, because a
process that waits does so each time, and the rest is noise of the machine.

<!-- peers-ends -->
{ends}
<!-- /peers-ends -->

Twelve ways for a Click command (in one case Typer's) to end, and what was recorded of each: what
its back end received, New Relic's log of what it sends, and for autotask `autotask runs`
afterwards. A record is right if it names the command once, with the true success or failure and no
wrong exit status. ddtrace, New Relic and Elastic do not integrate with Click: without changes to
the program they record only its outgoing calls and web requests (ddtrace reports an uncaught
exception as a crash, which is none of these endings). If only a start was recorded, Sentry's server
can report a timeout later, if the monitor was given one.

<!-- peers-endings -->
{endings}
<!-- /peers-endings -->
"""


def endings_table(contest: Contest) -> str:
    judged = verdicts(contest)
    rows = [
        (name, *("✓" if cell == RIGHT else cell for cell in cells))
        for name, *cells in zip(ENDINGS, *judged.values())
    ]
    rows.append(("right", *(f"{cells.count(RIGHT)} of {len(cells)}" for cells in judged.values())))
    return evidence.table(("", *map(contest.title, contest.columns[1:])), rows)


def costs_table(contest: Contest, rows: Iterator[tuple[str, list[str]]]) -> str:
    titles = map(contest.title, contest.columns)
    return evidence.table(("", *titles), [(what, *cells) for what, cells in rows])


def page(contest: Contest, quick: bool) -> str:
    missing = [f"\n{name} could not be installed: {why}." for name, why in contest.missing.items()]
    return _PAGE.format(
        setting=evidence.setting(),
        versions=_versions(contest),
        costs=costs_table(contest, costs(contest, quick)),
        ends=costs_table(contest, ends(contest, quick)),
        endings=endings_table(contest),
    ) + "".join(missing)


def _versions(contest: Contest) -> str:
    names = {BARE: BASE, **{column: peer.versions for column, peer in contest.peers.items()}}
    versions = []
    for column, wanted in names.items():
        script = (
            "import sys, importlib.metadata as m\n"
            "print(', '.join(f'{name} {m.version(name)}' for name in sys.argv[1:]))"
        )
        command = [str(PLACE / column / "bin" / "python"), "-c", script, *wanted.split()]
        versions.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return ", ".join(line.strip() for line in versions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats; write nothing")
    parser.add_argument("--ends", action="store_true", help="measure only how processes exit")
    parser.add_argument(
        "--endings", action="store_true", help="compare only what is recorded of endings"
    )
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # the programs must not inherit it ignored
    shutil.rmtree(PROGRAM, ignore_errors=True)
    contest = Contest()
    if options.ends:
        name, text = "peers-ends", costs_table(contest, ends(contest, options.quick))
    elif options.endings:
        name, text = "peers-endings", endings_table(contest)
    else:
        name, text = "peers", page(contest, options.quick)
    print(text)
    if not options.quick:
        evidence.write(name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
