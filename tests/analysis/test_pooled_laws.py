"""The exponents of sweeps, beside which stands that of all ladders of pairs, if there are any."""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.stability import _with_pooled_laws


def counted(models, matches=(10, 40)):
    """Return the counts of a ladder of two sizes at one k."""
    return pd.DataFrame(
        {
            "k": 1,
            "ladder": "l",
            "rung": [0, 1],
            "models": models,
            "n_neurons": [100, 400],
            "modality": "images",
            "matches": matches,
        }
    )


def test_a_ladder_of_pairs_has_its_own_exponent_and_that_of_all_pairs():
    found = _with_pooled_laws(counted(["a-s--b-s", "a-m--b-m"]), "k")
    assert found["alpha"].tolist() == pytest.approx([1, 1])
    assert found["alpha_pairs"].tolist() == pytest.approx([1, 1])


def test_a_run_without_pairs_has_no_exponent_of_all_pairs():
    found = _with_pooled_laws(counted(["a-s--b-s--c-s", "a-m--b-m--c-m"]), "k")
    assert found["alpha"].tolist() == pytest.approx([1, 1])
    assert np.isnan(found["alpha_pairs"].astype(float)).all()


def test_without_a_setting_there_is_no_row():
    found = _with_pooled_laws(pd.DataFrame(columns=list(counted(["a--b", "c--d"]))), "k")
    assert len(found) == 0
    assert {"alpha", "alpha_pairs"} <= set(found)
