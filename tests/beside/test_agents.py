"""Beside other agents that are put in front of a command, in both orders.

The program's output and exit status are as with the other agent alone, that agent is at work,
and each run is recorded once.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import environments
import pytest
from beside._peers import environment, without_us
from frameworks._own import in_short
from support import LAUNCHER, PRODUCTS, TEMPLATE, Ended, Under, run_program, runs, write

_NO_AGENT = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Agent:
    command: list[str]
    evidence: str  # code that prints what only this agent can cause
    says: str  # a part of that output
    settings: dict[str, str] = field(default_factory=dict)
    chains: bool = True  # its sitecustomize runs the next one; else ours must come first


_SQLITE = "import sqlite3; print(type(sqlite3.connect))"  # most replace it by their own

AGENTS = {
    "ddtrace": Agent(
        ["ddtrace-run"],
        _SQLITE + "; import ddtrace; print(ddtrace.__name__)",
        "FunctionWrapper'>\nddtrace",
        {
            "DD_TRACE_AGENT_URL": _NO_AGENT,
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        },
    ),
    "opentelemetry": Agent(
        ["opentelemetry-instrument"],
        "from opentelemetry import trace; span = trace.get_current_span();"
        " print(span.is_recording(), span.name)",
        "True good",
        {f"OTEL_{what}_EXPORTER": "none" for what in ("TRACES", "METRICS", "LOGS")},
        chains=False,
    ),
    "newrelic": Agent(
        ["newrelic-admin", "run-program"],
        _SQLITE,
        "newrelic.hooks",
        {
            "NEW_RELIC_LICENSE_KEY": "none",
            "NEW_RELIC_DEVELOPER_MODE": "true",  # sends nothing
            "NEW_RELIC_HOST": "127.0.0.1",
        },
    ),
    "elasticapm": Agent(
        ["elasticapm-run"],
        _SQLITE,
        "elasticapm.instrumentation",
        {
            "ELASTIC_APM_SERVER_URL": _NO_AGENT,
            "ELASTIC_APM_CLOUD_PROVIDER": "none",
            "ELASTIC_APM_CENTRAL_CONFIG": "false",
            "ELASTIC_APM_METRICS_INTERVAL": "0",
        },
        chains=False,
    ),
}

# Where we start: outside the other agent's command, which puts its own folder first on the path,
# or inside it.
OUTSIDE: dict[str, Under] = {"PYTHONPATH and THEIRS": "path", "autotask-run THEIRS": "launcher"}
INSIDE = {
    "THEIRS and PYTHONPATH": ["sh", "-c", f'PYTHONPATH={TEMPLATE}:$PYTHONPATH exec "$@"', "sh"],
    "THEIRS autotask-run": [str(LAUNCHER)],
}
BEHIND = ["sh", "-c", f'PYTHONPATH=$PYTHONPATH:{TEMPLATE} exec "$@"', "sh"]

# A success, in which the other agent must be active, is tried in each order. Each way to fail
# is tried in two: with us outside and inside, by path and by autotask-run; PRODUCTS=all has all.
FAILURES = {
    "bad": ("PYTHONPATH and THEIRS", "THEIRS autotask-run"),
    "leave": ("autotask-run THEIRS", "THEIRS and PYTHONPATH"),
}

# A command of the program, its exit status, and the records of it and of the whole program.
ENDINGS = {
    "good": (0, "success", "success"),
    "bad": (1, "failure exception ValueError", "failure nested ValueError by shop.bad"),
    "leave": (3, "failure exit 3", "failure nested 3 by shop.leave"),
}


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Agent:
    found = AGENTS[request.param]
    for name, value in {**environment(request.param), **found.settings}.items():
        monkeypatch.setenv(name, str(value))
    return found


@pytest.fixture
def shop(agent: Agent, tmp_path: Path) -> Path:
    source = f"""\
    import sys
    import click

    @click.group()
    def shop(): pass

    @shop.command()
    def good():
        {agent.evidence}

    @shop.command()
    def bad():
        raise ValueError("boom")

    @shop.command()
    def leave():
        sys.exit(3)

    if __name__ == "__main__":
        shop()
    """
    return write(tmp_path / "shop.py", source)


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_run_is_recorded_whichever_agent_comes_first(
    agent: Agent, ending: str, shop: Path, tmp_path: Path
) -> None:
    program = ["python", str(shop), ending]
    bare = run_program(*agent.command, *program, under="bare")
    assert (bare.status, agent.says in bare.stdout) == (ENDINGS[ending][0], ending == "good"), bare
    for order, under in OUTSIDE.items():
        if _is_asked_for(ending, order):
            ended, lines = _run(tmp_path / order, agent.command, program, under)
            assert (order, ended, lines) == (order, bare, _told(ending))
    for order, ours in INSIDE.items():
        if _is_asked_for(ending, order):
            ended, lines = _run(tmp_path / order, [*agent.command, *ours], program)
            assert (order, ended, lines) == (order, bare, _told(ending))


@pytest.mark.parametrize(
    "agent", [name for name, agent in AGENTS.items() if not agent.chains], indirect=True
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_if_python_looks_for_a_usercustomize_the_agent_starts_by_it(
    agent: Agent, ending: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = environments.site(Path(str(shutil.which("python"))))
    monkeypatch.setenv("PYTHONPATH", str(site))
    program = [str(Path(sys.base_prefix) / "bin" / "python3"), str(shop), ending]
    bare = run_program(*agent.command, *program, under="bare")
    assert (bare.status, agent.says in bare.stdout) == (ENDINGS[ending][0], ending == "good"), bare
    ended, lines = _run(tmp_path / "home", [*agent.command, *BEHIND], program)
    assert (ended, lines) == (bare, _told(ending))


def _is_asked_for(ending: str, order: str) -> bool:
    return PRODUCTS == "all" or order in FAILURES.get(ending, (order,))


def _run(
    home: Path, before: list[str], program: list[str], under: Under = "bare"
) -> tuple[Ended, list[str]]:
    ended = run_program(*before, *program, under=under, env={"AUTOTASK_HOME": str(home)})
    return without_us(ended), in_short(runs(home))


def _told(ending: str) -> list[str]:
    _, of_task, of_whole = ENDINGS[ending]
    return [f"shop.py {of_whole}", f"shop.{ending} {of_task} in shop.py"]
