"""The steps of the analytical model: simulate, estimate β, compare, predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rosetta.analysis.counts import COUNT_COLUMNS
from rosetta.analysis.groups import POLARIZATION_COLUMNS
from rosetta.analysis.scaling import SCALING_COLUMNS, counted_columns
from rosetta.config import Config, group_name, parse_config
from rosetta.config.theory import Theory, TheorySimulation, TheoryWhole
from rosetta.errors import ConfigError
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import cluster_of
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.progress import bar, say
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv, read_parquet, write_csv, write_parquet
from rosetta.theory import comparison, exponents, identifiability, prediction, routes
from rosetta.theory.allocation import AllocationModel
from rosetta.theory.losses import fit_loss_exponent, known_losses
from rosetta.theory.ngrams import ngram_decays
from rosetta.theory.simulation import SIMULATION_COLUMNS, Cell

if TYPE_CHECKING:
    from rosetta.theory.planted_stores import PlantedStores


def simulate_step(config: Config, paths: Paths, betas: list[float], out: Path) -> None:
    """Simulate some decays at all configured sizes and runs: served neurons, and whole networks."""
    from rosetta.theory.matched_simulations import simulate_whole

    theory, scratch = config.theory, _scratch(out)
    rows = _simulate_served(config, betas, scratch)
    for beta in betas:
        cells = _cells(theory, beta, theory.whole)
        shown = bar(cells, total=len(cells), label="whole networks", unit="run")
        quantile, memory_gb = config.controls.null_quantile, config.correlation.memory_gb
        rows += simulate_whole(shown, theory, quantile, memory_gb, scratch)
    write_csv(out, pd.DataFrame(rows, columns=SIMULATION_COLUMNS))


def sweep_step(config: Config, paths: Paths, parameter: str, value: float, out: Path) -> None:
    """Simulate all configured decays, sizes and runs at another value of one parameter."""
    if parameter not in ("kappa", "gamma", "n_inputs"):
        raise ConfigError(f"--parameter: {parameter!r} is not kappa, gamma or n_inputs.")
    data = config.model_dump(mode="json")
    section = data["theory"]["simulation"] if parameter == "n_inputs" else data["theory"]
    section[parameter] = int(value) if value.is_integer() else value
    swept = parse_config(data)
    rows = _simulate_served(swept, swept.theory.simulation.betas, _scratch(out))
    table = pd.DataFrame(rows, columns=SIMULATION_COLUMNS)
    table.insert(0, "parameter", parameter)
    table.insert(1, "value", value)
    write_csv(out, table)


def _simulate_served(config: Config, betas: list[float], scratch: Path) -> list[dict]:
    from rosetta.theory.matched_simulations import simulate

    theory = config.theory
    cells = [cell for beta in betas for cell in _cells(theory, beta, theory.simulation)]
    shown = bar(cells, total=len(cells), label="simulations", unit="run")
    memory_gb = config.correlation.memory_gb
    return [simulate(cell, theory.simulation, memory_gb, scratch) for cell in shown]


def _cells(theory: Theory, beta: float, grid: TheorySimulation | TheoryWhole) -> list[Cell]:
    model = AllocationModel(beta, theory.kappa, theory.gamma, theory.tau)
    return [Cell(model, n, run) for n in grid.sizes for run in range(grid.runs)]


def _scratch(out: Path) -> Path:
    return out.with_name(f".simulation-{out.stem}")


def simulate_stores_step(folder: Path, planted: PlantedStores) -> None:
    """Write two models' stores in which known neurons share a feature, and which these are."""
    from rosetta.theory.planted_stores import simulate_stores

    truth = simulate_stores(folder, planted)
    write_parquet(folder / "truth.parquet", truth)
    say(f"{folder}: {len(truth)} pairs of neurons share a feature")


def sweep_table_step(parts: list[Path], simulation: Path, fitted: Path) -> None:
    """Join the swept simulations and fit their exponents."""
    table = pd.concat(
        [read_csv(path, ["parameter", "value", *SIMULATION_COLUMNS]) for path in parts]
    )
    write_csv(simulation, table)
    tables = []
    for (parameter, value), part in table.groupby(["parameter", "value"], sort=False):
        found = exponents.exponent_table(part)
        found.insert(0, "parameter", parameter)
        found.insert(1, "value", value)
        tables.append(found)
    write_csv(fitted, pd.concat(tables))


def exponents_step(config: Config, paths: Paths, parts: list[Path]) -> None:
    """Join the simulations, fit their exponents and set them beside those of the exact solution."""
    table = pd.concat([read_csv(path, SIMULATION_COLUMNS) for path in parts], ignore_index=True)
    write_csv(paths.table("theory_simulation"), table)
    fitted = exponents.exponent_table(table)
    write_csv(paths.table("theory_exponents"), fitted)
    write_csv(paths.table("theory_finite_size"), exponents.finite_size_table(table, config.theory))
    for neurons, part in fitted.groupby("neurons", sort=False):
        error = (part["fitted"] - part["predicted"]).abs()
        within = f"{(error <= 0.05).sum()} of {len(part)} exponents within 0.05 of their prediction"
        say(f"{neurons} neurons: {within}; largest distance {error.max():.3f}")


def frontiers_step(config: Config, paths: Paths) -> None:
    """Write the frontiers and the sensitivity of the predicted count."""
    sizes = sorted({*exponents.FRONTIER_SIZES, *config.theory.simulation.sizes})
    write_csv(paths.table("theory_frontiers"), exponents.frontier_table(config.theory, sizes))
    write_csv(paths.table("theory_sensitivity"), identifiability.sensitivity_table(config.theory))


