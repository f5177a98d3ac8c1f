"""Ablation of a run, and by hand: what is written, and what both say of the same neurons."""

import math
import shutil
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from commands import assert_rejected, run_here, tree
from hypothesis import given
from hypothesis import strategies as st
from small_runs import MODELS, PAIR
from transformers import AutoModelForCausalLM, AutoTokenizer

from rosetta.ablation.by_hand import lowest_ids
from rosetta.ablation.columns import ABLATION_COLUMNS, ABLATION_SCALING_COLUMNS, LOSS_COLUMNS, WHOLE
from rosetta.ablation.effects import effect_table
from rosetta.analysis.columns import ATTRIBUTION_COLUMNS, ATTRIBUTION_TABLE_COLUMNS
from rosetta.config import Bootstrap, load_config
from rosetta.inputs.text.documents import Text
from rosetta.models import loading
from rosetta.report.ablation_figure import draw_ablation
from rosetta.report.output_section import (
    ablation_section,
    attribution_section,
    attribution_sentence,
    model_sentence,
    summary_sentence,
    trend_sentence,
)
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64
from rosetta.storage.tables import read_csv, write_csv

ROWS = ["treatment", "population", "domain"]


@pytest.fixture(scope="module")
def table(ablated_run):
    return read_csv(ablated_run / "tables" / "ablation.csv", ABLATION_COLUMNS)


def test_a_runs_tables_have_a_row_per_model_treatment_and_domain(ablated_run, table):
    assert list(table.columns) == ABLATION_COLUMNS
    losses = pd.read_parquet(ablated_run / "ablation" / f"{PAIR}.parquet")
    assert list(losses.columns) == LOSS_COLUMNS
    for model in MODELS:
        own = table[table["model"] == model]
        assert set(own["domain"]) == {WHOLE, "d0", "d1", "d2"}
        assert len(own[own["domain"] == WHOLE]) == 2 + 2 * 4
        rosetta = pd.read_parquet(ablated_run / "rosetta" / f"{PAIR}.parquet")
        sides = ["layer_anchor", "unit_anchor"] if model == "first" else ["layer", "unit"]
        n = len(rosetta[sides].drop_duplicates())
        assert (
            own[(own["treatment"] == "ablate") & (own["population"] != "all")]["n_ablated"] == n
        ).all()
        assert (own.loc[own["population"] == "matched", "n_draws"] == 20).all()
    scaling = pd.read_csv(ablated_run / "tables" / "ablation_scaling.csv")
    assert list(scaling.columns) == ABLATION_SCALING_COLUMNS
    assert scaling["reason"].notna().all()
    assert (ablated_run / "figures" / "ablation.png").stat().st_size > 10_000


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_the_intact_model_and_zeroed_columns_cost_what_transformers_says(ablated_run, table, model):
    """The mean ablation of a run's Rosetta Neurons, from its tables, without this package."""
    folder = ablated_run.parent / model
    tokenizer, network = (
        one.from_pretrained(folder) for one in (AutoTokenizer, AutoModelForCausalLM)
    )
    heldout = pd.read_parquet(ablated_run / "corpus" / "heldout.parquet")
    rosetta = pd.read_parquet(ablated_run / "rosetta" / f"{PAIR}.parquet")
    sides = ["layer_anchor", "unit_anchor"] if model == "first" else ["layer", "unit"]
    neurons = pd.read_parquet(ablated_run / "neurons" / f"{model}.parquet")
    means = neurons.set_index(["layer", "unit"])["activation_mean"]
    names = {"first": "transformer.h.{}.mlp.c_proj", "second": "model.layers.{}.mlp.down_proj"}

    def bits():
        nats, n_bytes = 0.0, 0
        for text in heldout["text"]:
            ids = tokenizer(text)["input_ids"][:32]
            told = tokenizer.convert_ids_to_tokens(ids[1:])
            shares = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            nats -= sum(float(shares[i, id_]) for i, id_ in enumerate(ids[1:]))
            n_bytes += sum(map(len, told))  # a byte-level BPE spells a byte by a character
        return nats / math.log(2) / n_bytes

    own = table[(table["model"] == model) & (table["domain"] == WHOLE)]
    rows = own.set_index(["treatment", "population"])
    assert bits() == pytest.approx(rows.loc[("none", "none"), "value"], abs=1e-4)
    for layer, unit in rosetta[sides].drop_duplicates().itertuples(index=False):
        module = network.get_submodule(names[model].format(layer))
        weight = module.weight if model == "first" else module.weight.T
        bias = torch.zeros(weight.shape[1]) if module.bias is None else module.bias
        module.bias = torch.nn.Parameter(bias + weight[unit] * means[layer, unit])
        weight[unit] = 0
    assert bits() == pytest.approx(rows.loc[("ablate", "rosetta"), "value"], abs=1e-4)


