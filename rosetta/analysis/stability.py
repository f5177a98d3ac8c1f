"""How counts depend on choices: k, threshold, pooling, budget, halves, grid, images, exclusions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import pandas as pd

from rosetta.analysis.counts import match_facts, model_shape
from rosetta.analysis.group_counts import count_group, group_keys, jaccard
from rosetta.analysis.pairs_of_models import pairs_by_modality
from rosetta.analysis.setting_laws import laws_by
from rosetta.config import Config, group_name, group_pairs
from rosetta.config.sweeps import SOURCE
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.matching.mutual import MATCH_COLUMNS, mutual_matches
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, read_parquet_metadata

_LAW = ["alpha", "alpha_ci_low", "alpha_ci_high", "few_matches", "reason"]
_POOLED = ["alpha_pairs", "alpha_pairs_ci_low", "alpha_pairs_ci_high"]
K_COLUMNS = ["ladder", "rung", "models", "n_neurons", "k", "matches", "mean_r", *_LAW, *_POOLED]
THRESHOLD_COLUMNS = [
    "ladder",
    "rung",
    "models",
    "n_neurons",
    "threshold",
    "matches",
    "mean_r",
    *_LAW,
    *_POOLED,
]
STABILITY_COLUMNS = [
    "ladder",
    "rung",
    "models",
    "n_neurons",
    "sweep",
    "setting",
    "n_positions",
    "matches",
    "mean_r",
    "compared_with",
    "jaccard",
    "kept_partner",
    *_LAW,
]
EXCLUSION_COLUMNS = [
    "ladder",
    "rung",
    "models",
    "exclusions",
    "n_positions",
    "n_dead",
    "n_quiet",
    "n_special",
    "n_first_position",
    "n_high_norm",
    "matches",
    "difference",
    "jaccard",
]
MAIN = "main"

# Matches by pair.
Tables = dict[tuple[str, str], pd.DataFrame]


def k_sweep_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return counts and exponents of mutual k-nearest neighbours for every k of the sweep.

    `alpha` is the ladder's, `alpha_pairs` that of all ladders of pairs together; their intervals
    are those of the fit.

    Neighbours up to correlation.max_k are stored, so nothing is correlated again.
    """
    n_jobs = config.correlation.n_jobs
    lists = {
        pair: read_lists(
            [paths.neighbors_part(group_name(pair), job, n_jobs) for job in range(n_jobs)]
        )
        for pair in config.pairs()
    }
    rows = []
    for k in config.swept_k():
        tables = {pair: mutual_matches(*lists[pair], k) for pair in config.pairs()}
        rows += [{"k": k, **row} for row in _counted(config, paths, tables)]
    return _with_pooled_laws(pd.DataFrame(rows), "k")[K_COLUMNS]


