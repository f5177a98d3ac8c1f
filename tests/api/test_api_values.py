"""`rosetta.capture`, `correlate`, `match`, … against NumPy, and against what the commands write."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from commands import run_here
from helpers import save_stores, save_tiny_model
from scipy import stats
from small_runs import MODELS, PAIR
from tokenizers import Tokenizer, models, normalizers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, BertConfig, BertLMHeadModel

import rosetta
from rosetta.analysis.scaling import scaling_table
from rosetta.errors import ConfigError, CorpusError, ModelError, RosettaError, StoreError
from rosetta.matching.mutual import MATCH_COLUMNS

DOWN = {"first": "transformer.h.{}.mlp.c_proj", "second": "model.layers.{}.mlp.down_proj"}
LENGTH = 32


@pytest.fixture(scope="module")
def project(small_run):
    return small_run.parent


def load(project, name):
    return AutoModelForCausalLM.from_pretrained(project / name), AutoTokenizer.from_pretrained(
        project / name
    )


@pytest.fixture(scope="module")
def documents(small_run):
    return pd.read_parquet(small_run / "corpus" / "match.parquet")


@pytest.fixture(scope="module")
def stores(project, documents, tmp_path_factory):
    """Stores of both models of the run, captured from memory with the run's settings."""
    folder = tmp_path_factory.mktemp("captured")
    torch.set_num_threads(1)  # as the command does: sums split over threads round differently
    return {
        name: rosetta.capture(
            *load(project, name), documents["text"], folder / name, n_shards=2, dtype="float32"
        )
        for name in MODELS
    }


def test_a_captured_store_is_the_one_that_the_command_writes(small_run, stores):
    for name, store in stores.items():
        for shard in range(2):
            ours, theirs = (
                zarr.open_group(folder / f"{shard}.zarr")
                for folder in (store.folder, small_run / "activations" / name / "2-shards")
            )
            paths = [path for path, _ in theirs.members(max_depth=None)]
            assert sorted(paths) == sorted(path for path, _ in ours.members(max_depth=None))
            for path in (path for path in paths if isinstance(theirs[path], zarr.Array)):
                np.testing.assert_array_equal(ours[path][...], theirs[path][...])
        done = run_here("store", "check", store.folder, folder=store.folder)
        assert done.code == 0, done


def tokens_by_hand(tokenizer, text):
    """Return token ids and, of each, how many bytes it spells; the text is ASCII."""
    found = tokenizer.backend_tokenizer.encode(text)
    marked = zip(found.offsets, found.special_tokens_mask, strict=True)
    widths = [0 if special else end - start for (start, end), special in marked]
    return found.ids[:LENGTH], widths[:LENGTH]


def activations_by_hand(model, name, ids):
    """Return the inputs of the down projections on one text, float64, shape (tokens, neurons)."""
    kept, handles = {}, []
    for layer in range(2):
        module = model.get_submodule(DOWN[name].format(layer))
        handles.append(
            module.register_forward_pre_hook(
                lambda _, args, layer=layer: kept.update({layer: args[0][0]})
            )
        )
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return torch.cat([kept[0], kept[1]], dim=1).numpy()


def rows_by_hand(project, text):
    """Return what each model reads on a text's aligned spans: means over its tokens in each."""
    ends, values = {}, {}
    for name in MODELS:
        model, tokenizer = load_once(project, name)
        ids, widths = tokens_by_hand(tokenizer, text)
        kept = np.array(widths) > 0
        values[name] = activations_by_hand(model, name, ids)[kept]
        ends[name] = np.cumsum(np.array(widths)[kept])
    shared = np.intersect1d(ends["first"], ends["second"])
    rows = {}
    for name in MODELS:
        span = np.searchsorted(shared, ends[name])
        rows[name] = (
            np.stack([values[name][span == i].mean(axis=0) for i in range(len(shared))])
            if len(shared)
            else []
        )
    return rows


_LOADED = {}


def load_once(project, name):
    if (project, name) not in _LOADED:
        model, tokenizer = load(project, name)
        _LOADED[project, name] = model.double().eval(), tokenizer
    return _LOADED[project, name]


