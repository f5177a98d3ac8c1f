"""Laws of counts under several settings, and above floors of r; the command that writes these."""

import numpy as np
import pandas as pd
import pytest
from commands import assert_rejected, run_here

from rosetta.analysis.count_law import law_of
from rosetta.analysis.counts import FLOOR_OF, TRAINING_COLUMNS
from rosetta.analysis.pairs_of_models import ALL_PAIRS
from rosetta.analysis.scaling import (
    NOTHING_LEFT_OUT,
    POOLED_COLUMNS,
    SCALING_COLUMNS,
    pooled_table,
)
from rosetta.analysis.setting_laws import (
    FLOOR_SCALING_COLUMNS,
    floor_table,
    laws_by,
)
from rosetta.storage.tables import read_csv, write_csv

SIZES = [256.0, 512.0, 1024.0, 2304.0]
LADDERS = {"a-b": ("a", "b"), "a-c": ("a", "c"), "b-a again": ("a", "b"), "a-b-c": ("a", "b", "c")}


def trainings():
    """Counts of all ladders: a has two trainings. The higher the floor, the larger α."""
    rng = np.random.default_rng(0)
    rows = []
    for ladder, families in LADDERS.items():
        for rung, size in enumerate(SIZES):
            for a in ("a", "a~2"):
                models = "--".join(f"{name}{rung}" for name in (a, *families[1:]))
                row = {"ladder": ladder, "rung": rung, "models": models, "n_neurons": size}
                row |= {"families": "--".join(families), "matches": rng.poisson(size**0.8)}
                row |= {"mean_r": 0.4, "above_documents": rng.poisson(size**0.7)}
                row |= {name: rng.poisson(size ** (0.4 + f)) for name, f in FLOOR_OF.items()}
                rows.append(row)
    return pd.DataFrame(rows).reindex(columns=TRAINING_COLUMNS)


def test_every_setting_has_the_law_of_its_counts_and_one_of_all_pairs():
    table = trainings()
    both = pd.concat(
        [table.assign(k=1), table.assign(k=5, matches=table["matches_above_0.3"])],
        ignore_index=True,
    )
    found = laws_by(both, "k").set_index(["ladder", "k"])
    assert set(found.index) == {(name, k) for name in [*LADDERS, ALL_PAIRS] for k in (1, 5)}
    pairs = table[table["ladder"].isin(["a-b", "a-c"])]  # the third has the first's pairs
    for name, part in [*table.groupby("ladder"), (ALL_PAIRS, pairs)]:
        for k, column in ((1, "matches"), (5, "matches_above_0.3")):
            law, row = law_of(part.assign(count=part[column])), found.loc[(name, k)]
            assert row["alpha"] == pytest.approx(law.alpha)
            half = (row["alpha_ci_high"] - row["alpha_ci_low"]) / 2
            assert half == pytest.approx(law.half_width)
            assert (row["n_rungs"], row["n_groups"]) == (law.n_rungs, law.n_groups)
            assert row["n_trainings"] == law.n_trainings
    assert found.loc[(ALL_PAIRS, 1), "n_groups"] == 16


def test_without_pairs_there_is_no_law_of_all_pairs():
    table = trainings()
    found = laws_by(table[table["ladder"] == "a-b-c"].assign(k=1), "k")
    assert found["ladder"].tolist() == ["a-b-c"]


def test_floors_have_a_law_each():
    table = trainings()
    found = floor_table(table)
    assert list(found.columns) == FLOOR_SCALING_COLUMNS
    assert len(found) == len(FLOOR_OF) * (len(LADDERS) + 1)
    alphas = found.set_index(["ladder", "threshold"])["alpha"]
    for floor in FLOOR_OF.values():
        assert alphas[(ALL_PAIRS, floor)] == pytest.approx(0.4 + floor, abs=0.1)
        part = table[table["ladder"] == "a-c"]
        law = law_of(part.assign(count=part[f"matches_above_{floor}"]))
        assert alphas[("a-c", floor)] == pytest.approx(law.alpha)
    some = floor_table(table.drop(columns=["matches_above_0.4", "matches_above_0.6"]))
    assert sorted(set(some["threshold"])) == [0.3, 0.5]