def ngrams_step(config: Config, paths: Paths, out: Path) -> None:
    """Write what n-grams save by rank, on the training text or else the text read."""
    settings = config.theory.decay
    split = "train" if config.corpus.splits.train > 0 else "match"
    documents = read_split(paths, split)
    order = np.random.default_rng(settings.seed).permutation(len(documents))
    size = documents["text"].str.encode("utf-8").str.len().to_numpy()[order].cumsum()
    chosen = documents.iloc[order[: int(np.searchsorted(size, settings.corpus_bytes)) + 1]]
    clusters = chosen["source"].map(cluster_of).tolist()
    decays = ngram_decays(chosen["text"].tolist(), clusters, settings)
    said = ", ".join(f"{found.order}: {found.decay.beta:.3f}" for found in decays)
    say(
        f"{split} split, {len(chosen)} documents of {len(set(clusters))} clusters; beta by "
        f"longest n-gram: {said}"
    )
    curves = [
        pd.DataFrame({"order": d.order, "rank": np.arange(1, len(d.curve) + 1), "bits": d.curve})
        for d in decays
    ]
    write_parquet(out, pd.concat(curves, ignore_index=True))
    write_csv(paths.table("theory_ngrams"), routes.ngram_table(decays))


def beta_step(config: Config, paths: Paths, out: Path) -> None:
    """Estimate β of every ladder by all routes. No match is read here."""
    rows = []
    corpus = routes.ngram_route(read_csv(paths.table("theory_ngrams"), routes.NGRAM_COLUMNS))
    for ladder, rungs in config.text_ladders.items():
        models = list(dict.fromkeys(model for rung in rungs for model in rung))
        estimates = [corpus, *_loss_route(config, paths, models)]
        rows += [(ladder, e.route, e.beta, e.ci_low, e.ci_high, e.n) for e in estimates]
    write_csv(out, pd.DataFrame(rows, columns=routes.BETA_COLUMNS))


def _loss_route(config: Config, paths: Paths, models: list[str]) -> list[routes.BetaEstimate]:
    """Return the loss route of a ladder; nothing if the losses of some of its models were not
    measured here.
    """
    losses = known_losses(config, paths, models)
    if losses is None:
        return []
    columns = (losses[name].to_numpy() for name in ("n_neurons", "loss", "family"))
    return [routes.loss_route(fit_loss_exponent(*columns))]


def compare_step(config: Config, paths: Paths, polarization: Path | None) -> None:
    """Compare predictions with measurements: exponents, matched r, left-out sizes."""
    betas = read_csv(paths.table("theory_beta"), routes.BETA_COLUMNS)
    counts, scaling = (
        table[table["ladder"].isin(config.text_ladders)]
        for table in (
            read_csv(paths.table("counts"), COUNT_COLUMNS),
            read_csv(paths.table("scaling"), SCALING_COLUMNS),
        )
    )
    measured = read_polarization(polarization)
    write_csv(
        paths.table("theory_vs_measured"),
        comparison.compare(config.theory, betas, scaling, counts, measured),
    )
    write_csv(paths.table("theory_leave_one_out"), prediction.leave_one_out(betas, counts))
    rows = []
    floor = config.theory.tau / (1 + config.theory.tau)
    for ladder, rungs in config.text_ladders.items():
        estimates = prediction.estimates_of(betas, ladder)
        for number, rung in enumerate(rungs):
            rosetta = read_parquet(paths.rosetta(group_name(tuple(rung))), ROSETTA_COLUMNS)
            for model, r in comparison.matched_r(rosetta).items():
                place = {"ladder": ladder, "rung": number, "model": model}
                rows += comparison.compare_matched_r(place, r, estimates, floor)
    write_csv(
        paths.table("theory_matched_r"), pd.DataFrame(rows, columns=comparison.MATCHED_R_COLUMNS)
    )
    profiles = [
        identifiability.count_profiles(
            ladder, statistic, part["n_neurons"].to_numpy(), part[column].to_numpy()
        )
        for ladder, part in counts.groupby("ladder", sort=False)
        for statistic, column in counted_columns(part)
    ]
    write_csv(paths.table("theory_identifiability"), pd.concat(profiles))


def predict_step(
    betas: Path, counts: Path, to_sizes: list[float], polarization: Path | None, out: Path | None
) -> pd.DataFrame:
    """Extrapolate the ladders of a table of counts; return the table, and write it to a path.

    `polarization` is `polarization.csv` beside the counts if not given; without that, selectivity
    is told only as the gain in isolation.
    """
    estimates = read_csv(betas, routes.BETA_COLUMNS)
    counted = read_csv(counts, ["ladder", "rung", "n_neurons", "matches"], ("n_neurons", "matches"))
    # Ladders of models that see images have no β.
    tables = [estimates, counted[counted["ladder"].isin(estimates["ladder"])]]
    beside = counts.with_name("polarization.csv")
    if polarization is None and not beside.exists():
        say(
            f"{beside}: no such table, so selectivity is predicted only as the gain in "
            "isolation (--polarization)"
        )
    measured = read_polarization(polarization or (beside if beside.exists() else None))
    predicted = [prediction.predict_to(size, *tables, measured) for size in to_sizes]
    table = pd.concat(predicted, ignore_index=True)
    if out:
        write_csv(out, table)
    return table


def read_polarization(path: Path | None) -> pd.DataFrame | None:
    """Read a table of selectivity by rung and group, if one is given."""
    return read_csv(path, POLARIZATION_COLUMNS) if path else None
