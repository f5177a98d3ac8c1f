"""Names stay what they are called: in tables that are read back, in messages, and in every
figure.
"""

import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from commands import assert_rejected, run_here
from filter_summary import SUMMARY, SWEPT
from neuron_populations import CONFIG, population

from rosetta.analysis.counts import COUNT_COLUMNS, TRAINING_COLUMNS
from rosetta.analysis.depth import depth_table, layer_pairs
from rosetta.analysis.groups import polarization_tables, specialization_tables
from rosetta.analysis.null_counts import NULL_SUMMARY_COLUMNS
from rosetta.analysis.populations import Rung
from rosetta.analysis.rung_means import rung_table
from rosetta.analysis.scaling import (
    SCALING_COLUMNS,
    null_scaling_table,
    pooled_table,
    scaling_table,
)
from rosetta.analysis.setting_laws import laws_by
from rosetta.analysis.stability import K_COLUMNS, STABILITY_COLUMNS, THRESHOLD_COLUMNS
from rosetta.config import parse_config
from rosetta.config.controls import NULLS
from rosetta.config.filtering import FILTERS
from rosetta.config.theory import Theory
from rosetta.filtering.precision_recall import SHARE_COLUMNS
from rosetta.matching.mutual import MATCH_COLUMNS, rosetta_neurons
from rosetta.models.neurons import NeuronShape
from rosetta.report import (
    control_figures,
    figures,
    filtering_figures,
    neuron_figures,
    theory_figures,
)
from rosetta.report.steps import figures_step
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv, write_csv, write_parquet
from rosetta.theory import exponents
from rosetta.theory.allocation import QUANTITIES
from rosetta.theory.comparison import COMPARISON_COLUMNS
from rosetta.theory.identifiability import PROFILE_COLUMNS
from rosetta.theory.routes import BETA_COLUMNS
from rosetta.theory.simulation import ALL_NEURONS, SERVED_NEURONS

# As numbers, dates, nothing, truth, mathematics, or what legends leave out.
HOSTILE = [
    "2024",
    "007",
    "1e5",
    "NA",
    "None",
    "null",
    "nan",
    "true",
    "2024-01-01",
    "$$",
    "US$ to CA$",
    "_x",
    "$_{",
    "",
]
LADDERS, MODELS = ["2024", "NA"], ["70", "160", "410"]


@pytest.mark.parametrize("column", ["ladder", "model", "models", "model_a", "model_b", "domain"])
def test_names_are_read_as_they_were_written(tmp_path, column):
    for names in ([name] for name in HOSTILE), [HOSTILE]:
        for some in names:
            write_csv(tmp_path / "t.csv", pd.DataFrame({column: some, "matches": 1}))
            assert read_csv(tmp_path / "t.csv", [column], ("matches",))[column].tolist() == some


