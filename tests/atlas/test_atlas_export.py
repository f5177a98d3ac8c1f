"""The atlas of a finished run: what `datasets` and pandas read, against the run's own tables."""

import json
import os
import shutil

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from commands import assert_rejected, run_here, tree
from small_configs import ENDPOINT

from rosetta.atlas.columns import TABLES, typed
from rosetta.atlas.folder import MANIFEST, VERSION, read_atlas
from rosetta.atlas.site import page_of
from rosetta.config import dump_config, group_name, group_pairs, load_config, parse_config
from rosetta.inputs.text.documents import document_name
from rosetta.judging.annotate import ANNOTATION_COLUMNS
from rosetta.judging.verdicts import VERDICT_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64, write_text
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_parquet, write_parquet

PLACE = ["model_anchor", "layer_anchor", "unit_anchor", "model", "layer", "unit"]


def export(folder, out, *options):
    """Export the run in a project folder; it is left as it is."""
    done = run_here("atlas", "export", "--out", out, *options, folder=folder)
    assert done.code == 0, done.err
    return out


@pytest.fixture(scope="module")
def atlas(finished, tmp_path_factory):
    return export(finished, tmp_path_factory.mktemp("export") / "atlas")


@pytest.fixture(scope="module")
def run(finished):
    config = load_config(finished / "results" / "run_config.yaml")
    return config, Paths(finished / "results")


def table(atlas, name):
    return pd.read_parquet(atlas / "data" / f"{name}.parquet")


def test_datasets_opens_every_table_that_has_rows(atlas, tmp_path):
    opened = datasets.get_dataset_config_names(str(atlas))
    sizes = {name: len(table(atlas, name)) for name in TABLES}
    assert opened == [name for name, size in sizes.items() if size]
    assert {"matches", "rosetta", "neurons", "contexts", "groups", "models"} <= set(opened)
    for name in opened:
        found = datasets.load_dataset(str(atlas), name, split="train", cache_dir=str(tmp_path))
        assert found.column_names == list(TABLES[name].columns)
        assert len(found) == sizes[name]
        assert found.data.table.schema.remove_metadata().equals(TABLES[name].schema)
    default = datasets.load_dataset(str(atlas), split="train", cache_dir=str(tmp_path))
    assert default["r"] == table(atlas, "matches")["r"].tolist()


def test_counts_are_those_of_the_run(atlas, run):
    """The rows of a rung give its counts, also above every null, by the ladder's own threshold."""
    _, paths = run
    counts = pd.read_csv(paths.table("counts"))
    rosetta, groups = table(atlas, "rosetta"), table(atlas, "groups")
    assert len(groups) == len(counts)
    for row in counts.to_dict("records"):
        mine = rosetta[(rosetta["ladder"] == row["ladder"]) & (rosetta["rung"] == row["rung"])]
        assert len(mine) == row["matches"]
        for null in ("above_documents", "above_untrained"):
            if np.isnan(row[null]):
                assert mine[null].isna().all()
            else:
                assert mine[null].sum() == row[null]
        if len(mine):
            assert mine["rank"].tolist() == list(range(1, len(mine) + 1))
            assert (mine["r"].diff().dropna() <= 0).all()


def test_matches_have_what_the_run_says_of_them(atlas, run):
    config, paths = run
    matches = table(atlas, "matches")
    limits = table(atlas, "groups").set_index(["ladder", "rung"])
    for ladder, rungs in config.ladders.items():
        for number, models in enumerate(map(tuple, rungs)):
            mine = matches[(matches["ladder"] == ladder) & (matches["rung"] == number)]
            rosetta = read_parquet(paths.rosetta(group_name(models)))
            assert sorted(map(tuple, mine[PLACE].to_numpy().tolist())) == sorted(
                map(tuple, rosetta[PLACE].to_numpy().tolist())
            )
            for pair in group_pairs(models):
                told = read_parquet(paths.matches(group_name(pair)))
                told = told.set_index(["layer_a", "unit_a", "layer_b", "unit_b"])
                for row in mine[mine["model"] == pair[1]].to_dict("records"):
                    place = (row["layer_anchor"], row["unit_anchor"], row["layer"], row["unit"])
                    for name in (
                        "r",
                        "r_ci_low",
                        "r_ci_high",
                        "margin_a",
                        "margin_b",
                        "p_documents",
                    ):
                        np.testing.assert_equal(row[name], told.loc[place, name])
                    limit = limits.loc[(ladder, number), "threshold_untrained"]
                    assert row["above_untrained"] == (row["r"] > limit)


