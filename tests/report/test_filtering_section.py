"""What the report says of filters."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from filter_summary import SUMMARY, SWEPT

from rosetta.config.filtering import FILTERS
from rosetta.filtering.precision_recall import SHARE_COLUMNS
from rosetta.report import filtering_figures
from rosetta.report.filtering_section import in_words, verdict
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_csv


def test_the_verdict_follows_the_paired_intervals():
    """Not whether the filters' own intervals overlap: those of `random` do, and those of `oracle`
    do not.
    """
    said = dict(
        zip(
            ("random", "non_rosetta", "non_rosetta_best", "classifier", "oracle"),
            verdict(SUMMARY),
            strict=True,
        )
    )
    assert "F1 is 0.80, and 0.10 of: random" in said["random"]
    assert "the lower perplexity, by 1.00 [0.80, 1.20] over 3 seeds" in said["random"]
    assert "the higher perplexity, by 0.10 [0.05, 0.15] over 3 seeds" in said["non_rosetta_best"]
    for name in ("non_rosetta", "oracle"):
        assert "nothing is shown either way" in said[name]
    assert "a perplexity lower by 0.20 [-0.10, 0.50]" in said["non_rosetta"]
    assert "a perplexity higher by 1.10 [-0.10, 2.30]" in said["oracle"]
    assert "no paired interval" in said["classifier"]


def test_the_table_is_in_the_papers_form():
    table = in_words(SUMMARY).set_index("filter")
    assert table.loc["random", "held-out perplexity"] == "5.000 ± 1.500"
    assert table.loc["base model", "held-out perplexity"] == "9.000"
    assert table.loc["bag-of-tokens classifier", "held-out perplexity"] == "–"
    assert table["minus the Rosetta Neuron's, by seed"].tolist()[:3] == [
        "–",
        "+1.000 ± 0.200",
        "+0.200 ± 0.300",
    ]
    assert table.loc["Rosetta Neuron", "minus the Rosetta Neuron's, by seed"] == "–"
    assert np.isnan(table.loc["base model", "f1"])
    assert table.index.tolist()[-1] == "oracle"


@pytest.mark.parametrize("domains", [("js", ""), ("",)])
def test_the_figure_has_documents_without_a_label(tmp_path, domains):
    config = SimpleNamespace(filtering=SimpleNamespace(target="js"))
    paths = Paths(tmp_path)
    write_csv(paths.table("filtering_summary"), SUMMARY)
    rows = [
        (name, None, domain, 9, 90, 3, 30, 1 / len(domains))
        for name in FILTERS
        for domain in domains
    ]
    write_csv(paths.table("filtering_domains"), pd.DataFrame(rows, columns=SHARE_COLUMNS))
    write_csv(paths.table("filtering_percentiles"), SWEPT)
    drawn = filtering_figures.draw_filtering(config, paths)
    bars = [bar for bar in drawn.axes[2].patches if bar.get_width() > 0]
    assert sum(bar.get_width() for bar in bars) == pytest.approx(len(FILTERS)), (
        "all that each filter takes"
    )
