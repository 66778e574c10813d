"""A mail, handed to this machine's sendmail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from email import policy
from email.message import EmailMessage
from email.utils import localtime

from autotask.tool.errors import ToolError
from autotask.tool.notify.targets import Message

_USUAL = "/usr/sbin:/usr/lib"  # cron's PATH has neither
_LONGEST = 25.0  # seconds; less than `targets.PATIENCE`
# 7bit: it passes through whatever handles it on the way.
_POLICY = policy.default.clone(cte_type="7bit")


def send(message: Message, to: Sequence[str], sender: str | None) -> None:
    """Send a mail to some addresses; raise ToolError if sendmail is missing or refuses it."""
    path = os.pathsep.join(filter(None, (os.environ.get("PATH", os.defpath), _USUAL)))
    program = shutil.which("sendmail", path=path)
    if program is None:
        raise ToolError("no sendmail on this machine: install a mail server, or msmtp-mta or dma")
    try:
        done = subprocess.run(
            [program, "-t", "-i"],
            input=written(message, to, sender),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{program} did not end within {_LONGEST:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ToolError(f"{program} failed with status {done.returncode}{said and f': {said}'}")


def written(message: Message, to: Sequence[str], sender: str | None) -> bytes:
    """Write the mail. Its headers cannot be more than they should, whatever a task is called."""
    mail = EmailMessage(_POLICY)
    mail["To"] = ", ".join(to)
    if sender:
        mail["From"] = sender
    mail["Subject"] = _one_line(message.title)
    mail["Date"] = localtime()
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nothing answers that it is on holiday
    mail.set_content(_encodable(message.body))
    return mail.as_bytes()


def _one_line(text: str) -> str:
    """Write a text without line ends, also none in an encoded word, which `email` would decode."""
    letters = (letter if letter.isprintable() else " " for letter in _encodable(text))
    return " ".join("".join(letters).replace("=?", "= ?").split())


def _encodable(text: str) -> str:
    """Escape what UTF-8 cannot write: the bytes of a name that were no text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