def test_matches_are_those_of_numpy_in_float64(project, documents, tmp_path):
    texts = [text for text in documents["text"] if text.isascii()][:60]
    parts = [rows_by_hand(project, text) for text in texts]
    x, y = (np.concatenate([part[name] for part in parts if len(part[name])]) for name in MODELS)
    r = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    u = np.flatnonzero(r[:, r.argmax(axis=1)].argmax(axis=0) == np.arange(len(r)))
    v = r.argmax(axis=1)[u]
    captured = [
        rosetta.capture(*load(project, name), texts, tmp_path / name, dtype="float32", name=name)
        for name in MODELS
    ]
    lists = rosetta.correlate(*captured, k=2, precision="float64")
    matches = rosetta.match(lists)
    assert lists.n_positions == len(x)
    assert len(matches) > 10
    assert (matches["layer_a"] * 24 + matches["unit_a"]).tolist() == u.tolist()
    assert (matches["layer_b"] * 24 + matches["unit_b"]).tolist() == v.tolist()
    np.testing.assert_allclose(matches["r"], r[u, v], atol=1e-5)
    second = -np.sort(-r, axis=1)[:, 1]
    np.testing.assert_allclose(matches["margin_a"], r[u, v] - second[u], atol=2e-5)
    table = lists.table()
    nearest = table[(table["side"] == "b") & (table["rank"] == 1)]
    assert (nearest["partner_layer"] * 24 + nearest["partner_unit"]).tolist() == r.argmax(
        axis=0
    ).tolist()
    assert rosetta.match(*captured, precision="float64").equals(matches)
    assert rosetta.match(str(captured[0].folder), captured[1].folder, precision="float64").equals(
        matches
    )


def test_matches_and_anchors_are_those_that_the_commands_write(small_run, stores):
    lists = rosetta.correlate(stores["first"], stores["second"], k=3, precision="float64")
    written = pd.read_parquet(small_run / "neighbors" / PAIR / "0-of-1.parquet")
    pd.testing.assert_frame_equal(lists.table(), written)
    matches = rosetta.match(lists)
    pd.testing.assert_frame_equal(
        matches, pd.read_parquet(small_run / "matches" / f"{PAIR}.parquet")[MATCH_COLUMNS]
    )
    rosettas = pd.read_parquet(small_run / "rosetta" / f"{PAIR}.parquet")
    pd.testing.assert_frame_equal(rosetta.anchors(matches), rosettas)


def test_anchors_are_matched_in_every_comparison(stores):
    lists = rosetta.correlate(stores["first"], stores["second"])
    one, three = rosetta.match(lists), rosetta.match(lists, k=3).assign(model_b="third")
    found = rosetta.anchors(one, three)
    both = set(zip(one["layer_a"], one["unit_a"], strict=True)) & set(
        zip(three["layer_a"], three["unit_a"], strict=True)
    )
    assert set(zip(found["layer_anchor"], found["unit_anchor"], strict=True)) == both
    assert found["model"].unique().tolist() == ["second", "third"]
    with pytest.raises(ConfigError, match="each model once"):
        rosetta.anchors(one, one)
    with pytest.raises(ConfigError, match="different anchors"):
        rosetta.anchors(one, three.assign(model_a="other"))
    with pytest.raises(ConfigError, match="no table of matches"):
        rosetta.anchors()
    with pytest.raises(StoreError, match=r"table 2: lacks the columns \['r'\]"):
        rosetta.anchors(one, three.drop(columns="r"))


def test_exclusions_and_pooling_are_those_of_the_configuration(stores):
    a, b = stores.values()
    whole = rosetta.correlate(a, b, precision="float64")
    cut = rosetta.correlate(a, b, precision="float64", exclusions={"first_position": True})
    assert cut.n_positions == whole.n_positions - cut.facts.n_first_position < whole.n_positions
    pooled = rosetta.correlate(a, b, precision="float64", pooling="max")
    assert not np.allclose(pooled.neighbors.a.r, whole.neighbors.a.r)


BAD_CORRELATIONS = [
    ({"k": 0}, "k: "),
    ({"pooling": "sum"}, "pooling: "),
    ({"method": "guess"}, "method: "),
    ({"memory_gb": -1.0}, "memory_gb: "),
    ({"threads": -1}, "threads: "),
    ({"min_r": 0.5}, "min_r: is what screening certifies"),
    ({"exclusions": {"fist_position": True}}, "fist_position: unknown key"),
]


@pytest.mark.parametrize(("options", "message"), BAD_CORRELATIONS)
def test_arguments_out_of_range_are_named(stores, options, message):
    with pytest.raises(ConfigError, match=message):
        rosetta.correlate(stores["first"], stores["second"], **options)


