"""Selectivity of a model's neurons in vocabulary space, from its weights."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rosetta.analysis.selectivity import vocabulary_table
from rosetta.api.arguments import as_flag
from rosetta.api.in_memory import check_causal, own_tokenizer
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.tokenizers import n_embedded, token_ids


def vocabulary_kurtosis(
    model: Any, tokenizer: Any = None, *, fold_final_norm: bool = False
) -> pd.DataFrame:
    """Return how few tokens each neuron writes to (Dravid 2026, section 5.1).

    That is the excess kurtosis of the cosines between a neuron's output weights and the unembedding
    vectors of all tokens: 0 for a normal distribution, high if the neuron writes to few tokens.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model of transformers, of a supported architecture.
    tokenizer : PreTrainedTokenizerFast or tokenizers.Tokenizer, optional
        Its tokenizer, which says what rows of the unembedding belong to tokens; others only pad it
        and are left out. All rows count if it is not given.
    fold_final_norm : bool
        Whether to carry the final norm's gain over to the unembedding vectors.

    Returns
    -------
    DataFrame
        `layer`, `unit`, `excess_kurtosis` (NaN where the output weights are zero).

    Raises
    ------
    ConfigError
        If `fold_final_norm` is neither True nor False.
    ModelError
        If `model` is no loaded model, its architecture is not supported, or it has no unembedding
        that fits it; if `tokenizer` is not a fast one.
    """
    place = type(model).__name__
    check_causal("model", model)
    as_flag("fold_final_norm", fold_final_norm)
    shape = neuron_shape(model.config, place)
    ids = (
        range(n_embedded(model.config))
        if tokenizer is None
        else token_ids(own_tokenizer(tokenizer, place))
    )
    directions = unembedding(model, place, ids, fold_final_norm=fold_final_norm)
    return vocabulary_table(output_weights(model, place), directions, shape.n_layers, place)
