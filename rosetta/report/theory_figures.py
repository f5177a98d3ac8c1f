"""Figures of the analytical model: frontiers, exponents, β, and predictions."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import ScalarFormatter

from rosetta.analysis.groups import OTHERS, rosetta_group
from rosetta.config import Config, group_name
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.report.figures import TITLES, label_sizes, literal, read_drawn
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet
from rosetta.theory import comparison, exponents, identifiability
from rosetta.theory.allocation import QUANTITIES, matched_r_survival, predicted_exponents
from rosetta.theory.decay import binned_curve
from rosetta.theory.losses import known_losses
from rosetta.theory.ngrams import LAST_SHARE
from rosetta.theory.prediction import SELECTIVITY
from rosetta.theory.routes import BETA_COLUMNS, ROUTES
from rosetta.theory.simulation import ALL_NEURONS, SERVED_NEURONS

QUANTITY_LABELS = {
    "matches": "matches",
    "isolation_rosetta": "isolation, Rosetta",
    "isolation_rest": "isolation, others",
}
# How a measured statistic is drawn, and what it is called.
COUNT_MARKERS = {name: (marker, TITLES[name]) for name, marker in zip(TITLES, "sD^", strict=True)}
GROUP_MARKERS = {
    **{
        rosetta_group(name): (marker, f"Rosetta, {title}")
        for name, (marker, title) in COUNT_MARKERS.items()
    },
    OTHERS: ("o", "others"),
}
# Which simulations are drawn, in which panel, how, and what they are called.
SIMULATED = [
    *[(SERVED_NEURONS, name, name, "o", "C0", "simulated, served neurons") for name in QUANTITIES],
    *[(ALL_NEURONS, name, name, "s", "C1", "simulated, all neurons") for name in QUANTITIES],
    (ALL_NEURONS, "matches", "true_matches", "^", "C2", "of these, right"),
    (ALL_NEURONS, "matches", "matches_above_null", "v", "C3", "of these, above chance"),
]
BEYOND = 0.5  # an interval is drawn so far beyond the outermost estimate
_ROUTE_COLOURS = dict(zip(ROUTES, sns.color_palette("colorblind", len(ROUTES)), strict=True))


def draw_theory(config: Config, paths: Paths) -> dict[str, plt.Figure]:
    """Return all figures of the theory, drawn from the tables of a finished run."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.1)

    betas = read_drawn(paths.table("theory_beta"), BETA_COLUMNS)
    compared = read_drawn(paths.table("theory_vs_measured"), comparison.COMPARISON_COLUMNS)
    figures = {
        "theory_frontiers": _draw_frontiers(
            read_drawn(paths.table("theory_frontiers"), exponents.FRONTIER_COLUMNS)
        ),
        "theory_exponents": _draw_exponents(
            read_drawn(paths.table("theory_exponents"), exponents.EXPONENT_COLUMNS),
            read_drawn(paths.table("theory_finite_size"), exponents.FINITE_SIZE_COLUMNS),
        ),
        "theory_beta": _draw_beta(config, paths),
        "theory_prediction": _draw_prediction(config, paths, compared, betas),
        "theory_identifiability": _draw_profiles(
            read_drawn(paths.table("theory_identifiability"), identifiability.PROFILE_COLUMNS)
        ),
    }
    for figure in figures.values():
        sns.despine(figure)
    return figures