def test_by_hand_says_what_the_run_says_of_the_same_neurons(ablated_run, table, tmp_path):
    """Intact and zero-ablated losses need no statistics, so both are the same."""
    rosetta = pd.read_parquet(ablated_run / "rosetta" / f"{PAIR}.parquet")
    rosetta[["layer", "unit"]].drop_duplicates().to_csv(tmp_path / "n.csv", index=False)
    # As many tokens are read as the run reads.
    fixed = ("--config", "results/run_config.yaml", "--method", "zero")
    named = ("--model", "second", "--neurons", tmp_path / "n.csv", "--out", tmp_path / "out.csv")
    done = run_here("ablate", *fixed, *named, folder=ablated_run.parent)
    assert done.code == 0, done
    found = read_csv(tmp_path / "out.csv", ABLATION_COLUMNS).set_index(ROWS)
    own = table[table["model"] == "second"].set_index(ROWS)
    for place in (("none", "none", WHOLE), ("none", "none", "d1")):
        assert found.loc[place, "value"] == pytest.approx(own.loc[place, "value"], abs=1e-6)
    for population in ("rosetta", "matched", "most_active", "most_kurtotic"):
        place = ("ablate", population, WHOLE)
        assert found.loc[place, "n_ablated"] == own.loc[place, "n_ablated"]
    assert found.loc[("keep", "rosetta", WHOLE), "method"] == "zero"