def test_neurons_are_those_of_matches_with_their_measures(atlas, run):
    config, paths = run
    matches, neurons = table(atlas, "matches"), table(atlas, "neurons")
    sides = (PLACE[:3], PLACE[3:])
    named = {tuple(row) for side in sides for row in matches[side].to_numpy().tolist()}
    assert named == {tuple(row) for row in neurons[["model", "layer", "unit"]].to_numpy().tolist()}
    assert not neurons.duplicated(["model", "layer", "unit"]).any()
    selectivity = pd.read_csv(paths.table("selectivity")).set_index(["model", "layer", "unit"])
    layers = {
        model: read_manifest(paths.model_manifest(model), "model")["n_layers"]
        for model in config.models
    }
    for row in neurons.to_dict("records"):
        measured = selectivity.loc[(row["model"], row["layer"], row["unit"])]
        for name in ("excess_kurtosis", "activation_mean", "fraction_active", "domain_information"):
            assert row[name] == pytest.approx(measured[name], rel=1e-6)
        assert set(row["groups"]) == set(measured["groups"].split())
        assert row["depth"] == row["layer"] / max(layers[row["model"]] - 1, 1)
        assert len(row["promoted"]) == len(row["promoted_cosine"]) == 10
        assert len(row["domains"]) == len(row["domain_firing"])


