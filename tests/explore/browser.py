"""A headless browser, driven over WebDriver's own protocol: chromium and its driver, no library."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 240.0  # seconds: compiling may wait for other work
RIGHT = "\ue014"  # the arrow key

absent = not (shutil.which("chromium") and shutil.which("chromedriver"))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def until(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first answer that is not empty."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"nothing within {seconds:g} s")


class Page:
    """A window of the browser."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE) as said:
            return json.loads(said.read())["value"]

    def open(self, url: str) -> None:
        self.call("POST", "/url", {"url": url})

    def js(self, code: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": code, "args": []})

    def press(self, key: str) -> None:
        strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": strokes}]})

    def errors(self) -> list[str]:
        """What the console has been told that is wrong."""
        log = self.call("POST", "/se/log", {"type": "browser"})
        return [e["message"] for e in log if e["level"] == "SEVERE"]


@contextmanager
def browser(width: int = 900, height: int = 1400) -> Iterator[Page]:
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    root = Page(f"http://127.0.0.1:{port}")
    options = {"args": ["--headless=new", "--no-sandbox", f"--window-size={width},{height}"]}
    wanted = {
        "browserName": "chrome", "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "SEVERE"},
    }  # fmt: skip
    try:
        until(lambda: root.call("GET", "/status")["ready"])
        made = root.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        page = Page(f"{root.url}/session/{made['sessionId']}")
        try:
            yield page
        finally:
            page.call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait()