def threshold_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return counts and exponents of matches above every threshold of the sweep.

    Columns as in `k_sweep_table`. An exponent that does not depend on the threshold is no work of
    chance matches.
    """
    main = _main(config, paths)
    rows = []
    for threshold in config.sweeps.thresholds:
        tables = {pair: table[table["r"] > threshold] for pair, table in main.items()}
        rows += [{"threshold": threshold, **row} for row in _counted(config, paths, tables)]
    counted = pd.DataFrame(
        rows,
        columns=[
            *(name for name in THRESHOLD_COLUMNS if name not in (*_LAW, *_POOLED)),
            "modality",
        ],
    )
    return _with_pooled_laws(counted, "threshold")[THRESHOLD_COLUMNS]


def stability_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return counts under smaller budgets, on halves, with other poolings, grids and images.

    `setting` is the number of samples, the half, the pooling, the grid or the source of images, and
    `main` the main result. `compared_with` names the setting that `jaccard` and `kept_partner`
    compare with: the next smaller budget, the other half, the main result, as many images of the
    source. `kept_partner` is the fraction of the matched
    neurons of the anchor, in the setting compared with, that have the same partner here (in larger
    groups: the same partners). The exponent is that of the ladder under the setting. Ladders on
    other samples have other budgets.
    """
    swept, main = _swept(config, paths), _main(config, paths)
    rows = []
    for sweep, compare in _COMPARISONS.items():
        settings = {setting: tables for (name, setting), tables in swept.items() if name == sweep}
        if not settings:
            continue
        if sweep != "split_half":
            settings = {MAIN: main, **settings}
        for setting, tables in settings.items():
            for row in _counted(config, paths, tables):
                known = [name for name, found in settings.items() if _has(found, row["group"])]
                other = dict(compare(known)).get(setting)
                agreement = _agreement(row["group"], tables, settings[other]) if other else {}
                positions = [
                    _positions(paths, pair, sweep, setting) for pair in group_pairs(row["group"])
                ]
                rows.append(
                    {
                        "sweep": sweep,
                        "setting": setting,
                        "compared_with": other,
                        "n_positions": min(positions),
                    }
                    | row
                    | agreement
                )
    columns = [name for name in STABILITY_COLUMNS if name not in _LAW]
    return _with_laws(pd.DataFrame(rows, columns=columns), "sweep", "setting")[STABILITY_COLUMNS]


def exclusion_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return what each set of exclusions does to the count; `main` is the run's own.

    Dead neurons have no correlation and special positions no bytes, so both are left out under
    every setting.
    """
    main, swept = _main(config, paths), _swept(config, paths)
    settings = {
        MAIN: main,
        **{name: tables for (sweep, name), tables in swept.items() if sweep == "exclusions"},
    }
    rows = []
    references = {(row["ladder"], row["rung"]): row for row in _counted(config, paths, main)}
    for setting, tables in settings.items():
        for row in _counted(config, paths, tables):
            reference = references[row["ladder"], row["rung"]]
            facts = [
                _facts(paths, pair, "exclusions", setting) for pair in group_pairs(row["group"])
            ]
            same = _agreement(row["group"], tables, main)["jaccard"]
            rows.append(
                {
                    **row,
                    "exclusions": setting,
                    "n_positions": min(fact["n_positions"] for fact in facts),
                    **{name: sum(fact[name] for fact in facts) for name in EXCLUSION_COLUMNS[7:10]},
                    **{
                        name: sum(fact[f"{name}_a"] + fact[f"{name}_b"] for fact in facts)
                        for name in _BY_SIDE
                    },
                    "difference": row["matches"] - reference["matches"],
                    "jaccard": same,
                }
            )
    return pd.DataFrame(rows, columns=EXCLUSION_COLUMNS)


_BY_SIDE = ("n_dead", "n_quiet")


def _counted(config: Config, paths: Paths, tables: Tables) -> list[dict]:
    """Return one row per rung that has tables, with its group, size, count and mean r."""
    rows = []
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(map(tuple, rungs)):
            if not _has(tables, rung):
                continue
            counted = count_group([tables[pair] for pair in group_pairs(rung)])
            size = sum(model_shape(paths, model).n_neurons for model in rung) / len(rung)
            facts = {
                "ladder": ladder,
                "rung": number,
                "group": rung,
                "models": group_name(rung),
                "n_neurons": size,
                "modality": config.ladder_modality(ladder),
            }
            rows.append({**facts, **counted._asdict()})
    return rows


def _has(tables: Tables, group: tuple[str, ...]) -> bool:
    return all(pair in tables for pair in group_pairs(group))


def _with_laws(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Add the exponent of each ladder under each setting to all of its rows; its interval is that
    of the fit.

    `few_matches` names the ladder's rungs with fewer than `FEW` matches, and `reason` says why
    there is no exponent.
    """
    return table.merge(laws_by(table, *by)[["ladder", *by, *_LAW]], on=["ladder", *by], how="left")