def test_counts_above_no_floor_have_no_laws():
    found = floor_table(trainings().drop(columns=list(FLOOR_OF)))
    assert list(found.columns) == FLOOR_SCALING_COLUMNS
    assert found.empty


def fitted(folder, table, *options):
    write_csv(folder / "trainings.csv", table)
    return run_here("fit", "trainings.csv", *options, folder=folder)


def test_the_command_writes_laws_above_floors_or_headers_alone(tmp_path):
    table = trainings()
    assert fitted(tmp_path, table, "--out", "o.csv", "--floors", "f.csv").code == 0
    expected = floor_table(table)
    found = read_csv(tmp_path / "f.csv", FLOOR_SCALING_COLUMNS)
    assert found["ladder"].tolist() == expected["ladder"].tolist()
    assert found["alpha"].to_numpy() == pytest.approx(expected["alpha"].to_numpy())
    bare = table.drop(columns=list(FLOOR_OF))
    assert fitted(tmp_path, bare, "--out", "o.csv", "--floors", "f.csv").code == 0
    assert (tmp_path / "f.csv").read_text() == ",".join(FLOOR_SCALING_COLUMNS) + "\n"


def test_the_command_rejects_floors_that_are_not_counted(tmp_path):
    table = trainings().astype({"matches_above_0.4": object})
    table.loc[2, "matches_above_0.4"] = "many"
    done = fitted(tmp_path, table, "--floors", "f.csv")
    assert_rejected(done, r"trainings\.csv: matches_above_0\.4 in row 3 is 'many', not a number")
    without = fitted(tmp_path, trainings().drop(columns="rung"), "--floors", "f.csv")
    assert_rejected(without, r"trainings\.csv: lacks the columns \['rung'\]")
    same = fitted(tmp_path, trainings(), "--floors", "trainings.csv")
    assert_rejected(same, "--floors: trainings.csv is a file that this command reads")
    assert not (tmp_path / "f.csv").exists()


@pytest.mark.parametrize("unknown", ["a row", "a ladder", "a column"])
def test_groups_without_counts_above_nulls_break_nothing(tmp_path, unknown):
    """A ladder whose threshold cannot be read has none in any row."""
    table = trainings()
    rows = {"a row": [0], "a ladder": table["ladder"] == "a-b", "a column": slice(None)}[unknown]
    table["above_documents"] = table["above_documents"].astype(float)
    table.loc[rows, "above_documents"] = np.nan
    names = {"out": "o.csv", "pooled": "p.csv", "rungs": "r.csv", "floors": "f.csv"}
    options = [text for name, path in names.items() for text in (f"--{name}", path)]
    assert fitted(tmp_path, table, *options).code == 0
    found = read_csv(tmp_path / "o.csv", SCALING_COLUMNS)
    plain = found[found["statistic"] == "plain"]
    assert plain["alpha"].notna().all()
    above = found[found["statistic"] == "above_documents"].set_index("ladder")
    assert above.empty == (unknown == "a column")
    pooled = read_csv(tmp_path / "p.csv", POOLED_COLUMNS)
    assert pooled.loc[pooled["left_out"] == "none", "alpha"].notna().all()
    if unknown != "a column":
        assert above.loc["a-b", "reason"] == "not counted: the threshold cannot be read"
        assert above.loc[["a-c", "a-b-c"], "alpha"].notna().all()


def test_models_that_see_different_things_have_laws_apart():
    table = trainings().assign(modality="text")
    table.loc[table["ladder"] == "a-c", "modality"] = "images"
    found = laws_by(table.assign(k=1), "k").set_index("ladder")["alpha"]
    assert found[f"{ALL_PAIRS} of images"] == pytest.approx(found["a-c"])
    assert found[f"{ALL_PAIRS} of text"] == pytest.approx(found["a-b"])
    pooled = pooled_table(table).set_index(["pairs", "statistic", "left_out"])["alpha"]
    for name in ("text", "images"):
        place = (f"{ALL_PAIRS} of {name}", "plain", NOTHING_LEFT_OUT)
        assert pooled[place] == pytest.approx(found[place[0]])
    alone = pooled_table(table.assign(modality="text"))
    assert set(alone["pairs"]) == {ALL_PAIRS}