def test_matching_says_what_it_takes(stores, tmp_path):
    lists = rosetta.correlate(stores["first"], stores["second"], k=2)
    with pytest.raises(ConfigError, match="k: 3 is not between 1 and 2, the neighbours kept"):
        rosetta.match(lists, k=3)
    with pytest.raises(ConfigError, match="b: neighbour lists are of both models"):
        rosetta.match(lists, stores["second"])
    with pytest.raises(ConfigError, match="b: is missing"):
        rosetta.match(stores["first"])
    with pytest.raises(StoreError, match="holds no store manifest"):
        rosetta.match(stores["first"], tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, texts):
    folder = save_tiny_model(tmp_path_factory.mktemp("tiny") / "m", texts, "gpt2")
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_the_model_and_the_tokenizer_are_given_back_as_they_were(tiny, texts, tmp_path):
    model, tokenizer = tiny
    tokenizer.backend_tokenizer.encode_special_tokens = False
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokens = tokenizer.backend_tokenizer.to_str()
    model.eval()
    model.transformer.h[1].train()
    modes = [module.training for module in model.modules()]
    store = rosetta.capture(model, tokenizer, texts[:20], tmp_path / "s")
    assert [module.training for module in model.modules()] == modes
    assert tokenizer.backend_tokenizer.to_str() == tokens
    assert not tokenizer.backend_tokenizer.encode_special_tokens
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert store.positions().groupby("document").size().max() > 5, "all of a text is read"
    model.eval()
    other = rosetta.capture(
        model, tokenizer.backend_tokenizer, texts[:20], tmp_path / "t", name="s"
    )
    np.testing.assert_array_equal(store.layer(1).compute(), other.layer(1).compute())


def test_an_equal_capture_keeps_its_shards_and_another_is_rejected(tiny, texts, tmp_path):
    model, tokenizer = tiny
    rosetta.capture(model, tokenizer, texts[:20], tmp_path / "s", n_shards=2)
    manifests = [tmp_path / "s" / f"{shard}.json" for shard in range(2)]
    written = [path.stat().st_mtime_ns for path in manifests]
    (tmp_path / "s" / "1.zarr" / "activations" / "0" / "c" / "0" / "0").write_bytes(b"")  # damaged
    rosetta.capture(model, tokenizer, texts[:20], tmp_path / "s", n_shards=2)
    again = [path.stat().st_mtime_ns for path in manifests]
    assert again[0] == written[0]
    assert again[1] > written[1]
    with pytest.raises(StoreError, match="of another capture"):
        rosetta.capture(model, tokenizer, texts[:10], tmp_path / "s")
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    with pytest.raises(StoreError, match="of another capture"):
        rosetta.capture(model, tokenizer, texts[:20], tmp_path / "s", n_shards=2)
    store = rosetta.capture(model, tokenizer, texts[:10], tmp_path / "s", overwrite=True)
    assert store.n_samples == 10
    assert not manifests[1].exists()
    (tmp_path / "s" / "notes.json").write_text(json.dumps({"mine": 1}))
    with pytest.raises(StoreError, match=r"notes\.json"):
        rosetta.capture(model, tokenizer, texts[:5], tmp_path / "s", overwrite=True)
    assert (tmp_path / "s" / "notes.json").exists()


BAD_CAPTURES = [
    ({"texts": "a text"}, CorpusError, "one string is given"),
    ({"texts": ["a text", 3]}, CorpusError, r"texts\[1\]: int is not a text"),
    ({"texts": ["a text", "b", "a text"]}, CorpusError, r"texts\[2\]: is there twice"),
    ({"texts": ["\ud800"]}, CorpusError, r"texts\[0\]: has no UTF-8 form"),
    ({"texts": []}, CorpusError, "texts: there is none"),
    ({"n_shards": 3}, ConfigError, "n_shards: 3 shards need as many texts, and there are 2"),
    ({"sequence_length": 1}, ConfigError, "sequence_length: "),
    ({"sequence_length": 1000}, ModelError, "sequence_length 1000 is above its context of 32"),
    ({"dtype": "int8"}, ConfigError, "dtype: "),
    ({"batch_size": "auto"}, ConfigError, "batch_size: 'auto' is not a whole number"),
    ({"tokenizer": None}, ModelError, "NoneType is not a fast tokenizer"),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD_CAPTURES)