def test_a_table_of_counts_with_numbers_for_names_is_fitted(tmp_path):
    lines = ["ladder,n_neurons,matches", "007,100,10", "007,1000,100", "NA,100,10", "NA,1000,1000"]
    (tmp_path / "counts.csv").write_text("\n".join(lines))
    done = run_here("fit", "counts.csv", "--out", "scaling.csv", folder=tmp_path)
    assert done.code == 0, done
    laws = read_csv(tmp_path / "scaling.csv", SCALING_COLUMNS).set_index("ladder")["alpha"]
    assert laws.groupby(level=0, sort=False).first().to_dict() == pytest.approx(
        {"007": 1.0, "NA": 2.0}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "models: {70: {path: x}}\nladders: {l: [['70', '70']]}",
            r"models\[70\]: .*put it in quotes.*got 70",
        ),
        (
            "models: {'70': {path: x}}\nladders: {2024: [['70', 160]]}",
            r"ladders\[2024\]: .*put it in quotes",
        ),
        ("models: {x: {path: x}}\nladders: {null: [[x, x]]}", r"ladders\.None: .*put it in quotes"),
    ],
)
def test_names_that_yaml_takes_for_something_else_are_to_be_quoted(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    assert_rejected(run_here("check", "--configfile", "c.yaml", folder=tmp_path), message)


class Drawn(dict):
    """The texts of every figure by its name, once it was drawn: a name taken for mathematics fails
    there.
    """

    def keep(self, figures):
        for name, figure in figures.items():
            figure.canvas.draw()
            texts = [
                text for text in figure.findobj(plt.Text) if text.get_text() and text.get_visible()
            ]
            # What the renderer draws of a text that is no mathematics.
            read = {text.get_text(): text._preprocess_math(text.get_text()) for text in texts}
            self[name] = [
                clean.replace("\u200b", "") for clean, is_math in read.values() if not is_math
            ]
            plt.close(figure)


@pytest.fixture
def drawn(monkeypatch):
    shown = Drawn()
    monkeypatch.setattr(figures, "save_figure", lambda figure, out: shown.keep({out.name: figure}))
    return shown


def counts(ladders):
    rows = [
        {
            "ladder": ladder,
            "rung": rung,
            "models": "70--160",
            "n_neurons": 100 * 4**rung,
            "matches": 10 * 2**rung,
            "n_positions": 100,
            "matches_ci_low": 8 * 2**rung,
            "matches_ci_high": 12 * 2**rung,
        }
        for ladder in ladders
        for rung in range(2)
    ]
    return pd.DataFrame(rows).reindex(columns=COUNT_COLUMNS)


@pytest.mark.parametrize("ladders", [LADDERS, ["$$", "US$ to CA$"], ["_x"]])
def test_the_scaling_figure_draws_names_literally(tmp_path, drawn, ladders):
    paths, trainings = Paths(tmp_path), counts(ladders).reindex(columns=TRAINING_COLUMNS)
    trainings = trainings.assign(models="_70--160", families="_7--16")
    nulls = trainings.assign(control="untrained", n_seeds=1)
    floors = laws_by(trainings.assign(threshold=0.5), "threshold")
    tables = {
        "trainings": trainings,
        "rungs": rung_table(trainings),
        "scaling": scaling_table(trainings),
        "scaling_pooled": pooled_table(trainings),
        "null_summary": nulls.reindex(columns=NULL_SUMMARY_COLUMNS),
        "null_scaling": null_scaling_table(trainings, nulls.assign(seed=0)),
        "floor_scaling": floors,
    }
    for name, table in tables.items():
        write_csv(paths.table(name), table)
    figures_step(CONFIG, paths)
    for ladder in ladders:
        assert sum(ladder in text.split("\n")[0] for text in drawn["scaling"]) >= 1
        assert any(text == ladder for text in drawn["scaling"]), "beside a line"


def neuron_tables(paths, ladders, models, domains, nulls=("above_untrained",)):
    fire = np.random.default_rng(1).random((2 * 20, len(domains)))
    above = {name: {(ladder, "g"): np.arange(40) < 4 for ladder in ladders} for name in nulls}
    changed = {"fire": fire, "categories": domains, "above_in": above}
    populations = [replace(population(name, 2, nulls), **changed) for name in models[:2]]
    rungs = [Rung(ladder, 0, "g", populations) for ladder in ladders]
    for name, table in zip(
        ("polarization", "polarization_by_model"), polarization_tables(rungs, CONFIG), strict=True
    ):
        write_csv(paths.table(name), table)
    write_csv(
        paths.table("specialization_by_rung"), specialization_tables(populations, rungs, CONFIG)[1]
    )
    write_csv(paths.table("depth"), depth_table(rungs, CONFIG.bootstrap))
    pairs = layer_pairs(
        pd.DataFrame({"layer_a": [0], "layer_b": [0], "r": [0.5]}),
        NeuronShape(2, 20),
        NeuronShape(2, 20),
    )
    write_csv(paths.table("layer_pairs"), pairs.assign(model_a=models[0], model_b=models[1]))


def test_the_figures_of_neurons_draw_names_literally(tmp_path, drawn):
    ladders, models, domains = (
        ["2024", "$$"],
        ["70", "$a$"],
        ["007", "NA", "1e5", "$$", "US$ to CA$", "$_{", "_x"],
    )
    neuron_tables(Paths(tmp_path), ladders, models, domains)
    drawn.keep(neuron_figures.draw_neuron_figures(Paths(tmp_path)))
    assert set(domains) <= set(drawn["specialization"])
    for name in ("statistics", "specialization", "depth"):
        assert set(ladders) <= set(drawn[name])
    assert {f"layer of {model}" for model in models} <= set(drawn["layer_pairs"])
    assert {f"{model} in {ladder}" for model in models for ladder in ladders} <= set(
        drawn["polarization"]
    )


@pytest.mark.parametrize("ladders", [LADDERS, ["$$", "US$ to CA$"], ["_x"]])
def test_the_figures_of_controls_draw_names_literally(tmp_path, drawn, ladders):
    paths = Paths(tmp_path)
    models = {name: {"path": name} for name in MODELS}
    config = parse_config(
        {"models": models, "ladders": {"l": [["70", "160"]]}, "sweeps": {"budgets": True}}
    )
    config = config.model_copy(update={"ladders": dict.fromkeys(ladders, config.ladders["l"])})
    table = counts(ladders)
    write_csv(paths.table("counts"), table)
    nulls = [
        {"ladder": ladder, "rung": 0, "control": name, "matches": 3.0}
        for ladder in ladders
        for name in NULLS
    ]
    write_csv(
        paths.table("null_summary"), pd.DataFrame(nulls).reindex(columns=NULL_SUMMARY_COLUMNS)
    )
    swept = table.assign(k=1, threshold=0.1, sweep="budget", setting="half", jaccard=0.5, alpha=0.5)
    for name, columns in (
        ("k_sweep", K_COLUMNS),
        ("threshold_sweep", THRESHOLD_COLUMNS),
        ("stability", STABILITY_COLUMNS),
    ):
        write_csv(paths.table(name), swept.reindex(columns=columns))
    write_parquet(paths.matches("70--160"), pd.DataFrame({"r": [0.1, 0.2]}))
    found = pd.DataFrame([["70", 0, 0, "160", 0, 0, 0.1, 1, 1, 0.1, 0.1]], columns=MATCH_COLUMNS)
    for control in NULLS:
        write_parquet(paths.null_matches(control, "70--160"), found.assign(seed=0))
    drawn.keep(control_figures.draw_control_figures(config, paths))
    for name in ("nulls", "k_sweep", "threshold_sweep", "budget"):
        assert set(ladders) <= set(drawn[name]), name
    assert "70--160" in drawn["nulls"]


@pytest.mark.parametrize("ladders", [LADDERS, ["$$", "US$ to CA$"], ["_x", "$_{"]])
def test_the_figures_of_the_theory_draw_names_literally(tmp_path, drawn, monkeypatch, ladders):
    paths, partners = Paths(tmp_path), dict(zip(LADDERS, MODELS[1:], strict=True))
    models = {name: {"path": name} for name in MODELS}
    rungs = {ladder: [["70", partner]] for ladder, partner in partners.items()}
    theory_tables(paths, ladders)
    for partner in partners.values():
        row = ["70", 0, 0, partner, 0, 0, 0.95, 1, 1, 0.1, 0.1]
        matches = pd.DataFrame([row], columns=MATCH_COLUMNS)
        write_parquet(paths.rosetta(f"70--{partner}"), rosetta_neurons([matches]))
    families = ["007", "$a$", "_x"]
    losses = [(name, name, size, 1.0 / size) for name in families for size in (100, 400)]
    losses = pd.DataFrame(losses, columns=["model", "family", "n_neurons", "loss"])
    monkeypatch.setattr(theory_figures, "known_losses", lambda *_: losses)
    config = parse_config({"models": models, "ladders": rungs})
    drawn.keep(theory_figures.draw_theory(config, paths))
    assert {*families, "single words", "up to 2 words"} <= set(drawn["theory_beta"])
    assert set(ladders) <= set(drawn["theory_prediction"])
    assert {f"{ladder}, {model} (1)" for ladder, model in partners.items()} <= set(
        drawn["theory_prediction"]
    )
    assert set(ladders) <= set(drawn["theory_identifiability"])


def theory_tables(paths, ladders):
    write_csv(paths.table("theory_frontiers"), exponents.frontier_table(Theory(), [256, 512]))
    simulated = [
        (2.0, neurons, name) for neurons in (SERVED_NEURONS, ALL_NEURONS) for name in QUANTITIES
    ]
    fitted = [(*place, 0.5, 0.5, 0.4, 0.6) for place in simulated]
    write_csv(
        paths.table("theory_exponents"), pd.DataFrame(fitted, columns=exponents.EXPONENT_COLUMNS)
    )
    exact = [(*place, 0.5, 0.5, 0.5) for place in simulated]
    write_csv(
        paths.table("theory_finite_size"),
        pd.DataFrame(exact, columns=exponents.FINITE_SIZE_COLUMNS),
    )
    betas = [(ladder, "ngrams", 2.0, 1.5, 2.5, 9) for ladder in ladders]
    write_csv(paths.table("theory_beta"), pd.DataFrame(betas, columns=BETA_COLUMNS))
    compared = [
        [ladder, "matches", "rosetta", "plain", "ngrams", *[0.5] * 8, True, True, 0.5]
        for ladder in ladders
    ]
    write_csv(paths.table("theory_vs_measured"), pd.DataFrame(compared, columns=COMPARISON_COLUMNS))
    profiles = [
        (ladder, "plain", "beta", value, 1.0, 4.0) for ladder in ladders for value in (1.5, 2.0)
    ]
    write_csv(
        paths.table("theory_identifiability"), pd.DataFrame(profiles, columns=PROFILE_COLUMNS)
    )
    curves = [pd.DataFrame({"order": order, "bits": 1.0 / np.arange(1, 200)}) for order in (1, 2)]
    write_parquet(paths.ngrams, pd.concat(curves))


def filtering_tables(paths, domains):
    write_csv(paths.table("filtering_summary"), SUMMARY)
    rows = [
        (name, None, domain, 9, 90, 3, 30, (i + 1) / math.comb(len(domains) + 1, 2))
        for name in FILTERS
        for i, domain in enumerate(domains)
    ]
    write_csv(paths.table("filtering_domains"), pd.DataFrame(rows, columns=SHARE_COLUMNS))
    write_csv(paths.table("filtering_percentiles"), SWEPT)


def filtered(target):
    models = {name: {"path": name} for name in MODELS}
    filtering = {"name": "f", "target": target, "ladder": "l"}
    corpus = {"source": {"kind": "files", "path": "x", "domain": "d"}}
    return parse_config(
        {
            "models": models,
            "ladders": {"l": [["70", "160"]]},
            "filtering": filtering,
            "corpus": corpus,
        }
    )


@pytest.mark.parametrize("target", ["007", "$$", "US$ to CA$", "_x"])
def test_the_figure_of_filters_draws_names_literally(tmp_path, drawn, target):
    filtering_tables(Paths(tmp_path), [target, "NA", "$ 5 $", "_y"])
    figure = filtering_figures.draw_filtering(filtered(target), Paths(tmp_path))
    drawn.keep({"filtering": figure})
    assert {target, "NA", "$ 5 $", "_y", f"F1, domain {target}"} <= set(drawn["filtering"])


def test_of_many_domains_the_largest_are_drawn_and_the_rest_is_counted(tmp_path, drawn):
    domains = [f"d{i:03d}" for i in range(240)]
    neuron_tables(Paths(tmp_path), ["l"], MODELS, domains)
    filtering_tables(Paths(tmp_path), domains)
    by_rung = figures.read_drawn(Paths(tmp_path).table("specialization_by_rung"), [])
    drawn.keep({"specialization": neuron_figures._specialization(by_rung)})
    assert f"the {neuron_figures.MAX_DOMAINS} of 240 domains" in " ".join(drawn["specialization"])
    table = read_csv(Paths(tmp_path).table("specialization_by_rung"), [])
    highest = table[table["group"] == "rosetta"].nlargest(
        neuron_figures.MAX_DOMAINS, "normalized_fire"
    )["domain"]
    assert set(highest) == set(domains) & set(drawn["specialization"])
    figure = filtering_figures.draw_filtering(filtered("d000"), Paths(tmp_path))
    drawn.keep({"filtering": figure})
    largest = {f"d{i}" for i in range(240 - (filtering_figures.MAX_SHARES - 2), 240)}
    assert set(domains) & set(drawn["filtering"]) == largest | {"d000"}
    assert f"{240 - filtering_figures.MAX_SHARES + 1} other domains" in drawn["filtering"]


@pytest.mark.parametrize(
    ("n_ladders", "null"),
    [
        (1, "above_untrained"),
        (1, "above_documents"),
        (2, "above_documents"),
        (3, "above_documents"),
    ],
)
def test_legends_are_whole_and_hide_nothing_however_few_ladders_there_are(
    tmp_path, n_ladders, null
):
    """Above a panel per ladder stand the groups, whose names are longer than a panel is wide."""
    paths = Paths(tmp_path)
    neuron_tables(paths, list("lmn")[:n_ladders], ["70", "70"], ["d", "e"], (null,))
    kept = neuron_figures.draw_neuron_figures(paths)
    for name in ("polarization", "statistics", "specialization"):
        kept[name].canvas.draw()
        whole, legend = kept[name].bbox, kept[name].legends[0].get_window_extent()
        labels = [
            text for text in (kept[name]._supylabel, kept[name]._supxlabel) if text is not None
        ]
        others = [
            *(text.get_window_extent() for text in labels),
            *(a.get_tightbbox() for a in kept[name].axes),
        ]
        for part in (legend, *(text.get_window_extent() for text in labels)):
            assert whole.x0 <= part.x0 <= part.x1 <= whole.x1, name
            assert whole.y0 <= part.y0 <= part.y1 <= whole.y1, name
        assert not any(legend.overlaps(part) for part in others), name


@pytest.mark.parametrize("inches", [(3.0, 2.0), (276.0, 3.0)])
def test_a_figure_is_written_whole_and_of_a_size_that_can_be_opened(tmp_path, inches):
    figure, _ = plt.subplots(figsize=inches)
    figure.legend(
        [plt.Line2D([], [])], ["a legend that is wider than the figure " * 3], loc="upper center"
    )
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent().width / figure.dpi
    figures.save_figure(figure, tmp_path / "f")
    height, width, _ = plt.imread(tmp_path / "f.png").shape
    assert max(height, width) < 1.1 * figures.MAX_PIXELS
    dpi = min(figures.DPI, figures.MAX_PIXELS / inches[0])
    assert width >= 0.99 * legend * dpi
