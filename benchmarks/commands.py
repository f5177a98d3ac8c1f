"""The `rosetta` command of the interpreter that runs a benchmark, whether its environment is
activated or not.
"""

from __future__ import annotations

import sys

ROSETTA = [sys.executable, "-c", "from rosetta.cli import main; main()"]
