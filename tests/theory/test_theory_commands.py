"""The commands of the theory, run by hand."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from planted_laws import planted, polarization

from rosetta.cli.app import main
from rosetta.config import load_config

ROOT = Path(__file__).parents[2]


def test_no_match_is_upstream_of_the_prediction(tmp_path):
    """What `theory_beta` needs, by the workflow itself: no correlation, no match, no count."""
    table = tmp_path / "tables" / "theory_beta.csv"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "--cores",
        "1",
        "--configfile",
        "workflow/presets/tiny.yaml",
    ]
    command += ["--config", f"results={tmp_path}", "--", str(table)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    jobs = set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.MULTILINE))
    assert {"routes", "train_and_profile"} <= jobs
    assert not jobs & {"pair", "part_of_rung", "groups", "tables", "filtering"}


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run `rosetta theory …` in a folder of its own; return the exit code and what it printed to
    stderr.
    """
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rosetta", "theory", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().err

    return run


def test_the_commands_work_by_hand(tmp_path, command):
    counts, betas = planted()
    counts.to_csv(tmp_path / "counts.csv", index=False)
    betas.to_csv(tmp_path / "betas.csv", index=False)
    predict = (
        "predict",
        "--to-size",
        5000,
        "--to-size",
        50000,
        "--betas",
        "betas.csv",
        "--counts",
        "counts.csv",
    )
    code, said = command(*predict, "--out", "predicted.csv")
    assert (code, "polarization.csv: no such table" in said) == (0, True)
    table = pd.read_csv(tmp_path / "predicted.csv")
    assert sorted(table["n_neurons"].unique()) == [5000, 50_000]
    assert set(table["quantity"]) == {"count", "fraction", "isolation_gain"}
    polarization(0.5).to_csv(tmp_path / "polarization.csv", index=False)
    assert command(*predict, "--out", "predicted.csv") == (0, "")
    predicted = pd.read_csv(tmp_path / "predicted.csv")
    assert "selectivity of rosetta" in set(predicted["quantity"])
    (tmp_path / "mine" / "tables").mkdir(parents=True)
    for file, table in (
        ("betas", "theory_beta"),
        ("counts", "counts"),
        ("polarization", "polarization"),
    ):
        (tmp_path / f"{file}.csv").rename(tmp_path / "mine" / "tables" / f"{table}.csv")
    assert command(*predict[:5], "--results", "mine", "--out", "of_a_run.csv") == (0, "")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "of_a_run.csv"), predicted)
    config = ("--config", ROOT / "workflow" / "presets" / "tiny.yaml")
    assert command("simulate", *config, "--beta", 2.5, "--out", "s.csv")[0] == 0
    theory, simulated = (
        load_config(config[1]).theory,
        pd.read_csv(tmp_path / "s.csv").groupby("neurons")["n"],
    )
    assert simulated.apply(list).to_dict() == {
        "served": theory.simulation.sizes,
        "all": theory.whole.sizes,
    }
    assert (
        command("sweep", *config, "--parameter", "n_inputs", "--value", 100, "--out", "w.csv")[0]
        == 0
    )
    assert command("sweep-table", "w.csv", "--out", "sweep.csv", "--exponents", "fits.csv")[0] == 0
    assert pd.read_csv(tmp_path / "fits.csv")["parameter"].unique().tolist() == ["n_inputs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "--to-size", "100", "--betas", "none.csv"), "none.csv: no such file"),
        (("compare", "--config", "TINY", "--polarization", "none.csv"), "no such file"),
        (
            ("simulate", "--config", "TINY", "--beta", "0.9", "--out", "x.csv"),
            "--beta: must be a number above 1",
        ),
        (
            ("simulate", "--config", "TINY", "--beta", "nan", "--out", "x.csv"),
            "--beta: must be a number above 1",
        ),
        (
            ("sweep", "--config", "TINY", "--parameter", "mu", "--value", "1", "--out", "x.csv"),
            "--parameter: 'mu'",
        ),
        (
            ("sweep", "--config", "TINY", "--parameter", "kappa", "--value", "0", "--out", "x.csv"),
            "theory.kappa",
        ),
        (
            (
                "sweep",
                "--config",
                "TINY",
                "--parameter",
                "n_inputs",
                "--value",
                "12.5",
                "--out",
                "x.csv",
            ),
            "n_inputs",
        ),
        (("predict", "--to-size", "inf"), "--to-size: must be a finite number"),
    ],
)
def test_bad_arguments_get_one_message(command, arguments, message):
    tiny = str(ROOT / "workflow" / "presets" / "tiny.yaml")
    code, printed = command(*(tiny if part == "TINY" else part for part in arguments))
    assert code == 2
    assert message in printed
    assert "Traceback" not in printed
