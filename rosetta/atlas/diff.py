"""Two atlases beside each other: which neurons and matches are in both, and r against r."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.analysis.null_counts import mean_interval
from rosetta.atlas.folder import Atlas
from rosetta.atlas.identity import Identity, same_models
from rosetta.atlas.page_content import shown_count

DIFF_COLUMNS = [
    "what",
    "where",
    "model_a",
    "model_b",
    "layer",
    "unit",
    "partner_a",
    "partner_b",
    "partner_layer",
    "partner_unit",
    "r_a",
    "r_b",
    "difference",
]
SMALLEST_P = 1e-300  # below, p-values underflow
BOTH, ONLY_A, ONLY_B = "both", "only_a", "only_b"
_WHERE = {"both": BOTH, "left_only": ONLY_A, "right_only": ONLY_B}
_NEURON = ["model", "layer", "unit"]
_SIDES = [[f"{name}_{side}" for name in _NEURON] for side in (1, 2)]


@dataclass(frozen=True)
class Diff:
    """What two atlases have in common.

    Attributes
    ----------
    table : DataFrame
        `DIFF_COLUMNS`: a row per neuron (`what` is `neuron`; r is its mean r) and per match
        (`match`), with `where` it is, and what each atlas calls the models.
    identity : Identity
        Which models are the same.
    sizes : dict of str to int
        Neurons of the models that are in both, where known, by their name in the first atlas.
    """

    table: pd.DataFrame
    identity: Identity
    sizes: dict[str, int]

    @classmethod
    def of(cls, a: Atlas, b: Atlas, told: Mapping[str, str] | None = None) -> Diff:
        """Compare two atlases; `told` is as in `identity.same_models`."""
        identity = same_models(a.frame("models"), b.frame("models"), told or {})
        keys_a = {same.a: same.a for same in identity.same}
        keys_b = {same.b: same.a for same in identity.same}
        names_b = {same.a: same.b for same in identity.same}
        parts = []
        for what, read, key in (
            ("neuron", _neurons, [*_NEURON]),
            ("match", _matches, [*_SIDES[0], *_SIDES[1]]),
        ):
            # A model that one atlas alone has gets a key that the other has not.
            one, other = read(a, keys_a, "a:"), read(b, keys_b, "b:")
            joined = one.merge(other, on=key, how="outer", suffixes=("_a", "_b"), indicator="where")
            joined = joined.sort_values(key, kind="stable", ignore_index=True)
            parts.append(_rows(joined, what, names_b))
        table = pd.concat(parts, ignore_index=True)[DIFF_COLUMNS]
        return cls(table, identity, _sizes(identity, a, b))

    def lines(self) -> Iterator[str]:
        """Yield the summary: models, neurons per model, matches per pair of models."""
        for caution in self.identity.cautions:
            yield f"caution: {caution}"
        if not self.identity.same:
            yield "no model is in both atlases"
        neurons = self.table[self.table["what"] == "neuron"]
        for same in self.identity.same:
            yield f"{_called(same.a, same.b)}: {same.why}"
            mine = neurons[(neurons["model_a"] == same.a) & (neurons["model_b"] == same.b)]
            yield f"    neurons: {_counted(mine, self.sizes.get(same.a))}"
        for side, other in ("ab", "ba"):
            own = neurons[neurons[f"model_{other}"] == ""]
            for name, n in own[f"model_{side}"].value_counts(sort=False).items():
                yield f"only in {side.upper()}: {name}, {n} neurons"
        matches = self.table[self.table["what"] == "match"]
        shared = {same.a: same.b for same in self.identity.same}
        for a, b in _compared(matches):
            rows = matches[(matches["model_a"] == a) & (matches["partner_a"] == b)]
            called = f"{_called(a, shared[a])} with {_called(b, shared[b])}"
            yield f"{called}\n    matches: {_counted(rows, None)}"


def _sizes(identity: Identity, *atlases: Atlas) -> dict[str, int]:
    """Return the neurons of models that are in both, as far as one of the atlases tells."""
    tables = [atlas.frame("models").set_index("model")["n_neurons"] for atlas in atlases]
    told = {
        same.a: [table[name] for table, name in zip(tables, (same.a, same.b), strict=True)]
        for same in identity.same
    }
    known = {name: [size for size in sizes if pd.notna(size)] for name, sizes in told.items()}
    return {name: int(sizes[0]) for name, sizes in known.items() if sizes}


def _compared(matches: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of models, by the names of the first atlas, that both atlases match."""
    names = ["model_a", "partner_a", "model_b", "partner_b"]
    shared = matches[(matches[names] != "").all(axis=1)]
    found = [
        set(shared.loc[shared["where"] != other, names[:2]].itertuples(index=False, name=None))
        for other in (ONLY_B, ONLY_A)
    ]
    return sorted(found[0] & found[1])


def _neurons(atlas: Atlas, keys: Mapping[str, str], other: str) -> pd.DataFrame:
    """Return an atlas' neurons, once each: key of the model, layer, unit, own name, mean r."""
    frame = atlas.frame("neurons")
    frame = frame.sort_values("mean_r", ascending=False, kind="stable").drop_duplicates(_NEURON)
    keyed = [keys.get(name, other + name) for name in frame["model"]]
    renamed = frame[[*_NEURON, "mean_r"]].rename(columns={"mean_r": "r"})
    return renamed.assign(name=renamed["model"], model=keyed)


