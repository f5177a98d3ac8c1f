"""A browser for tests: headless Chromium through chromedriver, spoken to in the W3C WebDriver
protocol.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

KEYS = {
    "Escape": "\ue00c",
    "Tab": "\ue004",
    "Space": " ",
    "Enter": "\ue007",
    "ArrowDown": "\ue015",
    "ArrowUp": "\ue013",
    "End": "\ue010",
    "Home": "\ue011",
    "PageDown": "\ue00f",
    "PageUp": "\ue00e",
}
_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1400,900",
]


def missing() -> str:
    """Return which of the two programs is not installed, or nothing."""
    return next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), "")


class Browser:
    """One session; use it as a context."""

    def __enter__(self) -> Browser:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL
        )
        try:
            options = {"binary": shutil.which("chromium"), "args": _FLAGS}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            self._wait_for_driver()
            self._session = self._ask(
                "POST", "/session", {"capabilities": {"alwaysMatch": wanted}}
            )["sessionId"]
        except BaseException:
            self._driver.kill()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._ask("DELETE", f"/session/{self._session}")
        self._driver.terminate()
        self._driver.wait(20)

    def open(self, page: Path | str) -> None:
        """Open a local file, or an address, and wait until it is loaded. Its history begins there:
        of 50 entries, which all tests share, Chromium would drop some from the middle.
        """
        self._do("url", {"url": page if isinstance(page, str) else page.as_uri()})
        self.command("Page.resetNavigationHistory")

    def back(self) -> None:
        """Go one view back, and wait until the page knows it."""
        self.run(
            "return new Promise((gone) => { window.addEventListener('popstate', gone, "
            "{once: true}); history.back(); }).then(() => true)"
        )

    def reload(self) -> None:
        """Load the page again."""
        self._do("refresh", {})

    def command(self, name: str, **parameters: Any) -> Any:
        """Give a command of Chromium's own protocol, such as `Emulation.setEmulatedMedia`."""
        return self._do("goog/cdp/execute", {"cmd": name, "params": parameters})

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, in CSS pixels; smaller than a window can be, too."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)

    def screenshot(self) -> bytes:
        """Return what the page looks like, as a PNG."""
        taken = self._ask("GET", f"/session/{self._session}/screenshot")
        return base64.b64decode(taken)

    def wait(self, script: str, *arguments: Any) -> Any:
        """Return what `run` returns, once that is true in JavaScript's sense."""
        deadline = time.monotonic() + 20
        while not (found := self.run(script, *arguments)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.02)
        return found

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a JavaScript function returns once the page has drawn what it was
        about to draw.
        """
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => done(body(...given))))"
        waiting = (
            f"const given = arguments, body = function () {{ {script} }}; return new "
            f"Promise((done) => {frames});"
        )
        return self._do("execute/sync", {"script": waiting, "args": list(arguments)})

    def press(self, *keys: str) -> None:
        """Press keys, by name or character, one after the other, wherever the focus is."""
        actions = [
            {"type": kind, "value": KEYS.get(key, key)}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        self._do("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def fill(self, selector: str, text: str) -> None:
        """Type into a field, in place of what it holds."""
        field = self._do("element", {"using": "css selector", "value": selector})
        (number,) = field.values()
        self._do(f"element/{number}/clear", {})
        self._do(f"element/{number}/value", {"text": text})

    def console(self) -> list[str]:
        """Return the messages of the console since the last call: errors, refusals, logs."""
        return [entry["message"] for entry in self._do("se/log", {"type": "browser"})]

    def _do(self, command: str, body: dict) -> Any:
        return self._ask("POST", f"/session/{self._session}/{command}", body)

    def _ask(self, method: str, path: str, body: dict | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def _wait_for_driver(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                if self._ask("GET", "/status")["ready"]:
                    return
            except urllib.error.URLError:
                pass
            assert time.monotonic() < deadline, "chromedriver does not answer"
            time.sleep(0.1)
