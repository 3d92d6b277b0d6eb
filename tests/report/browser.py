"""A headless browser that pages are opened in: Debian's chromium, spoken to over its own pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium reads from descriptor 3 and writes to 4.
WIRED = (
    "import fcntl, os, sys\n"
    "r, w = (fcntl.fcntl(int(d), fcntl.F_DUPFD, 10) for d in sys.argv[1:3])\n"
    "os.dup2(r, 3), os.dup2(w, 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)
MEASURE = """(() => {
  const room = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll("body *")].filter(e => {
    if (e.closest(".scroll, svg")) return false;
    return e.getBoundingClientRect().right > room + 0.5;
  });
  return {inner: innerWidth, scroll: document.documentElement.scrollWidth,
          wide: wide.map(e => e.tagName + "." + e.className).slice(0, 5),
          dark: matchMedia("(prefers-color-scheme: dark)").matches,
          ground: getComputedStyle(document.body).backgroundColor};
})()"""


def found() -> str | None:
    """The browser's program; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Browser:
    """One page of a browser. errors: what its console has complained about, and what it asked the
    network for."""

    process: Any
    read: Any
    write: Any
    session: str = ""
    count: int = 0
    errors: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, program: str, folder: Path) -> Browser:
        ours_in, its_out = os.pipe()
        its_in, ours_out = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                   f"--user-data-dir={folder}", "--no-first-run", "--disable-extensions",
                   "--disable-background-networking", "about:blank"]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", WIRED, str(its_in), str(its_out), program, *options],
            pass_fds=(its_in, its_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(its_in)
        os.close(its_out)
        browser = cls(process, os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb"))
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        browser.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.ask(f"{domain}.enable")
        return browser

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command; events on the way are noted."""
        self.count += 1
        said = {"id": self.count, "method": method, "params": params}
        if self.session:
            said["sessionId"] = self.session
        self.write.write(json.dumps(said).encode() + b"\0")
        self.write.flush()
        number = self.count
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                return message.get("result", {})

    def open(self, page: Path, width: int, dark: bool, height: int = 900) -> dict[str, Any]:
        """What `MEASURE` sees of a page at a width."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=page.as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass
        found = self.ask("Runtime.evaluate", expression=MEASURE, returnByValue=True)
        return found["result"]["value"]

    def screenshot(self, file: Path, whole: bool = True) -> Path:
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))
        return file

    def close(self) -> None:
        self.write.close()
        self.read.close()
        self.process.kill()
        self.process.wait()

    def _next(self) -> dict[str, Any]:
        parts = bytearray()
        while (byte := self.read.read(1)) != b"\0":
            assert byte, "the browser has ended"
            parts += byte
        message = json.loads(parts)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.errors.append(f"asked for {url}")
