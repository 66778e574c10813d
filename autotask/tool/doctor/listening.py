"""Check whether anything is listening where the datagrams go.

A datagram has no answer. But the kernel refuses one to a socket file that no process has open, and
one to a port of this machine on which no process is listening.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping

from autotask.settings import Settings
from autotask.tool.doctor.finding import Finding, Findings

_NAMED = ("DD_DOGSTATSD_URL", "DD_AGENT_HOST", "DD_DOGSTATSD_PORT")
_EMPTY_LINE = b"\n"  # which an Agent ignores
WITHOUT_DATADOG = "or set AUTOTASK_DOGSTATSD=0 if you do not use Datadog"


def findings(settings: Settings, environ: Mapping[str, str]) -> Findings:
    """Tell where datagrams go, and whether anything is listening there, as far as that is known.

    If the settings name no address, this is only a warning: there may be no Datadog.
    """
    if not settings.dogstatsd:
        yield Finding("ok", "datagrams", "turned off by the settings")
        return
    named = [name for name in _NAMED if environ.get(name)]
    try:
        text = knock(settings)
    except OSError as problem:
        text = f"nothing is listening at {address(settings)} ({problem.strerror or problem})"
        if named:
            remedy = f"start the Datadog Agent there, or correct {named[0]}"
            yield Finding("problem", "datagrams", text, remedy)
        else:
            remedy = "start a Datadog Agent, set DD_AGENT_HOST or DD_DOGSTATSD_URL,"
            yield Finding("warning", "datagrams", text, f"{remedy} {WITHOUT_DATADOG}")
    else:
        yield Finding("ok", "datagrams", text)


def address(settings: Settings) -> str:
    """Return where datagrams go, as a person writes it."""
    family, host, port = settings.destination
    return host if family == "unix" else f"{host}:{port}"


def knock(settings: Settings) -> str:
    """Say where datagrams go and whether something is listening; OSError if nothing is."""
    family, host, port = settings.destination
    return _knock_file(host) if family == "unix" else _knock_port(host, port)


def _knock_file(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(path)  # fails if no process has the socket open
    return f"sent to {path}, where something is listening"


def _knock_port(host: str, port: int) -> str:
    numeric = "127.0.0.1" if host == "localhost" else host  # as the agent takes it
    family, _, _, _, target = socket.getaddrinfo(numeric, port, 0, socket.SOCK_DGRAM)[0]
    text = f"{host}:{port}" if numeric == target[0] else f"{host}:{port} ({target[0]})"
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.connect(target)
        is_local = client.getsockname()[0] == target[0]
        if not (is_local or ipaddress.ip_address(target[0]).is_loopback):
            return f"sent to {text}; whether another host is listening cannot be known"
        # On loopback the kernel's refusal is there as soon as send() returns.
        client.send(_EMPTY_LINE)
        refused = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused:
        raise OSError(refused, os.strerror(refused))
    return f"sent to {text}, where something is listening"