def test_by_hand_reads_any_documents(ablated_run, tmp_path):
    pd.DataFrame({"layer": [0, 1], "unit": [3, 7]}).to_csv(tmp_path / "n.csv", index=False)
    texts = pd.read_parquet(ablated_run / "corpus" / "heldout.parquet").head(30)
    texts.rename(columns={"text": "body"})[["body", "domain"]].to_parquet(tmp_path / "t.parquet")
    options = (
        "--texts",
        tmp_path / "t.parquet",
        "--text-column",
        "body",
        "--domain-column",
        "domain",
    )
    how = ("--model", "first", "--neurons", tmp_path / "n.csv")
    done = run_here("ablate", *how, *options, folder=ablated_run.parent)
    assert done.code == 0, done
    assert "most_kurtotic" in done.out
    again = run_here("ablate", *how, *options, "--batch-size", 3, folder=ablated_run.parent)
    assert again.code == 0
    assert "matched" in again.out


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("layer,unit\n0,99\n", "", r"n\.csv: row 1, layer 0, unit 99, is not in the model"),
        ("layer,unit\n0,1\n7,1\n", "", r"n\.csv: row 2, layer 7, .* 2 layers of 24 units"),
        ("layer,unit\n0,1\n0,1\n", "", r"n\.csv: the neuron of row 2 is there before"),
        ("layer,unit\n0,1.5\n", "", r"n\.csv: row 1 names no neuron"),
        ("layer,unit\n0,-1\n", "", r"n\.csv: unit in row 1 is '-1', not a number ≥ 0"),
        ("layer,unit\n", "", r"n\.csv: holds no row"),
        ("a,b\n1,2\n", "", r"n\.csv: lacks the columns \['layer', 'unit'\]"),
        ("layer,unit\n0,1\n", "--max-images 5", r"--max-images: .* reads text \(--max-documents\)"),
        ("layer,unit\n0,1\n", "--revision v2", "--revision: .* is a folder, and has none"),
        ("layer,unit\n0,1\n", "--domain-column d", "--domain-column: no --texts are given"),
        ("layer,unit\n0,1\n", "--text-column d", "--text-column: no --texts are given"),
        ("layer,unit\n0,1\n", "--n-draws 5", "--n-draws: .*greater than or equal to 20"),
        ("layer,unit\n0,1\n", "--method median", "--method: .*'mean' or 'zero'"),
        ("layer,unit\n0,1\n", "--dtype int8", "--dtype: 'int8' is not"),
        ("layer,unit\n0,1\n", "--sequence-length 5000", "--sequence-length: .*reads"),
        ("layer,unit\n0,1\n", "--texts none.jsonl", r"--texts: none\.jsonl does not exist"),
        ("layer,unit\n0,1\n", "--texts blank.jsonl", "--texts: .*holds no document with text"),
    ],
)
def test_bad_input_by_hand_gets_one_message(ablated_run, tmp_path, rows, options, message):
    (tmp_path / "n.csv").write_text(rows)
    (tmp_path / "blank.jsonl").write_text('{"text": "  "}\n')
    words = options.split()
    sources = () if "--texts" in words else ("--config", ablated_run / "run_config.yaml")
    before = tree(tmp_path)
    done = run_here(
        "ablate",
        *("--model", ablated_run.parent / "first", "--neurons", "n.csv", "--out", "out.csv"),
        *sources,
        *words,
        folder=tmp_path,
    )
    assert_rejected(done, message)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "frist",
            "--config results/run_config.yaml",
            r"--model: 'frist' is no model of the run, which has first, second; nor is it a folder",
        ),
        ("corpora/frist", "", "--model: corpora/frist is not a folder. Give a folder in Hugging"),
        ("./frist", "", "--model: frist is not a folder"),
        ("a/b/frist", "", "--model: a/b/frist is not a folder"),
        (
            "corpora/first",
            "--config results/run_config.yaml --texts corpora/t.jsonl",
            "--config: with --texts, it tells of the run's own models, and corpora/first is none",
        ),
    ],
)
def test_a_model_that_is_nowhere_is_named_without_asking_the_hub(
    ablated_run, tmp_path, model, options, message
):
    shutil.copytree(ablated_run.parent / "first", tmp_path / "corpora" / "first")
    (tmp_path / "results").symlink_to(ablated_run)
    (tmp_path / "n.csv").write_text("layer,unit\n0,1\n")
    (tmp_path / "corpora" / "t.jsonl").write_text('{"text": "some text"}\n')
    read = options or "--texts corpora/t.jsonl"
    named = ("--model", model, "--neurons", "n.csv", *read.split())
    with mock.patch.object(loading, "AutoConfig", wraps=loading.AutoConfig) as asked:
        done = run_here("ablate", *named, folder=tmp_path)
    assert_rejected(done, message)
    assert all((tmp_path / call.args[0]).is_dir() for call in asked.from_pretrained.call_args_list)


def test_a_run_tells_how_its_model_reads_texts(ablated_run, tmp_path):
    (tmp_path / "n.csv").write_text("layer,unit\n0,1\n")
    texts = pd.read_parquet(ablated_run / "corpus" / "heldout.parquet")
    texts[["text"]].head(30).to_parquet(tmp_path / "t.parquet")
    length = load_config(ablated_run / "run_config.yaml").activations.sequence_length
    tables = []
    for how in (("--config", "results/run_config.yaml"), ("--sequence-length", length)):
        fixed = ("--model", "first", "--neurons", tmp_path / "n.csv", "--method", "zero")
        given = ("--texts", tmp_path / "t.parquet", "--out", tmp_path / "out.csv", *how)
        done = run_here("ablate", *fixed, *given, folder=ablated_run.parent)
        assert done.code == 0, done
        tables.append(pd.read_csv(tmp_path / "out.csv"))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("option", [("--revision", "v2"), ("--dtype", "bfloat16")])
def test_what_a_run_says_of_its_model_is_no_option(ablated_run, tmp_path, option):
    (tmp_path / "n.csv").write_text("layer,unit\n0,1\n")
    fixed = ("--config", "results/run_config.yaml", "--neurons", tmp_path / "n.csv")
    done = run_here("ablate", "--model", "first", *fixed, *option, folder=ablated_run.parent)
    assert_rejected(done, f"{option[0]}: first is a model of the run, whose configuration says it")


