"""A real headless Chromium, told through a pipe what to do: its DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = (
    *("--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-sync"),
    *("--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"),
    *("--disable-component-update", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"),
)


def find() -> str:
    """Return the program; skip the test if there is none."""
    found = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    return found or pytest.skip("no Chromium on this machine: apt-get install chromium")


class Browser:
    """Chromium with one page."""

    def __init__(self, folder: Path) -> None:
        to_read, self._commands = os.pipe()
        self._events, to_write = os.pipe()

        def place() -> None:  # it reads commands from descriptor 3, and writes to 4
            ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            [find(), *_OPTIONS, f"--user-data-dir={folder}"],
            preexec_fn=place,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._numbers = itertools.count(1)
        self._left = b""
        self._session: str | None = None
        self.told: list[dict[str, Any]] = []  # events of the page
        target = self("Target.createTarget", url="about:blank")["targetId"]
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime", "Accessibility", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command, and return its result."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        answer = self._await(lambda message: message.get("id") == number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _await(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while True:
            message = self._next(end)
            if "method" in message:
                self.told.append(message)
            if is_it(message):
                return message

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready = select.select([self._events], [], [], max(end - time.monotonic(), 0))[0]
            assert ready, "the browser does not answer"
            data = os.read(self._events, 1 << 20)
            assert data, "the browser has ended"
            self._left += data
        line, _, self._left = self._left.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def show(
        self,
        path: Path,
        width: int = 1280,
        scheme: str = "light",
        media: str = "",
        scripts: bool = True,
    ) -> None:
        """Load a file in a window of a width, with a colour scheme, as on a screen or on paper."""
        self.told.clear()
        self("Emulation.setScriptExecutionDisabled", value=not scripts)
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        wanted = {"name": "prefers-color-scheme", "value": scheme}
        self("Emulation.setEmulatedMedia", media=media, features=[wanted])
        self("Page.navigate", url=path.as_uri())
        self._await(lambda message: message.get("method") == "Page.loadEventFired")

    def ask(self, expression: str) -> Any:
        """Evaluate JavaScript in the page, and return its value."""
        found = self(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key."""
        code = {"Tab": 9, "Enter": 13}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for, itself first."""
        return [
            event["params"]["request"]["url"]
            for event in self.told
            if event["method"] == "Network.requestWillBeSent"
        ]

    def blocked(self) -> set[str]:
        """Return why requests were blocked; those that were not have an empty reason."""
        ends = ("Network.loadingFailed", "Network.responseReceived")
        told = [event["params"] for event in self.told if event["method"] in ends]
        return {
            params.get("blockedReason", "") for params in told if params.get("type") != "Document"
        }

    def complaints(self) -> list[str]:
        """Return what the browser has written to its console."""
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [json.dumps(event) for event in self.told if event["method"] in kinds]

    def tree(self) -> list[tuple[str, str]]:
        """Return what a screen reader is given: the role and the name of each part."""
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in self("Accessibility.getFullAXTree")["nodes"]
            if not node["ignored"]
        ]

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        data = self("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        return base64.b64decode(data)

    def paper(self) -> bytes:
        """Return the page as PDF."""
        return base64.b64decode(self("Page.printToPDF", printBackground=True)["data"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._events)
