"""A run's pages for the browser of this machine, and nothing else of its folder."""

from __future__ import annotations

import http.server
import io
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from rosetta.errors import ConfigError
from rosetta.run.folders import run_config_in
from rosetta.run.paths import Paths
from rosetta.storage.damage import how_to_recompute
from rosetta.storage.digests import check_digest, digest_bytes

HOST = "127.0.0.1"
PORT = 8470  # the same every time, because a browser keeps stars by the address
_SERVED = re.compile(r"/(?:viewer\.html|report\.html|viewer/\d+\.js)")


def pages_of(folder: Path) -> list[str]:
    """Return the names of the pages in a run's folder, that to open first.

    Raises
    ------
    ConfigError
        If the folder has no run, or none of its pages is made yet.
    StoreError
        If one is damaged.
    """
    run_config_in(folder)
    paths = Paths(folder)
    made = [page for page in (paths.viewer, paths.report) if page.exists()]
    if not made:
        raise ConfigError(
            f"{folder}: has no {paths.viewer.name} and no {paths.report.name} yet. "
            f"{how_to_recompute(paths.report)}"
        )
    for page in made:
        check_digest(page)
    return [page.name for page in made]


class PageServer(http.server.ThreadingHTTPServer):
    """A server, on this machine's own address, of the pages in a folder, and of nothing else there.

    It answers requests that name that address only, so that no page of another site can read them
    through a name of its own that leads here. Pages lie under a name that follows from what is
    shown, so that the browser keeps the stars of each run apart.

    Parameters
    ----------
    folder : Path
        Where the pages lie.
    shown : sequence of Path
        What is shown.
    port : int
        Where it listens; any free port if 0.
    """

    def __init__(self, folder: Path, shown: Sequence[Path], port: int) -> None:
        self.prefix = f"/{digest_bytes(' '.join(str(one.resolve()) for one in shown).encode())[:8]}"
        super().__init__((HOST, port), partial(_Pages, directory=str(folder)))

    def address_of(self, page: str) -> str:
        """Return where a page is."""
        return f"http://{HOST}:{self.server_address[1]}{self.prefix}/{page}"


def page_server(folder: Path, shown: Sequence[Path], port: int | None) -> PageServer:
    """Return a `PageServer` at a port; if None at `PORT`, or any that is free where it is taken.

    Raises
    ------
    ConfigError
        If the port that is asked for cannot be had.
    """
    try:
        return PageServer(folder, shown, PORT if port is None else port)
    except OSError as error:
        if port is None:
            return PageServer(folder, shown, 0)
        raise ConfigError(
            f"--port: {port} cannot be had ({error.strerror}). Name another, or 0 for any that is "
            "free."
        ) from None


class _Pages(http.server.SimpleHTTPRequestHandler):
    """Answers for a page and its parts; all else is not found."""

    server: PageServer

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """Send the head of an answer; return the file that follows, or None."""
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(403)
            return None
        path = urlsplit(self.path).path
        inside = path.removeprefix(self.server.prefix)
        if inside == path or not _SERVED.fullmatch(inside):
            self.send_error(404)
            return None
        self.path = inside
        return super().send_head()

    def end_headers(self) -> None:
        """Say that pages are not to be kept, because a run may make them again."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *_message: object) -> None:
        """Say nothing of single requests."""