def test_a_crowded_layer_leaves_the_draws_out(ablated_run, tmp_path):
    (tmp_path / "n.csv").write_text("layer,unit\n" + "".join(f"1,{unit}\n" for unit in range(13)))
    fixed = ("--config", "results/run_config.yaml", "--neurons", tmp_path / "n.csv")
    out = ("--model", "first", "--max-documents", 20, "--out", tmp_path / "out.csv")
    done = run_here("ablate", *fixed, *out, folder=ablated_run.parent)
    assert done.code == 0, done
    found = read_csv(tmp_path / "out.csv", ABLATION_COLUMNS)
    assert set(found["population"]) == {"none", "all", "rosetta", "most_active", "most_kurtotic"}
    told = found.loc[found["population"] == "rosetta", "reason"]
    assert told.str.contains("others that are not dead, and as many as 13 are to be drawn").all()


@given(st.lists(st.sampled_from([" ", *"abcdefghij"])), st.none() | st.integers(1, 12))
def test_the_documents_of_lowest_id_are_kept_each_once(written, limit):
    texts = [Text(text, str(number), "") for number, text in enumerate(written)]
    first = {hash64(one.text): one for one in reversed(texts) if one.text != " "}
    expected = dict(sorted(first.items())[:limit])
    assert list(lowest_ids(iter(texts), limit).items()) == list(expected.items())


def test_a_command_needs_something_to_read(ablated_run, tmp_path):
    (tmp_path / "n.csv").write_text("layer,unit\n0,1\n")
    model = ("--model", ablated_run.parent / "first", "--neurons", "n.csv")
    assert_rejected(run_here("ablate", *model, folder=tmp_path), "--texts: is not given")


def test_a_run_without_an_ablation_says_so(small_run):
    config = ("--config", small_run / "run_config.yaml")
    for command in (("ablation", "tables"), ("ablation", "group", "--group", PAIR)):
        done = run_here(*command, *config, folder=small_run.parent)
        assert_rejected(done, "ablation: the configuration has no such section")


def test_attribution_of_a_run_follows_from_its_weights(ablated_run):
    """One score by hand: the correlation over strings that both tokenizers have."""
    pairs = pd.read_parquet(ablated_run / "attribution" / f"{PAIR}.parquet")
    assert list(pairs.columns) == ATTRIBUTION_COLUMNS
    told = pd.read_csv(ablated_run / "tables" / "attribution.csv")
    assert list(told.columns) == ATTRIBUTION_TABLE_COLUMNS
    assert told.loc[0, "matches"] == len(pairs)
    assert told.loc[0, "confirmed"] == pytest.approx(pairs["confirmed"].mean())
    strings, written = [], []
    row = pairs.iloc[0]
    places = {"first": (row["layer_a"], row["unit_a"]), "second": (row["layer_b"], row["unit_b"])}
    for model, (layer, unit) in places.items():
        folder = ablated_run.parent / model
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network = AutoModelForCausalLM.from_pretrained(folder)
        name = {"first": "transformer.h.{}.mlp.c_proj", "second": "model.layers.{}.mlp.down_proj"}
        weight = network.get_submodule(name[model].format(int(layer))).weight.detach()
        column = weight[int(unit)] if model == "first" else weight[:, int(unit)]
        logits = network.get_output_embeddings().weight.detach() @ column
        special = set(tokenizer.all_special_ids)
        decoded = {id_: tokenizer.decode([id_]) for id_ in tokenizer.get_vocab().values()}
        texts = {
            text: id_
            for id_, text in sorted(decoded.items(), reverse=True)
            if "\ufffd" not in text and text and id_ not in special
        }
        strings.append(texts)
        written.append(logits.double().numpy())
    shared = sorted(strings[0].keys() & strings[1].keys())
    vectors = [of[[rows[one] for one in shared]] for of, rows in zip(written, strings, strict=True)]
    assert told.loc[0, "n_strings"] == len(shared)
    assert row["score"] == pytest.approx(np.corrcoef(*vectors)[0, 1], abs=1e-5)