def test_what_cannot_be_captured_is_named(tiny, tmp_path, changed, error, message):
    arguments = {
        "model": tiny[0],
        "tokenizer": tiny[1],
        "texts": ["one text", "another"],
        **changed,
    }
    with pytest.raises(error, match=message):
        rosetta.capture(**arguments, folder=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_models_whose_neurons_are_not_known_are_rejected(tiny, project, tmp_path):
    model, tokenizer = tiny
    bert = BertLMHeadModel(
        BertConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=1, intermediate_size=8)
    )
    with pytest.raises(
        ModelError, match=r"architecture 'bert' is not supported. Supported: gpt_neox"
    ):
        rosetta.capture(bert, tokenizer, ["x"], tmp_path / "s")
    with pytest.raises(ModelError, match="not a causal language model"):
        rosetta.capture(
            AutoModel.from_pretrained(project / "first"), tokenizer, ["x"], tmp_path / "s"
        )
    other = Tokenizer(models.WordLevel({f"w{i}": i for i in range(1000)}, "w0"))
    with pytest.raises(ModelError, match="has token 999, and the model embeds"):
        rosetta.capture(model, other, ["x"], tmp_path / "s")
    changing = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    changing.normalizer = normalizers.Replace("a b", "c d")
    with pytest.raises(ModelError, match="2 of 2 documents cannot be traced back"):
        rosetta.capture(model, changing, ["a b a b", "x a b"], tmp_path / "s")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_lazy_activations_are_those_captured_whatever_the_stored_dtype(tmp_path, dtype):
    rng = np.random.default_rng(0)
    ranges = (
        np.arange(40, dtype=np.int32),
        *(np.arange(40, dtype=np.int32) % 10 + i for i in (0, 1)),
        np.arange(40, dtype=np.int32) // 10,
    )
    values = rng.normal(size=(2, 40, 5)).astype(np.float32)
    values[1] *= 1e-6  # a layer that float16 stores scaled
    save_stores(tmp_path / "m", values, ranges, 4, n_shards=2, dtype=dtype)
    store = rosetta.ModelStore(tmp_path / "m")
    for layer in range(2):
        found = store.layer(layer)
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found.compute(), values[layer], rtol=2**-8 if dtype == "bfloat16" else 2**-10
        )


def test_the_fit_is_that_of_the_command(small_run):
    run = rosetta.open_run(small_run)
    fitted = rosetta.fit_power_law(run.counts)
    texts = ["few_matches", "reason"]  # an empty one is a missing one in CSV
    read = run.scaling.assign(
        **{name: run.scaling[name].astype(object).fillna("") for name in texts}
    )
    pd.testing.assert_frame_equal(fitted, read, check_dtype=False)
    assert fitted.equals(scaling_table(run.counts))


def test_an_exact_law_is_found_and_a_table_that_is_none_is_named():
    sizes = np.array([100, 400, 1600, 6400])
    law = rosetta.fit_power_law(
        pd.DataFrame({"n_neurons": sizes, "matches": 3 * np.sqrt(sizes)})
    ).iloc[0]
    assert law["alpha"] == pytest.approx(0.5)
    assert law["c"] == pytest.approx(3.0)
    assert law["alpha_ci_low"] < 0.5 < law["alpha_ci_high"]
    with pytest.raises(StoreError, match=r"counts: lacks the columns \['matches'\]"):
        rosetta.fit_power_law(pd.DataFrame({"n_neurons": sizes}))
    with pytest.raises(StoreError, match="counts: matches in row 1 is '-1', not a number"):
        rosetta.fit_power_law(pd.DataFrame({"n_neurons": [1, 2], "matches": [-1, 2]}))
    with pytest.raises(StoreError, match="counts: holds no row"):
        rosetta.fit_power_law(pd.DataFrame({"n_neurons": [], "matches": []}))