def test_texts_are_told_by_ids_unless_asked_for(atlas, finished, run, tmp_path):
    _, paths = run
    ids = table(atlas, "contexts")
    assert ids[["before", "token", "after"]].isna().all(axis=None)
    documents = read_parquet(paths.split("match"))
    texts = {
        document_name(one): text
        for one, text in zip(documents["id"], documents["text"], strict=True)
    }
    assert all(document_name(hash64(text)) == name for name, text in texts.items())
    assert set(ids["document"]) <= set(texts)
    secret = max(texts.values(), key=len)[:40]
    assert not [
        path for path in atlas.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    told = table(export(finished, tmp_path / "all", "--texts", "all"), "contexts")
    pd.testing.assert_frame_equal(ids[["document", "value"]], told[["document", "value"]])
    for row in told.to_dict("records"):
        data = texts[row["document"]].encode()
        assert row["token"] == data[row["byte_start"] : row["byte_end"]].decode("utf-8", "replace")
        before = data[max(0, row["byte_start"] - 120) : row["byte_start"]]
        assert row["before"] == before.decode("utf-8", "replace")
        assert row["after"] == data[row["byte_end"] :][:120].decode("utf-8", "replace")
    none = export(finished, tmp_path / "none", "--texts", "none")
    assert not len(table(none, "contexts"))
    assert "Texts of the corpus are part" in (tmp_path / "all" / "README.md").read_text()
    assert "every document stays under the licence" in (atlas / "README.md").read_text()


def test_the_card_names_models_configuration_and_columns(atlas, run):
    text = (atlas / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["configs"][0] == {
        "config_name": "matches",
        "data_files": [{"split": "train", "path": "data/matches.parquet"}],
        "default": True,
    }
    assert front["license"] == "other"
    config, paths = run
    for model in config.used_models():
        weights = read_manifest(paths.model_manifest(model), "model")["weights"]
        assert f"`{model}`" in text
        assert weights in text
    for found in TABLES.values():
        for name, column in found.columns.items():
            assert f"| `{name}` | " in text
            assert column.meaning in text


def test_the_same_run_gives_the_same_bytes(atlas, finished, tmp_path):
    """From another folder, at another time, without a path or a date."""
    shutil.copytree(finished / "results", tmp_path / "elsewhere" / "results")
    os.utime(tmp_path / "elsewhere" / "results" / "run_config.yaml", (1, 1))
    again = export(tmp_path / "elsewhere", tmp_path / "again")
    assert tree(again) == tree(atlas)
    for path in (path for path in atlas.rglob("*") if path.is_file()):
        assert str(finished).encode() not in path.read_bytes()


def test_an_atlas_of_its_own_is_replaced_and_nothing_else(finished, tmp_path):
    out = export(finished, tmp_path / "atlas", "--max-pages", 3)
    export(finished, out, "--max-pages", 2)
    assert len(list(out.glob("neurons/*/*.html"))) == 2

    def refused(message, where=out):
        before = tree(tmp_path)
        done = run_here("atlas", "export", "--out", where, folder=finished)
        assert_rejected(done, message)
        assert tree(tmp_path) == before

    (out / "notes.txt").write_text("mine")
    refused(r"notes.txt was added or changed since the atlas was written")
    (out / "notes.txt").unlink()
    kept = (out / "README.md").read_text()
    (out / "README.md").write_text(kept + "mine")
    refused(r"README.md was added or changed")
    (out / "README.md").write_text(kept)
    export(finished, out, "--max-pages", 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("a")
    refused("mine is not empty, and not from this command", tmp_path / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    refused("link is a file or a link", tmp_path / "link")
    refused("overlap. Give a folder outside", finished / "results" / "atlas")
    (tmp_path / "empty").mkdir()
    export(finished, tmp_path / "empty", "--max-pages", 1)


def test_a_killed_export_leaves_what_was_there(finished, tmp_path, monkeypatch):
    out = export(finished, tmp_path / "atlas", "--max-pages", 1)
    before = tree(tmp_path)
    monkeypatch.setattr("rosetta.atlas.site.Site.write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_here("atlas", "export", "--out", out, folder=finished)
    assert tree(tmp_path) == before


def test_a_run_and_its_atlas_are_the_same(atlas, finished, tmp_path):
    done = run_here("atlas", "diff", "results", atlas, "--out", tmp_path / "d.csv", folder=finished)
    assert done.code == 0, done.err
    found = pd.read_csv(tmp_path / "d.csv")
    assert set(found["where"]) == {"both"}
    assert (found["difference"] == 0).all()
    assert "caution" not in done.out
    assert done.out.count("the same weights") == len(table(atlas, "models"))


def test_what_is_exported_in_the_published_form_comes_back(atlas, run, tmp_path):
    """A pair's matches as best_buddies.json, imported, are those of the run's atlas."""
    config, paths = run
    pair = config.pairs()[0]
    matches = paths.matches(group_name(pair))
    done = run_here("export", matches, "--out", "best_buddies.json", folder=tmp_path)
    assert done.code == 0, done.err
    named = ["--model", pair[0], "--model", pair[1], "--out", "b"]
    done = run_here("atlas", "import", "best_buddies.json", *named, folder=tmp_path)
    assert done.code == 0, done.err
    columns = [*PLACE, "r", "rank_a", "rank_b"]
    back = table(tmp_path / "b", "matches")[columns]
    mine = table(atlas, "matches")
    mine = mine[mine["group"] == group_name(pair)][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(back, mine)
    same = [f"--same={name}={name}" for name in pair]
    done = run_here("atlas", "diff", atlas, "b", *same, "--out", "d.csv", folder=tmp_path)
    found = pd.read_csv(tmp_path / "d.csv")
    shared = found["model_a"].isin(pair) & found["partner_a"].isin(pair)
    of_pair = found[(found["what"] == "match") & shared]
    assert set(of_pair["where"]) == {"both"}
    assert len(of_pair) == len(mine)


def test_images_are_told_by_ids_classes_and_peaks(mixed, tmp_path):
    """Of a run on images and text; pictures only where they are asked for."""
    atlas = export(mixed, tmp_path / "atlas")
    images, neurons = table(atlas, "images"), table(atlas, "neurons")
    assert len(images)
    assert images["picture"].isna().all()
    paths = Paths(mixed / "results")
    for (model, stores), part in images.groupby(["model", "stores"]):
        tops = read_parquet(paths.top_images(model))
        tops = tops[tops["stores"] == stores].set_index(["layer", "unit", "rank"])
        for row in part.to_dict("records"):
            told = tops.loc[(row["layer"], row["unit"], row["rank"])]
            grid = np.asarray(told["map"]).reshape(row["n_rows"], row["n_columns"])
            assert grid[row["peak_row"], row["peak_column"]] == grid.max()
            assert row["image"] == document_name(int(told["image_id"]))
            assert row["domain"] == told["domain"]
    of_images = neurons[neurons["stores"].notna()]
    assert not of_images.duplicated(["model", "stores", "layer", "unit"]).any()
    assert of_images["domain_purity"].notna().all()
    assert of_images["excess_kurtosis"].isna().all()
    shown = {*map(tuple, images[["model", "stores", "layer", "unit"]].to_numpy().tolist())}
    assert shown == {
        *map(tuple, of_images[["model", "stores", "layer", "unit"]].to_numpy().tolist())
    }
    assert set(neurons.loc[neurons["stores"].isna(), "model"]) == {"pythia-t", "opt-t"}

    pictured = export(mixed, tmp_path / "pictured", "--pictures")
    found = datasets.load_dataset(
        str(pictured), "images", split="train", cache_dir=str(tmp_path / "cache")
    ).cast_column("picture", datasets.Image())
    assert found[0]["picture"].size == (16, 16)
    page = next((pictured / "neurons").glob("*/*.html"))
    assert any(
        "data:image/webp;base64," in path.read_text() for path in pictured.glob("neurons/*/*")
    )
    assert "default-src 'none'" in page.read_text()


def test_names_and_verdicts_are_told_where_there_are_some(atlas, finished, tmp_path):
    """Planted beside a run's results; the examples that a model quotes are of the corpus."""
    shutil.copytree(finished / "results", tmp_path / "results")
    config = load_config(tmp_path / "results" / "run_config.yaml")
    judge = {**ENDPOINT, "n_validated": 0}
    content = config.model_dump(mode="json") | {"annotation": ENDPOINT, "judge": judge}
    asked = dump_config(parse_config(content))
    write_text(tmp_path / "results" / "run_config.yaml", asked)
    first, second = table(atlas, "neurons")[["model", "layer", "unit"]].head(2).to_dict("records")
    paths = Paths(tmp_path / "results")
    named = {"status": "annotated", "name": "rivers", "examples": ["the Oder"]}
    annotations = [
        {**first, **named, "is_monosemantic": True},
        {**second, "status": "refused", "name": None, "examples": [], "is_monosemantic": None},
        {**first, "unit": 10_000, **named, "is_monosemantic": True},
    ]
    write_parquet(paths.annotations, pd.DataFrame(annotations)[ANNOTATION_COLUMNS])
    said = {"trial": 0, "is_rosetta": True, "top_k": 20, "judge": "m", "question": "f00"}
    said |= {"status": "answered", "is_monosemantic": False, "description": "two things"}
    place = {"store": first["model"], "layer": first["layer"], "unit": first["unit"]}
    write_parquet(paths.verdicts, pd.DataFrame([{**place, **said}])[VERDICT_COLUMNS])

    out = export(tmp_path, tmp_path / "atlas")
    neurons = table(out, "neurons").set_index(["model", "layer", "unit"])
    assert len(neurons) == len(table(atlas, "neurons"))
    told = ["annotation", "annotation_status", "annotation_monosemantic"]
    assert neurons.loc[tuple(first.values()), told].tolist() == ["rivers", "annotated", True]
    assert neurons.loc[tuple(second.values()), "annotation_status"] == "refused"
    assert neurons["annotation_status"].notna().sum() == 2
    (verdict,) = table(out, "verdicts").to_dict("records")
    assert verdict["description"] == "two things"
    assert (verdict["model"], verdict["is_monosemantic"]) == (first["model"], False)
    assert pd.isna(verdict["stores"])
    page = (out / page_of(first["model"], f"L{first['layer']}/U{first['unit']}")).read_text()
    assert "Named by a model: <code>rivers</code> · one concept" in page
    assert "Judged by m: <code>two things</code> · not monosemantic" in page
    assert not [
        path for path in out.rglob("*") if path.is_file() and b"the Oder" in path.read_bytes()
    ]


def test_a_run_made_by_hand_has_an_atlas_too(small_run, tmp_path):
    """Without null models, intervals or texts shared by models: what is not there is empty."""
    shutil.copytree(small_run.parent, tmp_path / "p")
    content = yaml.safe_load((tmp_path / "p" / "results" / "run_config.yaml").read_text())
    content["controls"] |= {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": []}
    (tmp_path / "p" / "plain.yaml").write_text(yaml.safe_dump(content))
    done = run_here(
        "check",
        "--configfile",
        "plain.yaml",
        "--out",
        "results/run_config.yaml",
        folder=tmp_path / "p",
    )
    assert done.code == 0, done.err
    matches = table(export(tmp_path / "p", tmp_path / "atlas"), "matches")
    assert len(matches)
    assert matches[["p_documents", "r_ci_low", "above_documents"]].isna().all(axis=None)


def test_every_table_has_its_columns_whatever_is_known():
    for name, found in TABLES.items():
        assert typed(name, pd.DataFrame()).schema.equals(found.schema)
    with pytest.raises(ValueError, match=r"matches: has no columns \['R'\]"):
        typed("matches", pd.DataFrame({"R": [1.0]}))


def rewritten(folder, **changes):
    manifest = read_manifest(folder / MANIFEST, "atlas")
    write_manifest(folder / MANIFEST, {**manifest, **changes})


def test_a_spoilt_atlas_is_not_compared(atlas, tmp_path):
    """Of another version, damaged, or with other columns: one message each."""

    def spoilt(name):
        shutil.copytree(atlas, tmp_path / name)
        return tmp_path / name

    def refused(folder, message):
        assert_rejected(run_here("atlas", "diff", folder, atlas, folder=tmp_path), message)

    other = spoilt("other")
    rewritten(other, version=VERSION + 1)
    refused(other, f"is an atlas of version {VERSION + 1}, and this version of rosetta reads")
    broken = spoilt("broken")
    (broken / MANIFEST).write_text("{")
    refused(broken, "atlas.json: not what was written here")
    shared = spoilt("shared")
    (shared / f".{MANIFEST}.digest").unlink()  # hidden files may be lost on the way
    assert read_atlas(shared).tables["matches"].num_rows
    (shared / MANIFEST).write_text("{")
    refused(shared, "atlas.json: damaged manifest")
    cut = spoilt("cut")
    path = cut / "data" / "matches.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    refused(cut, "matches.parquet: truncated or altered")
    less = spoilt("less")
    path = less / "data" / "neurons.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["min_r"]), path)
    files = json.loads((less / MANIFEST).read_text())["files"]
    from rosetta.storage.manifests import describe

    rewritten(less, files={**files, **describe(less, [path])})
    refused(less, r"neurons.parquet: lacks the columns \['min_r'\]")


def test_an_unfinished_run_says_what_is_missing(finished, tmp_path):
    shutil.copytree(finished / "results", tmp_path / "results")
    for path in (tmp_path / "results" / "rosetta").glob("*.parquet"):
        path.unlink()
    done = run_here("atlas", "export", "--out", "a", folder=tmp_path)
    assert_rejected(done, r"results/rosetta/pythia-s--opt-s\.parquet: no such file. Make it again")
    assert not (tmp_path / "a").exists()
