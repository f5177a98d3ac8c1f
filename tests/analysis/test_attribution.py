"""Whether partners promote the same strings: scores by brute force, planted partners, nulls."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_tokenizer
from scipy.stats import false_discovery_control
from tokenizer_kinds import MIXED, sentencepiece_bpe

from rosetta.analysis.attribution import (
    R_BINS,
    Attributions,
    attribution_table,
    confirmation_rows,
    living,
    share_interval,
)
from rosetta.analysis.columns import ATTRIBUTION_COLUMNS
from rosetta.config.ablation import Attribution
from rosetta.models.readout import Readout, Written, shared_directions
from rosetta.models.tokenizers import token_ids, token_strings

SETTINGS = Attribution()
N_STRINGS, WIDTH = 300, 60
ALIVE = (np.ones((2, WIDTH), bool), np.ones((2, WIDTH), bool))


def random_models(seed=0, n_layers=2, d_a=12, d_b=17):
    """Output weights and unembeddings of two models that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    weights = [
        [rng.normal(size=(WIDTH, d)).astype(np.float32) for _ in range(n_layers)]
        for d in (d_a, d_b)
    ]
    directions = [rng.normal(size=(N_STRINGS, d)) + 0.3 for d in (d_a, d_b)]
    return weights, directions


def matches_of(units, r=0.5):
    """Matches of layer 0 with layer 1, unit with unit."""
    columns = {"layer_a": 0, "unit_a": units, "layer_b": 1, "unit_b": units, "r": r}
    return pd.DataFrame(columns)


def plant(weights, directions, units, noise=0.0, seed=1):
    """Let units of layer 1 of b write to the strings what those of layer 0 of a do."""
    rng = np.random.default_rng(seed)
    written = weights[0][0][units] @ directions[0].T
    written = written - written.mean(axis=1, keepdims=True)
    written = written / written.std(axis=1, keepdims=True)
    written = written + noise * rng.normal(size=written.shape)
    centred = directions[1] - directions[1].mean(axis=0)
    weights[1][1][units] = np.linalg.lstsq(centred, written.T, rcond=None)[0].T


def test_scores_are_correlations_over_all_shared_strings():
    weights, directions = random_models()
    of = Attributions.of((weights[0], weights[1]), (directions[0], directions[1]))
    rng = np.random.default_rng(2)
    layers, units = rng.integers(2, size=(2, 40)), rng.integers(WIDTH, size=(2, 40))
    pairs = pd.DataFrame(
        {"layer_a": layers[0], "unit_a": units[0], "layer_b": layers[1], "unit_b": units[1]}
    )
    expected = [
        np.corrcoef(
            directions[0] @ weights[0][row.layer_a][row.unit_a],
            directions[1] @ weights[1][row.layer_b][row.unit_b],
        )[0, 1]
        for row in pairs.itertuples()
    ]
    np.testing.assert_allclose(of.scores(pairs), expected, atol=1e-6)


def test_a_neuron_that_writes_nothing_has_no_score():
    weights, directions = random_models()
    weights[0][0][3] = 0
    of = Attributions.of((weights[0], weights[1]), (directions[0], directions[1]))
    table = attribution_table(matches_of([3, 4]), of, ALIVE, SETTINGS, "a--b")
    assert np.isnan(table.loc[0, ["score", "p", "q", "confirmed"]].astype(float)).all()
    assert table.loc[1, ["score", "p", "q", "confirmed"]].notna().all()


def planted_table(noise=0.0, settings=SETTINGS):
    # A wide residual stream, so that what one model writes can be written by the other one too.
    weights, directions = random_models(d_a=12, d_b=N_STRINGS - 1)
    partners, others = np.arange(20), np.arange(20, 50)
    plant(weights, directions, partners, noise)
    of = Attributions.of((weights[0], weights[1]), (directions[0], directions[1]))
    matches = matches_of(np.concatenate([partners, others]))
    return attribution_table(matches, of, ALIVE, settings, "a--b"), of, matches


