"""Resolve the project's dependencies in a scratch environment; write envs/requirements.lock and envs/rosetta.yaml.

CUDA packages that some builds of torch bring along are left out: they are torch's own requirements, and pip installs
the ones that fit the machine.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ENVS = Path(__file__).parents[2] / "envs"
LEFT_OUT = re.compile(r"(nvidia-|cuda-|triton|pip=|rosetta-neurons)")
HEADER = "# Written by `make lock` from pyproject.toml; do not edit.\n"


def resolved() -> list[str]:
    """Return the pinned requirements of a fresh installation."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        project = f"{ENVS.parent}[test,slurm,annotate]"
        # torch first: a plain dependency could otherwise pull another build.
        for requirement in ("torch==2.13.0", project):
            subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
        freeze = [python, "-m", "pip", "freeze", "--all"]
        frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout
    pins = [re.sub(r"\+.*", "", line) for line in frozen.splitlines() if "==" in line]
    return [pin for pin in pins if not LEFT_OUT.match(pin.lower())]


def main() -> None:
    """Write both files."""
    pins = resolved()
    (ENVS / "requirements.lock").write_text(HEADER + "\n".join(pins) + "\n")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    lines = ["channels:", "  - conda-forge", "dependencies:", f"  - python={version}", "  - pip", "  - pip:"]
    (ENVS / "rosetta.yaml").write_text(HEADER + "\n".join(lines + [f"      - {pin}" for pin in pins]) + "\n")


if __name__ == "__main__":
    main()