def _with_pooled_laws(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Add the exponent of each ladder and that of all ladders of pairs under each setting."""
    laws = laws_by(table, by)
    found = table.merge(laws[["ladder", by, *_LAW]], on=["ladder", by], how="left")
    called = {
        modality: name
        for name, pairs in pairs_by_modality(table)
        for modality in (pairs["modality"].unique() if len(pairs) else [])
    }
    pooled = laws[["ladder", by, *_LAW[:3]]].set_axis(["pairs", by, *_POOLED], axis=1)
    # Without a name they would be numbers, which do not merge with names: where no ladder is of
    # pairs, or no setting is swept.
    found = found.assign(pairs=found["modality"].map(called).astype(object))
    return found.merge(pooled, on=["pairs", by], how="left")


def _agreement(group: tuple[str, ...], tables: Tables, others: Tables) -> dict[str, float]:
    mine, theirs = ([found[pair] for pair in group_pairs(group)] for found in (tables, others))
    anchors = theirs[0].groupby(["layer_a", "unit_a"]).ngroups
    kept = None
    for one, other in zip(mine, theirs, strict=True):
        keys = ["layer_a", "unit_a"]
        same = one.merge(other, on=[*keys, "layer_b", "unit_b"])[keys].drop_duplicates()
        kept = same if kept is None else kept.merge(same, on=keys)
    if len(group) > 2:
        anchors = len(group_keys(theirs))
    share = len(kept) / anchors if kept is not None and anchors else float("nan")
    return {"jaccard": jaccard(group_keys(mine), group_keys(theirs)), "kept_partner": share}


def _budgets(settings: list[str]) -> Iterable[tuple[str, str]]:
    return pairwise(settings)  # from the main result down: each with the next smaller one


def _halves(settings: list[str]) -> Iterable[tuple[str, str]]:
    return [(settings[0], settings[1]), (settings[1], settings[0])]


def _against_main(settings: list[str]) -> Iterable[tuple[str, str]]:
    return [(setting, MAIN) for setting in settings if setting != MAIN]


def _against_source(settings: list[str]) -> Iterable[tuple[str, str]]:
    return [(setting, SOURCE) for setting in settings if setting not in (MAIN, SOURCE)]


_COMPARISONS: dict[str, Callable[[list[str]], Iterable[tuple[str, str]]]] = {
    "budget": _budgets,
    "split_half": _halves,
    "pooling": _against_main,
    "grid": _against_main,
    "image_source": _against_source,
}


def _main(config: Config, paths: Paths) -> Tables:
    return {
        pair: read_parquet(paths.matches(group_name(pair)), MATCH_COLUMNS)
        for pair in config.pairs()
    }


def _swept(config: Config, paths: Paths) -> dict[tuple[str, str], Tables]:
    """Return the matches of every sweep and setting, in the order of the configuration; budgets
    fall.
    """
    if not config.sweeps_recorrelate:
        return {}
    found: dict[tuple[str, str], Tables] = {}
    for pair in config.pairs():
        path = paths.sweeps(group_name(pair))
        table = read_parquet(path, ["sweep", "setting", *MATCH_COLUMNS])
        for fact in read_parquet_metadata(path)["settings"]:
            key = (fact["sweep"], fact["setting"])
            rows = table[(table["sweep"] == key[0]) & (table["setting"] == key[1])]
            found.setdefault(key, {})[pair] = rows
    return found


def _facts(paths: Paths, pair: tuple[str, str], sweep: str, setting: str) -> dict:
    name = group_name(pair)
    if setting == MAIN:
        return match_facts(paths.matches(name))
    settings = read_parquet_metadata(paths.sweeps(name))["settings"]
    return next(fact for fact in settings if (fact["sweep"], fact["setting"]) == (sweep, setting))


def _positions(paths: Paths, pair: tuple[str, str], sweep: str, setting: str) -> int:
    return _facts(paths, pair, sweep, setting)["n_positions"]