def test_planted_partners_are_confirmed_and_others_as_often_as_chance():
    table, _, _ = planted_table()
    assert list(table.columns) == ATTRIBUTION_COLUMNS
    np.testing.assert_allclose(table["score"][:20], 1, atol=1e-5)
    assert table["confirmed"][:20].all()
    assert table["confirmed"][20:].sum() <= 6
    assert (table["q"][:20] < 0.01).all()
    assert table["null_confirmed"].between(0.02, 0.09).all()
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))
    noisy, _, _ = planted_table(noise=1.0)
    assert noisy["score"][:20].mean() == pytest.approx(1 / np.sqrt(2), abs=0.05)
    assert noisy["confirmed"][:20].all()


def test_opposite_partners_are_not_confirmed():
    """The score is signed: to suppress what the partner promotes is no confirmation."""
    weights, directions = random_models(d_b=N_STRINGS - 1)
    plant(weights, directions, np.arange(10))
    weights[1][1][:10] *= -1
    of = Attributions.of((weights[0], weights[1]), (directions[0], directions[1]))
    table = attribution_table(matches_of(np.arange(10)), of, ALIVE, SETTINGS, "a--b")
    np.testing.assert_allclose(table["score"], -1, atol=1e-5)
    assert not table["confirmed"].any()
    assert (table["p"] == 1).all()


def test_matches_are_not_among_the_random_pairs():
    """With all units matched and planted, the highest null score is below those of the matches."""
    weights, directions = random_models(d_b=N_STRINGS - 1)
    plant(weights, directions, np.arange(WIDTH))
    of = Attributions.of((weights[0], weights[1]), (directions[0], directions[1]))
    settings = Attribution(n_random=20_000)
    table = attribution_table(matches_of(np.arange(WIDTH)), of, ALIVE, settings, "a--b")
    assert table["p"].max() < 1e-4  # 1 / (1 + n), n a little below 20,000
    again = attribution_table(matches_of(np.arange(WIDTH)), of, ALIVE, settings, "a--b")
    pd.testing.assert_frame_equal(table, again)