def test_every_statistic_of_a_long_table_has_the_law_of_its_rows(tmp_path):
    sizes = np.array([100, 400, 1600, 6400])
    parts = {
        name: pd.DataFrame({"ladder": "x", "n_neurons": sizes, "matches": 2 * sizes**exponent})
        for name, exponent in (("plain", 0.5), ("above", 0.9))
    }
    long = pd.concat([part.assign(statistic=name) for name, part in parts.items()])
    long = long.sample(frac=1, random_state=0)
    laws = rosetta.fit_power_law(long).set_index("statistic")
    assert set(laws.index) == set(parts)
    for name, part in parts.items():
        alone = rosetta.fit_power_law(part).iloc[0]
        assert laws.loc[name, "alpha"] == pytest.approx(alone["alpha"], abs=1e-9)
        assert laws.loc[name, "n_rungs"] == alone["n_rungs"] == 4
    long.to_csv(tmp_path / "long.csv", index=False)
    assert run_here("fit", "long.csv", "--out", "laws.csv", folder=tmp_path).code == 0
    written = pd.read_csv(tmp_path / "laws.csv").set_index("statistic")
    np.testing.assert_allclose(written.loc[laws.index, "alpha"], laws["alpha"])
    with pytest.raises(StoreError, match="counts: its rows name a statistic, and a figure is of"):
        rosetta.plot_scaling(long)
    with pytest.raises(StoreError, match="counts: its rows differ in half_sample"):
        rosetta.fit_power_law(parts["plain"].assign(half_sample=range(4)))
    with pytest.raises(StoreError, match="counts: ladder is missing in some row"):
        rosetta.fit_power_law(parts["plain"].assign(ladder=["x", "x", None, "x"]))


def test_the_figure_has_the_counts_and_the_law_of_every_ladder():
    sizes = np.array([100, 200, 400])
    tables = [
        pd.DataFrame({"ladder": ladder, "n_neurons": sizes, "matches": factor * sizes**0.5})
        for ladder, factor in (("a_$b$", 2), ("_c", 4))
    ]
    counts = pd.concat(tables, ignore_index=True)
    scaling = rosetta.fit_power_law(counts)
    _, ours = plt.subplots()
    axes = rosetta.plot_scaling(counts, scaling, ours)
    assert axes is ours
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_ydata().tolist() for line in points] == [
        table["matches"].tolist() for table in tables
    ]
    laws = [
        line for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 50
    ]
    for line, factor in zip(laws, (2, 4), strict=True):
        np.testing.assert_allclose(line.get_ydata(), factor * line.get_xdata() ** 0.5, rtol=1e-4)
    shown = [text.get_text().replace("\u200b", "") for text in axes.get_legend().get_texts()]
    assert [text.split(":")[0] for text in shown] == [r"a_\$b\$", "_c"]
    assert all("α = 0.50" in text for text in shown)
    assert rosetta.plot_scaling(counts.drop(columns="ladder").head(3)).figure is not ours.figure
    with pytest.raises(ConfigError, match="counts: has no statistic 'above_untrained'"):
        rosetta.plot_scaling(counts, statistic="above_untrained")


def test_vocabulary_kurtosis_is_that_of_scipy_and_of_the_command(small_run, project):
    model, tokenizer = load(project, "second")
    found = rosetta.vocabulary_kurtosis(model, tokenizer)
    written = pd.read_parquet(small_run / "vocabulary" / "second.parquet")
    pd.testing.assert_frame_equal(found, written[list(found)])  # which has tokens, too
    vectors = model.lm_head.weight.detach().double().numpy()
    every = rosetta.vocabulary_kurtosis(model)
    for kept, table in (
        (sorted(tokenizer.get_vocab().values()), found),
        (range(len(vectors)), every),
    ):
        unit = vectors[list(kept)] / np.linalg.norm(vectors[list(kept)], axis=1, keepdims=True)
        for layer in range(2):
            down = model.model.layers[layer].mlp.down_proj.weight.detach().double().numpy()
            cosines = unit @ (down / np.linalg.norm(down, axis=0))
            expected = stats.kurtosis(cosines, axis=0)
            np.testing.assert_allclose(
                table.loc[table["layer"] == layer, "excess_kurtosis"], expected, atol=1e-4
            )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rosetta.match(None, "a"), "a: None is not a store"),
        (lambda: rosetta.correlate(3, "a"), "a: 3 is not a store"),
        (lambda: rosetta.anchors([]), "is a list, not a table"),
        (lambda: rosetta.fit_power_law({"n_neurons": [1]}), "counts: is a dict, not a table"),
        (
            lambda: rosetta.fit_power_law(
                pd.DataFrame({"n_neurons": [0, 1, 2], "matches": [1, 2, 3]})
            ),
            "counts: n_neurons is 0",
        ),
    ],
)
def test_arguments_of_another_kind_are_rejected(call, message):
    with pytest.raises(RosettaError, match=message):
        call()
