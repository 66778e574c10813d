"""Whom to tell: the options for it, and sending one message to all of them.

`autotask notify` and `autotask check` share them.
"""

from __future__ import annotations

import argparse
import importlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from autotask.tool.errors import ToolError
from autotask.tool.output import clean

PATIENCE = 30.0  # seconds for all targets together; autotask-run gives a command 60


class Message(NamedTuple):
    """What is sent: a title and a text for people, a document for programs."""

    title: str
    body: str
    document: Mapping[str, Any]


class Targets(NamedTuple):
    """Where messages go."""

    mail: tuple[str, ...] = ()  # addresses
    webhook: tuple[str, ...] = ()  # URLs
    apprise: tuple[str, ...] = ()  # URLs of apprise
    sender: str | None = None  # in mails

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Targets:
        """Return the targets that a command line names."""
        return cls(
            *(tuple(arguments.mail), tuple(arguments.webhook), tuple(arguments.apprise)),
            arguments.sender,
        )

    def are_named(self) -> bool:
        """Tell whether there is any."""
        return bool(self.mail or self.webhook or self.apprise)


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add the options that name targets, and @FILE for what others should not see in `ps`.

    No message shows what they are: it may be a secret, and what `notify` says is kept for doctor.
    """
    parser.fromfile_prefix_chars = "@"
    parser.add_argument(
        "--mail",
        metavar="TO",
        action="append",
        type=_address,
        default=[],
        help="send a mail to this address, by this machine's sendmail; can be repeated",
    )
    parser.add_argument(
        "--webhook",
        metavar="URL",
        action="append",
        type=web_address,
        default=[],
        help="send JSON to this http or https address by POST; can be repeated",
    )
    parser.add_argument(
        "--apprise",
        metavar="URL",
        action="append",
        default=[],
        help="send a message to a service that the package apprise knows; can be repeated",
    )
    parser.add_argument(
        "--from",
        dest="sender",
        metavar="FROM",
        type=_address,
        help="the sender of mails (default: this user)",
    )


def _address(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("this is not an address")
    return text.strip()


def web_address(text: str) -> str:
    """Accept an http or https address, as argparse's `type`; an error does not show it."""
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, half of an IPv6 address
        is_web = False
    if not is_web or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("this is not an address with http:// or https://")
    return text


def send(targets: Targets, title: str, body: str, document: Mapping[str, Any]) -> None:
    """Send a message to all targets at once, and wait for at most PATIENCE seconds.

    *title* and *body* are for people, *document* is what a webhook gets as JSON.

    Raises:
        ToolError: One or more could not be told; it names them without the secrets in their
            addresses. The others have been told.
    """
    message = Message(title, body, document)
    sendings = [_Sending(who, work) for who, work in _works(targets, message)]
    end = time.monotonic() + PATIENCE
    problems = [problem for sending in sendings for problem in sending.problems(end)]
    if problems:
        raise ToolError("; ".join(problems))


def _works(targets: Targets, message: Message) -> list[tuple[str, Callable[[], None]]]:
    """Return what is to be done for each target, and its name; a module is loaded if needed."""
    works: list[tuple[str, Callable[[], None]]] = []

    def add(kind: str, who: str, *of: Any) -> None:
        def work() -> None:
            importlib.import_module(f"autotask.tool.notify.{kind}").send(message, *of)

        works.append((who, work))

    if targets.mail:
        add("mail", f"mail to {', '.join(targets.mail)}", targets.mail, targets.sender)
    for url in targets.webhook:
        add("webhook", f"webhook {urlsplit(url).hostname}", url)
    for url in targets.apprise:
        kind, colon, _ = url.partition("://")
        add("services", f"apprise {kind}" if colon else "apprise", url)
    return works


class _Sending(threading.Thread):
    """One target's sending: a slow one holds up neither the others nor, at the end, us."""

    def __init__(self, who: str, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._who, self._work = who, work
        self._problem: str | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except ToolError as problem:
            self._problem = clean(str(problem))
        except Exception as problem:  # of a service of apprise's: its text may have the address
            self._problem = clean(type(problem).__name__)

    def problems(self, end: float) -> list[str]:
        """Wait until *end* (time.monotonic()); return what went wrong."""
        self.join(max(0.0, end - time.monotonic()))
        if self.is_alive():
            self._problem = f"no answer after {PATIENCE:.0f} s"
        return [f"{self._who}: {self._problem}"] if self._problem else []
