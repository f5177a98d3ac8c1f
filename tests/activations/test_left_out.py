"""Documents that a model's tokens cannot be traced back to: left out of its comparisons, counted,
and harmless.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers import save_tiny_model, shard_inputs
from tokenizers import Regex, normalizers

from rosetta.activations.capture import capture_shard
from rosetta.activations.folders import documents_left_out, open_stores
from rosetta.config import Activations, Correlation, Dask
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.steps import correlate_step
from rosetta.errors import ModelError
from rosetta.models.sources import ModelSource

# The second and the last are changed by the normaliser below as no part of them is.
DOCUMENTS = [
    "the river is wide",
    "one  AND  two",
    "return left + right",
    "café naïve",
    "12 + 30 is 42",
    "x  AND  y",
]
SETTINGS = Activations(
    n_shards=1, sequence_length=16, batch_size=1, dtype="float32", max_left_out=0.4
)


@pytest.fixture(scope="module")
def models(tmp_path_factory, texts):
    """Two models; the tokenizer of the second normalises two of the documents in an untraceable
    way.
    """
    folder = tmp_path_factory.mktemp("models")
    loaded = {}
    for name in ("gpt2", "opt"):
        source = ModelSource(
            name, str(save_tiny_model(folder / name, texts, name, bos=name == "opt"))
        )
        loaded[name] = shard_inputs(source, [], batch_size=1)
    loaded["opt"].tokenizer.backend_tokenizer.normalizer = normalizers.Replace(
        Regex(r"\s+AND\s+"), " and "
    )
    return loaded


def capture(models, folder, documents, settings=SETTINGS):
    for name, inputs in models.items():
        inputs = replace(inputs, documents=documents, made_by={"model": name})
        capture_shard(inputs, settings, folder / name / "0.json", 0)


def test_a_document_left_out_by_one_model_is_as_if_it_were_not_there(tmp_path, models, capsys):
    whole = list(enumerate(DOCUMENTS))
    found = {}
    settings = Correlation(max_k=3, precision="float64")
    for name, documents in {
        "whole": whole,
        "without": [d for d in whole if d[0] not in (1, 5)],
    }.items():
        capture(models, tmp_path / name, documents)
        out = tmp_path / name / "lists.parquet"
        correlate_step(
            CorrelationRequest(
                tmp_path / name / "gpt2", tmp_path / name / "opt", "mean", settings, Dask()
            ),
            out,
        )
        found[name] = read_lists([out])
    (left, facts), (right, expected) = found["whole"], found["without"]
    assert facts.n_positions == expected.n_positions
    for side in ("a", "b"):
        np.testing.assert_array_equal(getattr(left, side).index, getattr(right, side).index)
        np.testing.assert_allclose(getattr(left, side).r, getattr(right, side).r, atol=1e-6)

    (store,) = open_stores(tmp_path / "whole" / "opt")
    assert set(store.read("document_index").tolist()) == {0, 2, 3, 4}
    assert store.manifest["holds"]["n_documents"] == 6
    assert [documents_left_out(tmp_path / "whole" / name) for name in ("opt", "gpt2")] == [2, 0]
    assert np.isnan(documents_left_out(tmp_path / "no stores"))
    said = capsys.readouterr().err
    assert "opt: 2 of 6 documents cannot be traced back from its tokens and are left out." in said
    assert "0000000000000001: opt: its tokenizer's normaliser changes ' AND  two' (byte 4)" in said


def test_too_many_documents_left_out_are_an_error(tmp_path, models):
    strict = SETTINGS.model_copy(update={"max_left_out": 0.3})
    with pytest.raises(
        ModelError, match=r"opt: 2 of 6 .*more than activations\.max_left_out \(0\.3\).*byte 4"
    ):
        capture({"opt": models["opt"]}, tmp_path, list(enumerate(DOCUMENTS)), strict)
    assert not list(tmp_path.rglob("*.json"))
