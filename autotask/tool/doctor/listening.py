"""Does anybody listen where the datagrams go?

A datagram has no answer. But to a socket file that nobody has open, and to a port of this very
machine that nobody listens at, the kernel itself says no.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping

from autotask.settings import Settings
from autotask.tool.doctor.finding import Finding, Findings

_NAMED = ("DD_DOGSTATSD_URL", "DD_AGENT_HOST", "DD_DOGSTATSD_PORT")
_NOTHING = b"\n"  # an empty line means nothing to an Agent
WITHOUT = "or, without Datadog, AUTOTASK_DOGSTATSD=0"


def findings(settings: Settings, environ: Mapping[str, str]) -> Findings:
    """Tell where datagrams go, and whether they arrive as far as that can be known.

    Where nobody has named a place, that nobody listens there is no problem. No Datadog is none.
    """
    if not settings.dogstatsd:
        yield Finding("ok", "datagrams", "are turned off by the settings")
        return
    named = [name for name in _NAMED if environ.get(name)]
    try:
        text = knock(settings)
    except OSError as problem:
        said = f"nobody listens at {place(settings)} ({problem.strerror or problem})"
        status = "problem" if named else "warning"
        remedy = (
            f"start the Datadog Agent there, or correct {named[0]}"
            if named
            else "start a Datadog Agent, or say where it is: DD_AGENT_HOST, DD_DOGSTATSD_URL; "
            + WITHOUT
        )
        yield Finding(status, "datagrams", said, remedy)
    else:
        yield Finding("ok", "datagrams", text)


def place(settings: Settings) -> str:
    """Name where datagrams go."""
    family, host, port = settings.destination
    return host if family == "unix" else f"{host}:{port}"


def knock(settings: Settings) -> str:
    """Say where datagrams go and whether that can be known; OSError where nobody listens."""
    family, host, port = settings.destination
    return _knock_file(host) if family == "unix" else _knock_port(host, port)


def _knock_file(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.setblocking(False)
        door.connect(path)
    return f"go to {path}, where somebody listens"


def _knock_port(host: str, port: int) -> str:
    numeric = "127.0.0.1" if host == "localhost" else host  # as the agent takes it
    family, _, _, _, address = socket.getaddrinfo(numeric, port, 0, socket.SOCK_DGRAM)[0]
    there = f"{host}:{port}" if numeric == address[0] else f"{host}:{port} ({address[0]})"
    with socket.socket(family, socket.SOCK_DGRAM) as door:
        door.connect(address)
        ours = door.getsockname()[0] == address[0]
        if not (ours or ipaddress.ip_address(address[0]).is_loopback):
            return f"go to {there}; whether anybody listens on another host cannot be known"
        door.send(_NOTHING)
        refused = door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused:
        raise OSError(refused, os.strerror(refused))
    return f"go to {there}, where somebody listens"