def test_dead_neurons_are_not_among_the_random_pairs():
    """Of both models a half is dead, and would score 1 with one another."""
    weights, directions = random_models(d_b=N_STRINGS - 1)
    dead = np.arange(WIDTH // 2)
    weights[0][0][dead] = weights[0][0][0]
    plant(weights, directions, dead)
    of = Attributions.of((weights[0], weights[1]), (directions[0], directions[1]))
    alive = np.tile(np.arange(WIDTH) >= WIDTH // 2, (2, 1))
    neurons = pd.DataFrame({"activation_variance": alive.ravel().astype(float)})
    np.testing.assert_array_equal(living(neurons, 2), alive)
    matches = matches_of(np.arange(WIDTH // 2, WIDTH))
    of_living = attribution_table(matches, of, (alive, alive), SETTINGS, "a--b")
    of_all = attribution_table(matches, of, ALIVE, SETTINGS, "a--b")
    assert of_living["threshold"].max() < 0.5
    assert of_all["threshold"].min() > 0.99


def test_random_matches_are_confirmed_at_the_rate_of_the_quantile():
    """p of matches that mean nothing is uniform."""
    weights, directions = random_models(seed=5, n_layers=2)
    of = Attributions.of((weights[0], weights[1]), (directions[0], directions[1]))
    rng, parts = np.random.default_rng(6), []
    for number in range(40):
        matches = matches_of(np.arange(WIDTH)).assign(unit_b=rng.permutation(WIDTH))
        parts.append(attribution_table(matches, of, ALIVE, SETTINGS, f"pair {number}"))
    table = pd.concat(parts)
    assert table["confirmed"].mean() == pytest.approx(0.05, abs=0.015)
    assert table["p"].mean() == pytest.approx(0.5, abs=0.02)


def test_too_few_shared_strings_give_no_score():
    weights, directions = random_models()
    of = Attributions.of((weights[0], weights[1]), (directions[0][:19], directions[1][:19]))
    table = attribution_table(matches_of(np.arange(5)), of, ALIVE, SETTINGS, "a--b")
    assert table[["score", "p", "confirmed"]].isna().all().all()
    (whole, *_) = confirmation_rows(table, 19)
    assert whole == {"r_low": -1.0, "r_high": 1.0, "n_strings": 19, "matches": 0}


def test_rows_tell_all_matches_and_those_of_each_range_of_r():
    table, _, _ = planted_table()
    table = table.assign(r=np.linspace(-0.9, 1.0, len(table)))
    rows = pd.DataFrame(confirmation_rows(table, N_STRINGS))
    assert rows["matches"].tolist()[0] == 50 == rows["matches"][1:].sum()
    assert rows.loc[0, "confirmed"] == pytest.approx(table["confirmed"].mean())
    for row in rows[1:].itertuples():
        own = table[(table["r"] > row.r_low) & (table["r"] <= row.r_high)]
        assert row.matches == len(own)
        if len(own):
            assert row.confirmed == pytest.approx(own["confirmed"].mean())
            assert row.mean_score == pytest.approx(own["score"].mean())
    assert list(rows["r_low"])[1:] == list(R_BINS[:-1])
    low, high = share_interval(0.3, 10)
    assert (low, high) == pytest.approx((0.0667, 0.6525), abs=1e-4)  # tables of Clopper–Pearson


def readout(tokenizer, d):
    ids = token_ids(tokenizer)
    directions = torch.randn(len(ids), d, generator=torch.Generator().manual_seed(d))
    return Readout(None, "m", 2, directions, tokenizer, ids)


def test_strings_are_shared_across_kinds_of_tokenizers():
    """A byte-level BPE (Ġ) and one of pieces (▁) spell the same strings."""
    a = readout(tiny_tokenizer(MIXED, vocab_size=500), 8)
    b = readout(sentencepiece_bpe(), 11)
    shared = sorted(a.strings().keys() & b.strings().keys())
    assert {" f", " tw", "d", "e"} <= set(shared)
    assert not any("\ufffd" in string or string in ("<s>", "</s>") for string in shared)
    of_a, of_b = shared_directions(*(Written([], one.directions, one.strings()) for one in (a, b)))
    assert (of_a.shape, of_b.shape) == ((len(shared), 8), (len(shared), 11))
    for string, row_a, row_b in zip(shared, of_a, of_b, strict=True):
        for read, row in ((a, row_a), (b, row_b)):
            at = read.strings()[string]
            assert token_strings(read.tokenizer, [read.ids[at]]) == [string]
            np.testing.assert_array_equal(read.directions[at].numpy(), row)


def test_a_piece_goes_before_the_byte_of_the_same_string():
    """Bytes come first in the vocabulary, and no text is read as one if a piece says it."""
    read = readout(sentencepiece_bpe(), 4)
    known = read.tokenizer.backend_tokenizer.get_vocab()
    assert known["<0x64>"] < known["d"]
    assert read.ids[read.strings()["d"]] == known["d"]
    only = next(b for b in range(33, 127) if chr(b) not in known)
    assert read.ids[read.strings()[chr(only)]] == known[f"<0x{only:02X}>"]


def test_partners_of_two_vocabularies_are_confirmed():
    """Neurons that promote the same strings through different tokenizers, and one that does not."""
    a, b = readout(tiny_tokenizer(MIXED, vocab_size=500), 40), readout(sentencepiece_bpe(), 50)
    rows_a, rows_b = a.strings(), b.strings()
    shared = sorted(rows_a.keys() & rows_b.keys())
    promoted = [shared[i] for i in np.random.default_rng(7).permutation(len(shared))[:30]]
    rng = np.random.default_rng(8)
    weights = [[rng.normal(size=(WIDTH, d)).astype(np.float32) for _ in range(2)] for d in (40, 50)]
    for unit, string in enumerate(promoted):
        weights[0][0][unit] = a.directions[rows_a[string]].numpy()
        weights[1][1][unit] = b.directions[rows_b[string]].numpy()
    sides = zip(weights, (a, b), strict=True)
    written = [Written(mine, read.directions, read.strings()) for mine, read in sides]
    of = Attributions.of((weights[0], weights[1]), shared_directions(*written))
    table = attribution_table(matches_of(np.arange(WIDTH)), of, ALIVE, SETTINGS, "a--b")
    assert table["confirmed"][:30].mean() > 0.5
    assert table["score"][:30].mean() > 5 * abs(table["score"][30:].mean())
    assert table["confirmed"][30:].mean() < 0.2
