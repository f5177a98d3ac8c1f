"""Two atlases beside each other: against sets and dictionaries, and which models are the same."""

import numpy as np
import pandas as pd
import pytest
from commands import run_here
from hypothesis import given
from hypothesis import strategies as st
from planted_atlas import atlas_of, model, random_matches
from scipy import stats

from rosetta.atlas.diff import DIFF_COLUMNS, Diff, agreement, overlap_by_chance
from rosetta.atlas.folder import write_atlas
from rosetta.atlas.identity import AS_TOLD, BY_HUB, BY_WEIGHTS, same_models
from rosetta.errors import ConfigError

SIZES = st.tuples(st.integers(0, 12), st.integers(0, 12))


def neurons_of(matches):
    """By neuron, its mean r; by the two neurons of a match, the match's r."""
    r_of = {}
    for a, b, c, d, e, f, r in matches:
        for one in ((a, b, c), (d, e, f)):
            r_of.setdefault(one, []).append(r)
    pairs = {frozenset([(a, b, c), (d, e, f)]): r for a, b, c, d, e, f, r in matches}
    return {one: np.mean(values) for one, values in r_of.items()}, pairs


@given(SIZES, st.integers(0, 2**20), st.booleans())
def test_what_is_in_both_is_what_sets_say(sizes, seed, swapped):
    """Whichever of the models is the anchor in the second atlas."""
    rng = np.random.default_rng(seed)
    first = random_matches(rng, "xy", sizes[0])
    second = random_matches(rng, "xy", sizes[1])
    models = [model("x", "1"), model("y", "2")]
    turned = [(*m[3:6], *m[:3], m[6]) for m in second] if swapped else second
    found = Diff.of(atlas_of(first, models), atlas_of(turned, models)).table
    assert list(found) == DIFF_COLUMNS
    neurons_a, pairs_a = neurons_of(first)
    neurons_b, pairs_b = neurons_of(second)
    expected = {
        **{
            ("neuron", one): (neurons_a.get(one), neurons_b.get(one))
            for one in {*neurons_a, *neurons_b}
        },
        **{("match", one): (pairs_a.get(one), pairs_b.get(one)) for one in {*pairs_a, *pairs_b}},
    }
    assert len(found) == len(expected)
    for row in found.to_dict("records"):
        key = (row["model_a"], row["layer"], row["unit"])
        if row["what"] == "match":
            key = frozenset([key, (row["partner_a"], row["partner_layer"], row["partner_unit"])])
        r_a, r_b = expected[row["what"], key]
        where = (
            "both" if r_a is not None and r_b is not None else "only_a" if r_b is None else "only_b"
        )
        assert row["where"] == where
        np.testing.assert_allclose(
            [row["r_a"], row["r_b"]], [r_a or np.nan, r_b or np.nan], rtol=1e-12
        )
        if where == "both":
            assert row["difference"] == pytest.approx(r_b - r_a)


def test_models_are_told_by_their_weights_whatever_their_names():
    a = pd.DataFrame([model("x", "1"), model("y", "2"), model("z", "3")])
    b = pd.DataFrame([model("y", "1"), model("x", "2"), model("z", "4")])
    found = same_models(a, b, {})
    assert found.same == [("x", "y", BY_WEIGHTS), ("y", "x", BY_WEIGHTS)]
    assert len(found.cautions) == 3
    assert "z: the same name, but OTHER WEIGHTS (3 and 4); not compared" in found.cautions[2]


def test_two_copies_of_one_model_keep_their_names():
    both = pd.DataFrame([model("x", "1"), model("y", "1")])
    found = same_models(both, both.iloc[::-1], {})
    assert found.same == [("x", "x", BY_WEIGHTS), ("y", "y", BY_WEIGHTS)]
    assert not found.cautions


def test_a_hub_id_is_enough_where_no_two_revisions_are_known():
    run = model("p", "o/p@abc", "hub", "o/p", "abc")
    imported = model("q", "", "hub", "o/p")
    pinned, other = (model("q", "", "hub", "o/p", revision) for revision in ("abc", "other"))
    moved = model("q", "o/p@def", "hub", "o/p", "abc")
    found = [("p", "q", BY_HUB)]
    for one, same in ((imported, found), (pinned, found), (other, []), (moved, [])):
        assert same_models(pd.DataFrame([run]), pd.DataFrame([one]), {}).same == same


