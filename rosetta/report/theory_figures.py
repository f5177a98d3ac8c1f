"""Figures of the analytical model: frontiers, simulated exponents, β, prediction against measurement."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from rosetta.analysis.groups import OTHERS, ROSETTA, rosetta_group
from rosetta.config import Config, group_name
from rosetta.matching import ROSETTA_COLUMNS
from rosetta.paths import Paths
from rosetta.report.figures import TITLES, save_figure
from rosetta.tables import read_csv, read_parquet
from rosetta.theory import comparison, exponents, identifiability, prediction
from rosetta.theory.allocation import QUANTITIES, matched_r_survival, predicted_exponents
from rosetta.theory.decay import binned_curve
from rosetta.theory.ngrams import LAST_SHARE
from rosetta.theory.prediction import SELECTIVITY
from rosetta.theory.routes import BETA_COLUMNS, ROUTES

QUANTITY_LABELS = {
    "matches": "matches",
    "isolation_rosetta": "isolation, Rosetta",
    "isolation_rest": "isolation, others",
}
# How a measured statistic is drawn, and what it is called.
COUNT_MARKERS = {name: (marker, TITLES[name]) for name, marker in zip(TITLES, "sD^", strict=True)}
GROUP_MARKERS = {
    ROSETTA: ("s", "Rosetta Neurons"),
    rosetta_group("above_untrained"): ("^", f"Rosetta, {TITLES['above_untrained']}"),
    OTHERS: ("o", "others"),
}
_ROUTE_COLOURS = dict(zip(ROUTES, sns.color_palette("colorblind", len(ROUTES)), strict=True))


def draw_theory(config: Config, paths: Paths) -> None:
    """Draw all figures of the theory from the tables of a finished run."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)

    def out(name: str) -> Path:
        return paths.figure(name, "png").with_suffix("")

    frontiers = read_csv(paths.table("theory_frontiers"), exponents.FRONTIER_COLUMNS)
    _draw_frontiers(frontiers, out("theory_frontiers"))
    fitted = read_csv(paths.table("theory_exponents"), exponents.EXPONENT_COLUMNS)
    exact = read_csv(paths.table("theory_finite_size"), exponents.FINITE_SIZE_COLUMNS)
    _draw_exponents(fitted, exact, out("theory_exponents"))
    _draw_beta(config, paths, out("theory_beta"))
    betas = read_csv(paths.table("theory_beta"), BETA_COLUMNS)
    compared = read_csv(paths.table("theory_vs_measured"), comparison.COMPARISON_COLUMNS)
    _draw_prediction(config, paths, compared, betas, out("theory_prediction"))
    profiles = read_csv(paths.table("theory_identifiability"), identifiability.PROFILE_COLUMNS)
    _draw_profiles(profiles, out("theory_identifiability"))


def _draw_frontiers(table: pd.DataFrame, out: Path) -> None:
    """Draw r0 and r_τ against N (Dravid 2026, Fig. 5): lines in the continuum, points exact."""
    figure, axes = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
    betas = table["beta"].unique()
    for beta, colour in zip(betas, sns.color_palette("viridis", len(betas)), strict=True):
        part = table[table["beta"] == beta]
        axes.plot(part["n"], part["r0_continuum"], color=colour, label=f"β = {beta:g}")
        axes.plot(part["n"], part["r_tau_continuum"].replace(0, np.nan), color=colour, ls="--")
        axes.scatter(part["n"], part["r0"], color=[colour], s=12)
        axes.scatter(part["n"], part["r_tau"].replace(0, np.nan), color=[colour], s=12, facecolors="none")
    axes.plot([], [], color="grey", label="$r_0$: last feature served")
    axes.plot([], [], color="grey", ls="--", label="$r_\\tau$: last one detectable")
    axes.set(xlabel="neurons N", ylabel="rank of the feature", yscale="log")
    axes.set_xscale("log", base=2)
    axes.legend(frameon=False, fontsize="small")
    _save(figure, out)


