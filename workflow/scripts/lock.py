"""Resolve the project's dependencies; write envs/requirements.lock and envs/rosetta.yaml.

    lock.py              keeps the version of every locked package and adds what is new
    lock.py --upgrade    takes the newest version of every package, but torch's

pip resolves in a scratch environment without installing anything. The version of torch stays,
because what pip finds for a range may be a build of several gigabytes: to change it, edit the
lock's line. CUDA packages that some builds of torch bring along are left out: they are torch's own
requirements, and pip installs the ones that fit the machine.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK, CONDA = ROOT / "envs" / "requirements.lock", ROOT / "envs" / "rosetta.yaml"
EXTRAS = "all,test,docs"
LEFT_OUT = re.compile(r"(nvidia-|cuda-|triton|pip=|rosetta-neurons)")
HEADER = "# Written by `make lock` from pyproject.toml; do not edit.\n"


def resolved(kept: list[str]) -> list[str]:
    """Return the pins of all dependencies, sorted, given the pins that must stay."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        python, report = folder / "venv" / "bin" / "python", folder / "report.json"
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join(kept) + "\n")
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        project = f"{ROOT}[{EXTRAS}]"
        subprocess.run([*pip, "--report", report, "-c", constraints, project], check=True)
        found = json.loads(report.read_text())["install"]
    # A local part of a version (2.13.0+cpu) names a build, which other machines do not have.
    pins = [
        f"{entry['metadata']['name']}=={entry['metadata']['version'].split('+')[0]}"
        for entry in found
    ]
    return sorted((pin for pin in pins if not LEFT_OUT.match(pin.lower())), key=str.lower)


def main() -> None:
    """Write both files."""
    kept = [line for line in LOCK.read_text().splitlines() if "==" in line]
    if "--upgrade" in sys.argv[1:]:
        kept = [pin for pin in kept if pin.startswith("torch==")]
    pins = resolved(kept)
    LOCK.write_text(HEADER + "\n".join(pins) + "\n")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    lines = ["channels:", "  - conda-forge", "dependencies:"]
    lines += [f"  - python={version}", "  - pip", "  - pip:", *(f"      - {pin}" for pin in pins)]
    CONDA.write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