def _matches(atlas: Atlas, keys: Mapping[str, str], other: str) -> pd.DataFrame:
    """Return an atlas' matches, once each, whichever the anchor; of several r the highest."""
    frame = atlas.frame("matches")
    sides = [
        [
            (keys.get(model, other + model), int(layer), int(unit), model)
            for model, layer, unit in zip(*(frame[f"{n}{end}"] for n in _NEURON), strict=True)
        ]
        for end in ("_anchor", "")
    ]
    ordered = [(*min(pair), *max(pair)) for pair in zip(*sides, strict=True)]
    columns = [*_SIDES[0], "name_1", *_SIDES[1], "name_2"]
    found = pd.DataFrame(ordered, columns=columns).astype(
        {"layer_1": "int64", "unit_1": "int64", "layer_2": "int64", "unit_2": "int64"}
    )
    found = found.assign(r=frame["r"].to_numpy()).sort_values("r", ascending=False, kind="stable")
    return found.drop_duplicates([*_SIDES[0], *_SIDES[1]])


def _rows(joined: pd.DataFrame, what: str, names_b: Mapping[str, str]) -> pd.DataFrame:
    """Return `DIFF_COLUMNS` of neurons, or of matches, that were joined."""
    if what == "neuron":
        told = {"layer": joined["layer"], "unit": joined["unit"]}
        own, partner = "", None
    else:
        told = {
            "layer": joined["layer_1"],
            "unit": joined["unit_1"],
            "partner_layer": joined["layer_2"],
            "partner_unit": joined["unit_2"],
        }
        own, partner = "_1", "_2"
    for column, end in (("model", own), ("partner", partner)):
        for side in "ab":
            told[f"{column}_{side}"] = _names(joined, side, end, names_b)
    found = pd.DataFrame(told).assign(
        what=what,
        where=joined["where"].astype(str).map(_WHERE),
        r_a=joined["r_a"],
        r_b=joined["r_b"],
        difference=joined["r_b"] - joined["r_a"],
    )
    whole = [name for name in ("partner_layer", "partner_unit") if name not in found]
    found[whole] = pd.NA
    return found.astype(
        {name: "Int64" for name in ("layer", "unit", "partner_layer", "partner_unit")}
    )


def _names(
    joined: pd.DataFrame, side: str, end: str | None, names_b: Mapping[str, str]
) -> pd.Series:
    """Return what an atlas calls the models of rows: also where it has the model without the
    neuron.
    """
    if end is None:
        return pd.Series("", index=joined.index)
    keys = joined[f"model{end}"]
    known = dict(zip(names_b, names_b, strict=True)) if side == "a" else dict(names_b)
    own = joined[f"name{end}_{side}"]
    return own.where(own.notna(), keys.map(known)).fillna("")


def _called(a: str, b: str) -> str:
    return a if a == b else f"{a} (there {b})"


def _counted(rows: pd.DataFrame, n_neurons: int | None) -> str:
    """Return what is in both of some rows, beside chance, and r against r."""
    n = {where: int((rows["where"] == where).sum()) for where in (BOTH, ONLY_A, ONLY_B)}
    union = sum(n.values())
    told = [
        f"{n[BOTH]} in both, {n[ONLY_A]} only in A, {n[ONLY_B]} only in B (Jaccard "
        f"{shown_count(n[BOTH] / union if union else np.nan)})"
    ]
    if n_neurons and union:
        told.append(overlap_by_chance(n[BOTH] + n[ONLY_A], n[BOTH] + n[ONLY_B], n[BOTH], n_neurons))
    both = rows[rows["where"] == BOTH]
    known = both[both["r_a"].notna() & both["r_b"].notna()]
    return "; ".join(
        [*told, *agreement(known["r_a"].to_numpy(float), known["r_b"].to_numpy(float))]
    )


def overlap_by_chance(n_a: int, n_b: int, n_both: int, n_neurons: int) -> str:
    """Say how many neurons two random sets of a model's neurons would share, and how often as many
    as these (hypergeometric distribution).
    """
    from scipy.stats import hypergeom

    p = hypergeom.sf(n_both - 1, n_neurons, n_a, n_b)
    return f"by chance {n_a * n_b / n_neurons:.1f} of {n_neurons:,} neurons, {_p_told(p)}"


def _p_told(p: float) -> str:
    """Say a p-value; one that is too small for a float is not 0."""
    return f"p < {SMALLEST_P:g}" if p < SMALLEST_P else f"p {shown_count(p)}"


def agreement(r_a: np.ndarray, r_b: np.ndarray) -> Iterator[str]:
    """Yield how r agrees: its correlation, and the mean difference B − A, with 95% intervals.

    The interval of the correlation is by Fisher's transform, that of the mean by Student's t; both
    take neurons for independent.
    """
    from scipy.stats import pearsonr

    if len(r_a) > 3 and np.ptp(r_a) > 0 and np.ptp(r_b) > 0:
        found = pearsonr(r_a, r_b)
        low, high = found.confidence_interval(0.95)
        told = f"r with r {found.statistic:.3f} ({low:.3f} to {high:.3f})"
        yield f"{told}, {_p_told(found.pvalue)}"
    if len(r_a):
        mean, half = mean_interval(pd.Series(r_b - r_a))
        interval = "" if np.isnan(half) else f" ({mean - half:+.4f} to {mean + half:+.4f})"
        yield f"mean difference B − A {mean:+.4f}{interval} over {len(r_a)}"
