"""Commands in the documentation do what they say: Snakemake's --configfile takes every name that
follows it.
"""

import re
import shlex
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "Snakefile",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "workflow" / "presets").glob("*.yaml")),
    ROOT / "workflow" / "other_seeds.yaml",
    *sorted((ROOT / "workflow" / "rules").glob("*.smk")),
]
COMMAND = re.compile(r"(?:^|`|: |# +)(snakemake [^`#\n]*--configfile[^`#\n]*)", re.MULTILINE)
COMMANDS = [
    (page.name, found.strip(" `"))
    for page in PAGES
    for found in COMMAND.findall(page.read_text("utf-8"))
]


def test_there_are_some():
    assert len(COMMANDS) >= 10
    assert sum(" -- " in command for _, command in COMMANDS) >= 3


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_configurations_and_targets_are_told_apart(page, command):
    words = shlex.split(command.split("  ")[0].replace("--cores N", "--cores 2"))
    arguments = get_argument_parser(profiles=None).parse_args(words[1:])
    assert all(str(file).endswith(".yaml") for file in arguments.configfile), page
    assert not any(str(target).endswith(".yaml") for target in arguments.targets)
    before = words[1 : words.index("--configfile")]
    assert not {str(target) for target in arguments.targets} & set(before), (
        "such a command cannot be put together again"
    )