def test_a_name_alone_is_never_enough():
    one = pd.DataFrame([model("p")])
    assert same_models(one, one, {}).same == []
    assert "nothing on record says" in same_models(one, one, {}).cautions[0]
    told = same_models(one, one, {"p": "p"})
    assert told.same == [("p", "p", AS_TOLD)]
    assert "compared because --same says so" in told.cautions[0]
    hub, folder = model("p", "o/p@1", "hub", "o/p", "1"), model("p", "f00", "folder", "p")
    found = same_models(pd.DataFrame([hub]), pd.DataFrame([folder]), {})
    assert found.same == []
    assert "by its id on the hub and the other by a digest" in found.cautions[0]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"no": "p"}, "'no' is no model of the first atlas; it has p, q"),
        ({"p": "no"}, "'no' is no model of the second"),
        ({"p": "p", "q": "p"}, "names one model of the second atlas twice"),
    ],
)
def test_what_is_told_of_models_must_be_there(told, message):
    both = pd.DataFrame([model("p", "1"), model("q", "2")])
    with pytest.raises(ConfigError, match=message):
        same_models(both, both, told)


def test_the_summary_tells_r_against_r_and_chance():
    rng = np.random.default_rng(0)
    first = random_matches(rng, "xy", 12, n_layers=3, d_mlp=10)
    second = [(*m[:6], round(m[6] * 0.9 + rng.normal(0, 0.01), 6)) for m in first[:9]]
    models = [model("x", "1", n_neurons=30), model("y", "2")]
    lines = "\n".join(Diff.of(atlas_of(first, models), atlas_of(second, models)).lines())
    r_a, r_b = (np.array([m[6] for m in part[:9]]) for part in (first, second))
    told = stats.pearsonr(r_a, r_b)
    low, high = told.confidence_interval(0.95)
    assert lines.count(f"r with r {told.statistic:.3f} ({low:.3f} to {high:.3f})") == 3
    mean = (r_b - r_a).mean()
    half = stats.t.ppf(0.975, 8) * (r_b - r_a).std(ddof=1) / 3
    interval = f"({mean - half:+.4f} to {mean + half:+.4f})"
    assert lines.count(f"mean difference B − A {mean:+.4f} {interval} over 9") == 3
    assert (
        "9 in both, 3 only in A, 0 only in B (Jaccard 0.75); by chance 3.6 of 30 neurons" in lines
    )


def test_only_pairs_that_both_atlases_match_are_compared():
    """And the number of a model's neurons may be known to the second only."""
    rng = np.random.default_rng(3)
    first = random_matches(rng, "xy", 6)
    second = random_matches(rng, "xz", 6)
    models = [model("x", "1"), model("y", "2"), model("z", "3")]
    sized = [model("x", "1", n_neurons=12), *models[1:]]
    lines = "\n".join(Diff.of(atlas_of(first, models), atlas_of(second, sized)).lines())
    assert "matches:" not in lines
    assert "by chance 3.0 of 12 neurons" in lines


def test_chance_is_that_of_random_sets():
    rng = np.random.default_rng(1)
    shared = [len({*rng.permutation(40)[:10]} & {*rng.permutation(40)[:8]}) for _ in range(4000)]
    told = overlap_by_chance(10, 8, 4, 40)
    assert told.startswith("by chance 2.0 of 40 neurons, p ")
    assert float(told.split()[-1]) == pytest.approx(np.mean(np.array(shared) >= 4), abs=0.02)


def test_a_p_that_underflows_is_no_0():
    n = 2000
    assert overlap_by_chance(n, n, n, 4 * n).endswith(", p < 1e-300")
    rng = np.random.default_rng(0)
    (told, *_) = agreement(same := rng.normal(size=n), same)
    assert told.endswith("p < 1e-300")
    (other, *_) = agreement(same, rng.normal(size=n))
    assert 1e-4 < float(other.rsplit(" ", 1)[1]) <= 1


def test_same_names_with_other_weights_are_said_on_the_command_line(tmp_path):
    matches = random_matches(np.random.default_rng(2), "xy", 5)
    for name, weights in (("a", "1"), ("b", "9")):
        models = [model("x", weights), model("y", "2")]
        write_atlas(atlas_of(matches, models), tmp_path / name, 10)
    done = run_here("atlas", "diff", "a", "b", "--out", "d.csv", folder=tmp_path)
    assert done.code == 0, done.err
    assert "caution: x: the same name, but OTHER WEIGHTS (1 and 9); not compared" in done.out
    assert "y: the same weights\n    neurons: 5 in both, 0 only in A, 0 only in B" in done.out
    table = pd.read_csv(tmp_path / "d.csv", keep_default_na=False)
    of_x = table[
        (table["what"] == "neuron") & ((table["model_a"] == "x") | (table["model_b"] == "x"))
    ]
    assert set(of_x["where"]) == {"only_a", "only_b"}
    assert not ((of_x["model_a"] == "x") & (of_x["model_b"] == "x")).any()
    assert "only in A: x, 5 neurons\nonly in B: x, 5 neurons\n" in done.out
    assert "matches:" not in done.out, "no pair of models is in both"
    done = run_here("atlas", "diff", "a", "b", "--same", "x=x", folder=tmp_path)
    assert "x: as told with --same\n    neurons: 5 in both" in done.out