def _draw_frontiers(table: pd.DataFrame) -> plt.Figure:
    """Draw r0 and r_τ against N (Dravid 2026, Fig. 5): lines in the continuum, points exact."""
    figure, axes = plt.subplots(figsize=(5.2, 3.8), layout="constrained")
    betas = table["beta"].unique()
    for beta, colour in zip(betas, sns.color_palette("viridis", len(betas)), strict=True):
        part = table[table["beta"] == beta]
        axes.plot(part["n"], part["r0_continuum"], color=colour, label=f"β = {beta:g}")
        axes.plot(part["n"], part["r_tau_continuum"].replace(0, np.nan), color=colour, ls="--")
        axes.scatter(part["n"], part["r0"], color=[colour], s=12)
        axes.scatter(
            part["n"], part["r_tau"].replace(0, np.nan), color=[colour], s=12, facecolors="none"
        )
    axes.plot([], [], color="grey", label="$r_0$: last feature served")
    axes.plot([], [], color="grey", ls="--", label="$r_\\tau$: last one detectable")
    axes.set(xlabel="neurons N", ylabel="rank of the feature", yscale="log")
    axes.set_xscale("log", base=2)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _draw_exponents(fitted: pd.DataFrame, exact: pd.DataFrame) -> plt.Figure:
    """Draw fitted exponents against β, one panel per quantity (Dravid 2026, Fig. 27)."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    grid = np.linspace(min(1.2, fitted["beta"].min()), fitted["beta"].max() + 0.2, 100)
    curves = pd.DataFrame([predicted_exponents(beta) for beta in grid])
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        axes.plot(grid, curves[quantity], color="grey", label="N → ∞")
        known = exact[(exact["quantity"] == quantity) & (exact["neurons"] == SERVED_NEURONS)]
        axes.scatter(
            known["beta"],
            known["exact_on_grid"],
            marker="_",
            s=160,
            color="black",
            label="exact, at these N",
        )
        drawn = [one for one in SIMULATED if one[1] == quantity]
        ends = fitted[fitted["quantity"].isin([one[2] for one in drawn])]["fitted"]
        limits = (
            min(ends.min(), curves[quantity].min()) - BEYOND,
            max(ends.max(), curves[quantity].max()) + BEYOND,
        )
        for place, one in enumerate(drawn):
            _draw_simulated(axes, fitted, one, 0.03 * (place - len(drawn) / 2 + 0.5), limits)
        axes.set(xlabel="β", ylabel="exponent in N", title=QUANTITY_LABELS[quantity], ylim=limits)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        frameon=False,
        fontsize="small",
        loc="outside right center",
    )
    return figure


def _draw_simulated(
    axes: plt.Axes, fitted: pd.DataFrame, one: tuple, shift: float, limits: tuple[float, float]
) -> None:
    """Draw one of `SIMULATED`; arrowheads mark the ends of intervals that go on."""
    neurons, _, measured, marker, colour, label = one
    part = fitted[(fitted["neurons"] == neurons) & (fitted["quantity"] == measured)]
    axes.plot(part["beta"] + shift, part["fitted"], marker, color=colour, ms=4, label=label)
    for row in part.itertuples():
        interval = _Interval(row.beta + shift, (row.ci_low, row.ci_high), colour, 1.2)
        _draw_interval(axes, interval, limits, vertical=True)


def _draw_beta(config: Config, paths: Paths) -> plt.Figure:
    """Draw the curves that β is read off: n-grams, the fitted ranges in bold, and losses where they
    were measured.
    """
    losses = known_losses(config, paths, config.used_models("text"))
    figure, panels = plt.subplots(
        1, 1 + (losses is not None), figsize=(9, 3.6), layout="constrained", squeeze=False
    )
    axes, curves = panels[0, 0], read_parquet(paths.ngrams, ["order", "bits"])
    colours, first_rank = (
        sns.color_palette("crest", curves["order"].nunique()),
        config.theory.decay.first_rank,
    )
    for (order, curve), colour in zip(curves.groupby("order"), colours, strict=True):
        label = "single words" if order == 1 else f"up to {order} words"
        _draw_curve(axes, curve["bits"].to_numpy(), first_rank, colour, label)
    axes.set(
        title="n-grams of the corpus",
        xlabel="rank",
        ylabel="bits per word saved",
        xscale="log",
        yscale="log",
    )
    axes.legend(frameon=False, fontsize="small")
    if losses is not None:
        axes, losses = panels[0, 1], losses.assign(family=losses["family"].map(literal))
        sns.lineplot(
            losses, x="n_neurons", y="loss", hue="family", palette="colorblind", marker="o", ax=axes
        )
        axes.set(
            title="zoo models",
            xlabel="neurons per model",
            ylabel="held-out bits per byte",
            xscale="log",
        )
        label_sizes(axes, losses["n_neurons"])
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.legend(frameon=False, fontsize="small")
    return figure


def _draw_curve(axes: plt.Axes, values: np.ndarray, first: int, colour: tuple, label: str) -> None:
    for start, end, width, name in (
        (1, len(values), 0.8, None),
        (first, int(len(values) * LAST_SHARE), 2, label),
    ):
        ranks, means = binned_curve(values, start, end)
        axes.plot(ranks[means > 0], means[means > 0], color=colour, lw=width, label=name)


def _draw_prediction(
    config: Config, paths: Paths, compared: pd.DataFrame, betas: pd.DataFrame
) -> plt.Figure:
    """Draw exponents predicted by each route beside those measured, and matched r beside its
    predicted distribution.
    """
    figure, panels = plt.subplots(
        1, 3, figsize=(13, 4.6), layout="constrained", width_ratios=(1.2, 1, 1)
    )
    counts, slopes, matched = panels
    counted = compared[compared["quantity"] == "matches"]
    _draw_exponent_rows(counts, counted, COUNT_MARKERS)
    counts.set(xlabel="exponent α of the count")
    polarized = compared[
        (compared["quantity"] != "matches") & (compared["statistic"] == SELECTIVITY[0])
    ]
    polarized = polarized[polarized["group"].isin(GROUP_MARKERS)]
    _draw_exponent_rows(slopes, polarized.assign(statistic=polarized["group"]), GROUP_MARKERS)
    slopes.axvline(0, color="grey", ls=":", lw=1)
    slopes.set(xlabel="exponent of mean vocabulary kurtosis")
    _draw_matched_r(config, paths, betas, matched)
    return figure


def _draw_exponent_rows(
    axes: plt.Axes, compared: pd.DataFrame, markers: dict[str, tuple[str, str]]
) -> None:
    """Draw, ladder by ladder, every statistic's measured exponent in black and what each route
    predicts in colour.

    Statistics that share a quantity share its prediction, which is drawn once. Thick bars are the
    95% intervals, thin ones those of documents and thresholds, or of neurons.
    """
    ladders, ticks, height = list(dict.fromkeys(compared["ladder"])), [], 0.0
    values = compared[["measured", "predicted"]].to_numpy().ravel()
    limits = np.nanmin([*values, 0.0]) - BEYOND, np.nanmax([*values, 0.0]) + BEYOND
    for ladder in ladders:
        mine, start = compared[compared["ladder"] == ladder], height
        for statistic, part in mine.groupby("statistic", sort=False):
            row, marker = part.iloc[0], markers[statistic][0]
            measured = _Interval(height, _ends(row, "measured_ci"), "black", 1.5)
            _draw_interval(axes, measured, limits)
            resampled = _Interval(height + 0.25, _ends(row, "measured_resampled"), "black", 0.8)
            _draw_interval(axes, resampled, limits)
            axes.plot([row["measured"]], [height], marker, color="black", ms=5)
            height += 1
        for _, row in mine.drop_duplicates(["route", "quantity"]).iterrows():
            colour = _ROUTE_COLOURS[row["route"]]
            predicted = _Interval(height, _ends(row, "predicted_ci"), colour, 1.5)
            _draw_interval(axes, predicted, limits)
            axes.plot(
                [row["predicted"]], [height], markers[row["statistic"]][0], color=colour, ms=5
            )
            height += 1
        ticks.append((start + height - 1) / 2)
        height += 1.5
    for statistic in dict.fromkeys(compared["statistic"]):
        marker, label = markers[statistic]
        axes.plot([], [], marker, color="black", label=f"measured: {label}")
    for route in dict.fromkeys(compared["route"]):
        axes.plot([], [], color=_ROUTE_COLOURS[route], label=f"predicted: {route}")
    axes.set(yticks=ticks, yticklabels=ladders, xlim=limits)
    if ladders:
        axes.legend(
            frameon=False, fontsize="x-small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2
        )


def _ends(row: pd.Series, name: str) -> tuple[float, float]:
    return row[f"{name}_low"], row[f"{name}_high"]


class _Interval(NamedTuple):
    """An interval as a bar: where it stands, its ends, its colour, its width in points."""

    place: float
    ends: tuple[float, float]
    colour: object
    width: float


def _draw_interval(
    axes: plt.Axes, interval: _Interval, limits: tuple[float, float], *, vertical: bool = False
) -> None:
    """Draw an interval as a bar; where a very wide one is cut, an arrowhead says so."""
    place, ends, colour, width = interval

    def draw(values: np.ndarray, *style: str, **more: object) -> None:
        places = np.full(len(values), place)
        axes.plot(
            *((places, values) if vertical else (values, places)), *style, color=colour, **more
        )

    draw(np.clip(ends, *limits), lw=width)
    for end, limit, marker in zip(ends, limits, "v^" if vertical else "<>", strict=True):
        if not np.isnan(end) and end != np.clip(end, *limits):
            draw(np.array([limit]), marker, ms=3 + width, clip_on=False)


def _draw_matched_r(config: Config, paths: Paths, betas: pd.DataFrame, axes: plt.Axes) -> None:
    """Draw the largest rungs' matched r (steps), and what every β that a route leaves open predicts
    (bands).
    """
    floor = config.theory.tau / (1 + config.theory.tau)
    grid = np.linspace(floor, 1, 200)
    colours = sns.color_palette("Set2", len(config.text_ladders))
    for (ladder, rungs), colour in zip(config.text_ladders.items(), colours, strict=True):
        rosetta = read_parquet(paths.rosetta(group_name(tuple(rungs[-1]))), ROSETTA_COLUMNS)
        for (model, r), style in zip(
            comparison.matched_r(rosetta).items(), ("-", ":", "-.", "--"), strict=False
        ):
            above = np.sort(r[r > floor])
            share = 1 - np.arange(len(above)) / max(len(above), 1)
            label = f"{literal(ladder)}, {literal(model)} ({len(above)})"
            axes.step(above, share, where="post", color=colour, ls=style, lw=1.5, label=label)
    drawn = betas.dropna(subset=["beta"]).drop_duplicates(["route", "beta", "ci_low", "ci_high"])
    for row in drawn[
        np.isfinite(drawn["ci_high"])
    ].itertuples():  # an open interval predicts nothing
        betas_drawn = [max(beta, 1e-6) for beta in (row.ci_low, row.beta, row.ci_high)]
        low, value, high = (matched_r_survival(grid, beta, floor) for beta in betas_drawn)
        axes.fill_between(grid, low, high, color=_ROUTE_COLOURS[row.route], alpha=0.15, lw=0)
        axes.plot(
            grid,
            value,
            "--",
            color=_ROUTE_COLOURS[row.route],
            lw=1.2,
            label=f"predicted: {row.route}",
        )
    axes.set(xlabel="matched r", ylabel=f"share above r, of r > {floor:.2f}", ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_profiles(profiles: pd.DataFrame) -> plt.Figure:
    """Draw the profile deviances of β, κ and τ given the counts of each ladder."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharey=True)
    labels = {"beta": "β", "kappa": "κ", "tau": "τ"}
    for axes, (parameter, label) in zip(panels, labels.items(), strict=True):
        part = profiles[profiles["parameter"] == parameter]
        sns.lineplot(
            part,
            x="value",
            y="deviance",
            hue="ladder",
            style="statistic",
            ax=axes,
            legend="brief" if axes is panels[0] else False,
        )
        for bound in profiles["bound"].unique():
            axes.axhline(bound, color="grey", ls=":", lw=1)
        axes.set(
            xlabel=label,
            ylabel="profile deviance",
            ylim=(-0.3, 1.5 * max(profiles["bound"], default=8)),
        )
        if parameter != "beta":
            axes.set_xscale("log", base=2)
    if len(profiles):
        handles, names = panels[0].get_legend_handles_labels()
        panels[0].get_legend().remove()
        figure.legend(handles, names, frameon=False, fontsize="small", loc="outside right center")
    return figure
