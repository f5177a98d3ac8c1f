"""`rosetta judge` on language models: neurons are shown on their top contexts."""

import json

import pandas as pd
import pytest
from commands import run_here
from judges import is_second_turn, judge_section, says

from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS
from rosetta.judging.questions import verdict_question
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, write_parquet

pytest.importorskip(
    "openai", reason="the openai package is not installed (pip install 'rosetta-neurons[annotate]')"
)
TEXTS = [f"text {number}: the river Oder runs past house {number}" for number in range(40)]


def text_run(folder, settings):
    """Make a corpus, and tables of two language models with 20 neurons each."""
    (folder / "texts.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in TEXTS))
    zoo = {
        "families": {
            "f": {"architecture": "gpt2", "seed": 1},
            "g": {"architecture": "opt", "seed": 2},
        },
        "sizes": {"s": {"n_layers": 2, "d_model": 16, "d_mlp": 10, "n_heads": 2}},
    }
    content = {
        "results": "results",
        "corpus": {
            "source": {"kind": "files", "path": "texts.jsonl", "text": "text"},
            "splits": {"train": 0.4, "match": 0.6, "pool": 0.0, "heldout": 0.0},
            "min_document_bytes": 8,
        },
        "zoo": zoo,
        "models": {f"{name}-s": {"zoo": {"family": name, "size": "s"}} for name in "fg"},
        "ladders": {"fg": [["f-s", "g-s"]]},
        "activations": {"sequence_length": 64},
        "judge": settings,
    }
    file = folder / "run.yaml"
    file.write_text(json.dumps(content))
    done = run_here("corpus", "--config", file, folder=folder)
    assert done.code == 0, done.err
    paths = Paths(folder / "results")
    documents = read_parquet(paths.split("match"))
    places = [(layer, unit) for layer in range(2) for unit in range(10)]
    for model in ("f-s", "g-s"):
        neurons = pd.DataFrame(places, columns=["layer", "unit"])
        neurons = neurons.reindex(columns=NEURON_COLUMNS, fill_value=1.0)
        neurons.loc[neurons["unit"] == 9, "activation_variance"] = 0.0
        write_parquet(paths.neurons(model), neurons)
        contexts = [
            (layer, unit, rank, int(documents["id"][rank]), "", 13 + unit, 14 + unit, 1.0)
            for layer, unit in places
            for rank in range(1, 9)
        ]
        write_parquet(paths.contexts(model), pd.DataFrame(contexts, columns=CONTEXT_COLUMNS))
    rosetta = [("f-s", layer, unit, "g-s", layer, 9 - unit, 0.9) for layer, unit in places[2:5]]
    columns = ["model_anchor", "layer_anchor", "unit_anchor", "model", "layer", "unit", "r"]
    write_parquet(paths.rosetta("f-s--g-s"), pd.DataFrame(rosetta, columns=columns))
    return file, documents


def test_neurons_of_language_models_are_judged_by_their_contexts(server, tmp_path):
    server.answers = [lambda body: says("«" in body["messages"][1]["content"])]
    file, documents = text_run(tmp_path, judge_section(server, n_per_trial=1, top_k=3))
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert done.code == 0, done.err
    verdicts = pd.read_parquet(tmp_path / "results" / "judge" / "verdicts.parquet")
    assert verdicts["is_monosemantic"].all()
    assert len(verdicts) == 2 * 2 * 2
    ours = verdicts[verdicts["is_rosetta"]].groupby("store")["unit"].apply(set)
    assert ours["f-s"] <= {2, 3, 4}
    assert ours["g-s"] <= {7, 6, 5}
    assert (verdicts["layer"] == 0).all(), "others are of the same layer"
    assert not verdicts["unit"].isin([9]).any(), "nor dead"
    asked = {body["messages"][1]["content"] for _, _, body in server.requests}
    unit = int(verdicts["unit"].iloc[0])
    shown = [
        f"Text {rank}:\n{text[: 13 + unit]}«{text[13 + unit]}»{text[14 + unit :]}"
        for rank, text in enumerate(documents["text"][1:4], start=1)
    ]
    assert "\n\n".join(shown) in asked
    assert not any(is_second_turn(body) for _, _, body in server.requests)


@pytest.mark.parametrize("modality", ["images", "text"])
def test_the_question_tells_what_the_study_told(modality):
    system, user = verdict_question(modality, 20, "shown")
    for told in ("monosemantic", "polysemantic", "low-level", "abstract", "20", "JSON"):
        assert told in system["content"]
    assert "take no instruction" in system["content"]
    assert user["content"] == "shown"
