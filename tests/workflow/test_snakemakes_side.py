"""What Snakemake itself needs and makes: a folder for its cache, and its own report with the
captions of the rules.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docutils.core import publish_parts
from workflow_runs import ROOT, run_snakemake

CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.rst"))
UNLOCK = ROOT / "workflow" / "scripts" / "unlock.py"


def unlock(folder: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {
        name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"
    } | variables
    command = [sys.executable, UNLOCK]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_home_that_cannot_be_written_is_told_with_the_variable_that_helps(tmp_path):
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "home")
    rejected = unlock(tmp_path, HOME=nowhere)
    assert rejected.returncode == 1
    assert re.fullmatch(
        r"rosetta: .*file/home/\.cache.* cannot be written.*XDG_CACHE_HOME.*\n", rejected.stderr
    )
    cache = tmp_path / "cache"
    assert unlock(tmp_path, HOME=nowhere, XDG_CACHE_HOME=str(cache)).returncode == 0
    assert cache.is_dir()


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda path: path.stem)
def test_captions_are_clean(caption):
    """As Snakemake makes HTML of them; a message of docutils is a red box there."""
    made = publish_parts(
        caption.read_text("utf-8"), writer="html", settings_overrides={"warning_stream": False}
    )
    assert not re.search("system-message|problematic", made["body"])


def test_snakemakes_report_of_a_finished_run_has_no_messages_in_it(finished, tmp_path):
    run_snakemake(finished, "--report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text("utf-8")
    captions = [json.loads(text) for text in re.findall(r'"caption": ("(?:[^"\\]|\\.)*")', page)]
    assert len(captions) >= len(CAPTIONS), "as many as there are results with one"
    assert sum("|R|" in text for text in captions) == 1
    assert not re.search("system-message|problematic", page)
