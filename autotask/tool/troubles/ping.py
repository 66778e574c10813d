"""Tell a dead man's switch outside that all is well."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import autotask
from autotask.tool.errors import ToolError

_TIMEOUT = 10.0  # seconds until a connection, and until an answer
_TRIES = 2


def ping(url: str) -> None:
    """Ask for an address, twice if need be.

    Raises:
        ToolError: There was no answer, or one that is no success. It names the host alone: the
            rest of such an address is a secret.
    """
    agent = {"User-Agent": f"autotask/{autotask.__version__}"}
    request = urllib.request.Request(url, headers=agent)  # noqa: S310  it is a web_address
    problem = ""
    for _ in range(_TRIES):
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT).close()  # noqa: S310
            return
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"it responds with status {error.code}"
        except urllib.error.URLError as error:
            problem = getattr(error.reason, "strerror", None) or str(error.reason)
        except OSError as error:
            problem = error.strerror or str(error)
        except (ValueError, http.client.HTTPException):
            problem = "it sent an unexpected response"
    raise ToolError(f"ping of {urlsplit(url).hostname} failed: {problem}")
