"""`rosetta view`: a run's pages, to this machine, and nothing else of the folder."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest
from commands import assert_rejected, run_here
from viewer_pages import planted, write_viewer
from workflow_runs import TINY

from rosetta.config import dump_config, parse_config
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.report.serving import PORT, page_server
from rosetta.run.paths import Paths
from rosetta.storage.digests import write_text


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a viewer in parts, a report, and a table."""
    folder = tmp_path_factory.mktemp("served") / "results"
    folder.mkdir()
    write_viewer(folder, planted(), inside_bytes=0)
    paths = Paths(folder)
    write_text(paths.run_config, dump_config(parse_config({**TINY, "results": "results"})))
    write_text(paths.report, "<p>report")
    write_text(paths.table("counts"), "secret\n")
    (folder.parent / "outside.html").write_text("outside")
    return folder


@pytest.fixture
def served(run):
    with page_server(run, [run], 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(address, host=None, path=None):
    """The status and text of an answer; `path` is asked for as it is, whatever is odd in it."""
    port = urlsplit(address).port
    path = path or urlsplit(address)._replace(scheme="", netloc="").geturl()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_pages_and_their_parts_are_served(run, served):
    for name in ("viewer.html", "report.html", "viewer/3.js"):
        assert ask(served.address_of(name)) == (200, (run / name).read_bytes())
    port = served.server_address[1]
    assert ask(served.address_of("viewer.html?x=1"), f"localhost:{port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/viewer",
        "/viewer/",
        "/run_config.yaml",
        "/tables/counts.csv",
        "/../outside.html",
        "/viewer/../tables/counts.csv",
        "/%2e%2e/outside.html",
        "//etc/passwd",
        "/viewer/99.js",
    ],
)
def test_nothing_else_of_the_disk_is(served, path):
    for start in (served.prefix, ""):
        status, text = ask(served.address_of(""), path=f"{start}{path}" or "/")
        assert status == 404
        assert b"secret" not in text
    assert ask(served.address_of(""), path="/viewer.html")[0] == 404, "pages of this run only"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "x"])
def test_a_page_of_another_site_reads_nothing_through_its_own_name(served, host):
    assert ask(served.address_of("viewer.html"), host)[0] == 403


def test_only_this_machine_is_answered(run):
    with page_server(run, [run], 0) as server, page_server(run, [run.parent], None) as other:
        assert server.server_address[0] == other.server_address[0] == "127.0.0.1"
        assert server.prefix != other.prefix, "what a browser keeps of each stays apart"
        with page_server(run, [run], None) as third:  # the usual port is taken
            assert third.server_address[1] not in (0, PORT, other.server_address[1])


def test_the_viewer_works_where_it_is_served(browser, served):
    browser.open(served.address_of("viewer.html#a--b/L3/U307"))
    browser.wait("return document.querySelectorAll('.context').length === 3")
    assert browser.run("return document.querySelector('h1').textContent") == "a L3/U307 ↔ b L4/U307"
    assert [line for line in browser.console() if "favicon" not in line] == []


@pytest.mark.parametrize("matches", [False, True], ids=["a run", "matches"])
def test_the_command_opens_the_browser_and_ends_when_it_is_told_to(run, tmp_path, matches):
    row = dict.fromkeys(MATCH_COLUMNS, 1) | {"model_a": "x", "model_b": "y", "r": 0.5}
    pd.DataFrame([row]).to_parquet(tmp_path / "m.parquet")
    what = ["--matches", str(tmp_path / "m.parquet")] if matches else [str(run)]
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path / "opened"}\n')
    script.chmod(0o755)
    code = "from rosetta.cli import main; main()"
    view = subprocess.Popen(
        [sys.executable, "-c", code, "view", *what, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": f"{script} %s"},
        # Who runs the tests in the background ignores Ctrl+C, and what they start does so, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        address = view.stderr.readline().split()[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[0-9a-f]{8}/viewer\.html", address)
        status, page = ask(address)
        assert status == 200
        assert (b'"x--y"' in page) == matches
        view.send_signal(signal.SIGINT)
        assert view.wait(20) == 0
        assert (tmp_path / "opened").read_text() == address
    finally:
        view.kill()


def test_what_cannot_be_shown_is_told(run, tmp_path):
    assert_rejected(run_here("view", "none", folder=tmp_path), "none: no such folder")
    assert_rejected(run_here("view", "a", "b", folder=tmp_path), "view: shows one run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_here("view", run, "--port", port, "--no-browser", folder=tmp_path)
        assert_rejected(done, f"--port: {port} cannot be had")
    write_text(tmp_path / "results" / "run_config.yaml", (run / "run_config.yaml").read_text())
    done = run_here("view", "results", "--no-browser", folder=tmp_path)
    assert_rejected(done, "results: has no viewer.html and no report.html yet")
    assert "report.html" in done.err
    paths = Paths(Path(tmp_path) / "results")
    write_text(paths.viewer, "<p>")
    paths.viewer.write_text("<b>")
    assert_rejected(run_here("view", "results", "--no-browser", folder=tmp_path), "viewer.html")