def _draw_exponents(fitted: pd.DataFrame, exact: pd.DataFrame, out: Path) -> None:
    """Draw fitted exponents against β, one panel per quantity (Dravid 2026, Fig. 27)."""
    figure, panels = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
    grid = np.linspace(min(1.2, fitted["beta"].min()), fitted["beta"].max() + 0.2, 100)
    curves = pd.DataFrame([predicted_exponents(beta) for beta in grid])
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        part = fitted[fitted["quantity"] == quantity]
        axes.plot(grid, curves[quantity], color="grey", label="N → ∞")
        known = exact[exact["quantity"] == quantity]
        axes.scatter(known["beta"], known["exact_on_grid"], marker="_", s=160, color="black", label="exact, at these N")
        axes.errorbar(part["beta"], part["fitted"], yerr=_errors(part, "fitted", "ci_low", "ci_high"), fmt="o",
                      ms=4, capsize=2, label="simulated")  # fmt: skip
        axes.set(xlabel="β", ylabel="exponent in N", title=QUANTITY_LABELS[quantity])
    panels[0].legend(frameon=False, fontsize="small")
    _save(figure, out)


def _draw_beta(config: Config, paths: Paths, out: Path) -> None:
    """Draw the curves that β is read off, the fitted ranges in bold."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    settings, models = config.theory.decay, config.used_models()
    for model, colour in zip(models, sns.color_palette("viridis", len(models)), strict=True):
        values = read_parquet(paths.spectrum(model), ["variance"])["variance"].to_numpy()
        _draw_curve(left, values / values.sum(), settings.first_rank, settings.last_share, colour, model)
    values = read_parquet(paths.ngrams, ["bits"])["bits"].to_numpy()
    _draw_curve(right, values, settings.first_rank, LAST_SHARE, _ROUTE_COLOURS["ngrams"], "corpus")
    left.set(title="activation covariance", xlabel="rank", ylabel="share of variance, cross-validated")
    right.set(title="n-grams of the corpus", xlabel="rank", ylabel="bits per word saved")
    left.legend(frameon=False, fontsize="x-small", ncol=2)
    _save(figure, out)


def _draw_curve(axes: plt.Axes, values: np.ndarray, first: int, last_share: float, colour: tuple, label: str) -> None:
    ranks, means = binned_curve(values, 1, len(values))
    positive = means > 0
    axes.plot(ranks[positive], means[positive], color=colour, lw=0.8, alpha=0.6)
    ranks, means = binned_curve(values, first, int(len(values) * last_share))
    axes.plot(ranks[means > 0], means[means > 0], color=colour, lw=2, label=label)
    axes.set(xscale="log", yscale="log")


def _draw_prediction(config: Config, paths: Paths, compared: pd.DataFrame, betas: pd.DataFrame, out: Path) -> None:
    """Draw exponents predicted by each route beside those measured, and matched r beside its predicted distribution."""
    figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained", width_ratios=(1.2, 1, 1))
    counts, slopes, matched = panels
    counted = compared[compared["quantity"] == "matches"]
    _draw_exponent_rows(counts, counted, COUNT_MARKERS)
    counts.set(xlabel="exponent α of the count")
    polarized = compared[(compared["quantity"] != "matches") & (compared["statistic"] == SELECTIVITY[0])]
    polarized = polarized[polarized["group"].isin(GROUP_MARKERS)]
    _draw_exponent_rows(slopes, polarized.assign(statistic=polarized["group"]), GROUP_MARKERS)
    slopes.axvline(0, color="grey", ls=":", lw=1)
    slopes.set(xlabel="exponent of mean vocabulary kurtosis")
    _draw_matched_r(config, paths, betas, matched)
    _save(figure, out)


def _draw_exponent_rows(axes: plt.Axes, compared: pd.DataFrame, markers: dict[str, tuple[str, str]]) -> None:
    """Draw, ladder by ladder, every statistic's measured exponent in black and what each route predicts in colour.

    Statistics that share a quantity share its prediction, which is drawn once. Thick bars are the intervals of the fit,
    thin ones the resampled ones.
    """
    ladders, ticks, height = list(dict.fromkeys(compared["ladder"])), [], 0.0
    for ladder in ladders:
        mine, start = compared[compared["ladder"] == ladder], height
        for statistic, part in mine.groupby("statistic", sort=False):
            row, (marker, _) = part.iloc[0], markers[statistic]
            ends = (row["measured_ci_low"], row["measured_ci_high"])
            _draw_interval(axes, height, row["measured"], *ends, "black", marker)
            resampled = _clipped(row["measured_resampled_low"], row["measured_resampled_high"])
            axes.plot(resampled, [height + 0.25] * 2, color="black", lw=0.8)
            height += 1
        for _, row in mine.drop_duplicates(["route", "quantity"]).iterrows():
            marker = markers[row["statistic"]][0]
            ends = (row["predicted_ci_low"], row["predicted_ci_high"])
            _draw_interval(axes, height, row["predicted"], *ends, _ROUTE_COLOURS[row["route"]], marker)
            height += 1
        ticks.append((start + height - 1) / 2)
        height += 1.5
    for statistic in dict.fromkeys(compared["statistic"]):
        marker, label = markers[statistic]
        axes.plot([], [], marker, color="black", label=f"measured: {label}")
    for route in dict.fromkeys(compared["route"]):
        axes.plot([], [], color=_ROUTE_COLOURS[route], label=f"predicted: {route}")
    axes.set(yticks=ticks, yticklabels=ladders)
    if ladders:
        axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)


def _draw_interval(
    axes: plt.Axes, height: float, value: float, low: float, high: float, colour: object, marker: str
) -> None:
    axes.plot(_clipped(low, high), [height, height], color=colour, lw=1.5)
    axes.plot([value], [height], marker, color=colour, ms=5)


def _clipped(low: float, high: float) -> np.ndarray:
    """Return the ends of an interval, cut where a very wide one would hide all others."""
    return np.clip([low, high], -1.5, 2.0)


def _draw_matched_r(config: Config, paths: Paths, betas: pd.DataFrame, axes: plt.Axes) -> None:
    floor = config.theory.tau / (1 + config.theory.tau)
    grid = np.linspace(floor, 1, 200)
    greys = sns.color_palette("Greys", len(config.ladders) + 2)[2:]
    for (ladder, rungs), colour in zip(config.ladders.items(), greys, strict=True):
        r = comparison.anchor_r(read_parquet(paths.rosetta(group_name(tuple(rungs[-1]))), ROSETTA_COLUMNS))
        above = np.sort(r[r > floor])
        share = 1 - np.arange(len(above)) / max(len(above), 1)
        axes.step(above, share, where="post", color=colour, label=f"{ladder}, largest ({len(above)})")
        for estimate in prediction.estimates_of(betas, ladder):
            survival = matched_r_survival(grid, max(estimate.beta, 1e-6), floor)
            axes.plot(grid, survival, "--", color=_ROUTE_COLOURS[estimate.route], lw=0.9)
    axes.set(xlabel="matched r", ylabel=f"share above r, of r > {floor:.2f}", ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_profiles(profiles: pd.DataFrame, out: Path) -> None:
    """Draw the profile deviances of β, κ and τ given the counts of each ladder."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharey=True)
    labels = {"beta": "β", "kappa": "κ", "tau": "τ"}
    for axes, (parameter, label) in zip(panels, labels.items(), strict=True):
        part = profiles[profiles["parameter"] == parameter]
        sns.lineplot(part, x="value", y="deviance", hue="ladder", style="statistic", ax=axes,
                     legend="brief" if axes is panels[0] else False)  # fmt: skip
        for bound in profiles["bound"].unique():
            axes.axhline(bound, color="grey", ls=":", lw=1)
        axes.set(xlabel=label, ylabel="profile deviance", ylim=(-0.3, 1.5 * max(profiles["bound"], default=8)))
        if parameter != "beta":
            axes.set_xscale("log", base=2)
    if len(profiles):
        handles, names = panels[0].get_legend_handles_labels()
        panels[0].get_legend().remove()
        figure.legend(handles, names, frameon=False, fontsize="small", loc="outside right center")
    _save(figure, out)


def _errors(table: pd.DataFrame, value: str, low: str, high: str) -> np.ndarray:
    """Return distances to both ends of the intervals, 0 where there is none."""
    errors = np.stack([table[value] - table[low], table[high] - table[value]])
    return np.nan_to_num(errors, nan=0.0).clip(0)


def _save(figure: plt.Figure, out: Path) -> None:
    sns.despine(figure)
    save_figure(figure, out)
