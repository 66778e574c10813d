"""A message to a service that apprise knows: Slack, Telegram, ntfy and a hundred more."""

from __future__ import annotations

from autotask.tool.errors import ToolError
from autotask.tool.notify.targets import Message


def send(message: Message, url: str) -> None:
    """Send title and text to a service; raise ToolError if it, or the package, is missing."""
    try:
        import apprise
    except ImportError:
        raise ToolError(
            "the package is not installed: `pip install 'autotask-agent[apprise]'`"
        ) from None
    service = apprise.Apprise()
    if not service.add(url):
        raise ToolError("apprise does not know this address")
    is_sent = service.notify(
        title=message.title,
        body=message.body,
        notify_type=apprise.NotifyType.FAILURE,
        body_format=apprise.NotifyFormat.TEXT,
    )
    if not is_sent:
        raise ToolError("apprise could not send it")