def test_the_report_says_it_in_words(ablated_run, table):
    config, paths = load_config(ablated_run / "run_config.yaml"), Paths(ablated_run)
    section = ablation_section(config, paths)
    assert len(section["sentences"]) == 2
    assert section["sentences"][0].startswith("first: without its ")
    assert section["trend"] == ""
    told = attribution_section(config, paths)["sentence"]
    assert "random pairs of the same layers" in told
    one = table[table["model"] == "first"].copy()
    for bounds, p, words in (
        ((0.1, 0.3), 2 / 21, "costs more than"),
        ((-0.3, -0.1), 2 / 21, "costs less than"),
        ((-0.1, 0.1), 2 / 21, "costs neither shown more nor less than"),
        ((0.1, 0.3), 4 / 21, "costs neither shown more nor less than"),
    ):
        told = model_sentence(with_excess(one, bounds, p))
        assert f"{words} as many others that match them" in told
        assert f"p among draws {p:.2g}" in told


def with_excess(table, bounds, p):
    """A table whose Rosetta Neurons differ from those that match by an interval, and a p."""
    changed = table.copy()
    matched = (changed["population"] == "matched") & (changed["domain"] == WHOLE)
    changed.loc[matched, ["rosetta_excess_ci_low", "rosetta_excess_ci_high"]] = bounds
    changed.loc[matched, "p_draws"] = p
    return changed


def test_the_summary_counts_models(table):
    parts = [
        with_excess(table[table["model"] == "first"].assign(model=f"m{number}"), bounds, 2 / 21)
        for number, bounds in enumerate([(0.1, 0.3), (0.2, 0.3), (-0.3, -0.1), (-0.1, 0.1)])
    ]
    lone = parts[0][parts[0]["population"] != "matched"].assign(model="m4")
    assert summary_sentence(pd.concat([*parts, lone])) == (
        "Ablating Rosetta Neurons costs more than ablating as many others that match them in 2 of "
        "5 models, less in 1, and neither is shown in 1; 1 model could not be compared."
    )
    assert summary_sentence(parts[0]).endswith(
        "in 1 of 1 model, less in 0, and neither is shown in 0."
    )


def test_a_domain_may_be_called_all(ablated_run, table, tmp_path):
    """What is told of all samples is told of no domain."""
    losses = pd.read_parquet(ablated_run / "ablation" / f"{PAIR}.parquet")
    own = losses[losses["model"] == "first"].replace({"domain": {"d0": "all"}})
    found = effect_table(own, Bootstrap(n_resamples=199), "first")
    assert not found.duplicated([*ROWS, "measure"]).any()
    renamed = table.replace({"domain": {"d0": "all"}})
    assert model_sentence(renamed[renamed["model"] == "first"]).startswith("first: without its ")
    paths = Paths(tmp_path)
    write_csv(paths.table("ablation"), renamed)
    labels = [label.get_text() for label in draw_ablation(paths).axes[2].get_xticklabels()]
    assert labels == ["all together", "all", "d1", "d2"]


def test_a_table_without_draws_is_drawn(ablated_run, table, tmp_path):
    """As of a rung none of whose matches is above its null model."""
    paths = Paths(tmp_path)
    write_csv(paths.table("ablation"), table[table["population"] != "matched"])
    figure = draw_ablation(paths)
    assert [axes.get_title("left") for axes in figure.axes][:2] == [
        "without these neurons",
        "with nothing but these",
    ]


def test_trends_are_told_where_there_is_an_interval():
    row = {
        "ladder": "l",
        "treatment": "ablate",
        "measure": "bits_per_byte",
        "quantity": "rosetta less matched",
        "slope": 0.25,
        "slope_ci_low": 0.1,
        "slope_ci_high": 0.4,
        "n_models": 6,
    }
    told = trend_sentence(pd.DataFrame([row]))
    assert told.endswith(
        "l: with a tenfold size, it changes by +0.250 (+0.100 to +0.400, 6 models)."
    )
    assert trend_sentence(pd.DataFrame([{**row, "slope_ci_low": np.nan}])) == ""
    empty = pd.DataFrame(columns=ATTRIBUTION_TABLE_COLUMNS)
    assert attribution_sentence(empty).startswith("No match could be compared")
