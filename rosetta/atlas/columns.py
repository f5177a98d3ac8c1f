"""The tables of an atlas: columns, types and meanings; cards and docs are made from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa


class Column(NamedTuple):
    """Type and meaning of a column."""

    kind: pa.DataType
    meaning: str


class Table(NamedTuple):
    """What a table has a row for, and its columns by name."""

    row: str
    columns: dict[str, Column]

    @property
    def schema(self) -> pa.Schema:
        """Types of the columns, in their order."""
        return pa.schema([(name, column.kind) for name, column in self.columns.items()])


_TEXT, _FLAG = pa.string(), pa.bool_()
_NUMBER, _INT, _WHOLE = pa.float64(), pa.int32(), pa.int64()
_TEXTS, _NUMBERS = pa.list_(pa.string()), pa.list_(pa.float64())

_RUNG = {
    "ladder": Column(_TEXT, "ladder: a family of groups of growing models"),
    "rung": Column(_INT, "rung of the ladder, from 0"),
    "group": Column(_TEXT, "the models of the rung joined by `--`, the anchor first"),
}
_ANCHOR = {
    "model_anchor": Column(_TEXT, "name of the anchor model"),
    "layer_anchor": Column(_INT, "layer of the anchor neuron, from 0"),
    "unit_anchor": Column(_INT, "its unit in the layer, from 0"),
    "neuron_anchor": Column(_TEXT, "its printed name, such as `L3/U12`"),
}
_PARTNER = {
    "model": Column(_TEXT, "name of the partner's model"),
    "layer": Column(_INT, "layer of the partner, from 0"),
    "unit": Column(_INT, "its unit in the layer, from 0"),
    "neuron": Column(_TEXT, "its printed name"),
}
_ABOVE = {
    "above_documents": Column(
        _FLAG, "calibrated class: above exchanged samples, by the ladder's own threshold"
    ),
    "above_untrained": Column(
        _FLAG, "calibrated class: above untrained twins, by the ladder's own threshold"
    ),
}
_NEURON = {
    "model": Column(_TEXT, "name of the model"),
    "layer": Column(_INT, "layer, from 0"),
    "unit": Column(_INT, "unit in the layer, from 0; in a mixture through all experts"),
    "neuron": Column(_TEXT, "printed name, such as `L3/U12`"),
}
_STORES = Column(
    _TEXT, "of models that see images: on which images it was measured, such as `vit-s@pmf-s`"
)

TABLES: dict[str, Table] = {
    "matches": Table(
        "a match that makes a Rosetta Neuron, per rung",
        {
            **_RUNG,
            **_ANCHOR,
            **_PARTNER,
            "r": Column(_NUMBER, "Pearson correlation over the aligned positions"),
            "r_ci_low": Column(_NUMBER, "lower end of its 95% interval, over samples"),
            "r_ci_high": Column(_NUMBER, "upper end"),
            "rank_a": Column(_INT, "rank of the partner among the anchor neuron's neighbours"),
            "rank_b": Column(_INT, "rank of the anchor neuron among the partner's neighbours"),
            "margin_a": Column(_NUMBER, "r minus that with the anchor neuron's next neighbour"),
            "margin_b": Column(_NUMBER, "the same from the partner's side"),
            "p_permutation": Column(_NUMBER, "p of r under permuted positions"),
            "p_documents": Column(_NUMBER, "p of r under exchanged samples"),
            "p_untrained": Column(_NUMBER, "p of r between untrained twins"),
            **_ABOVE,
        },
    ),
    "rosetta": Table(
        "a Rosetta Neuron: an anchor neuron that is matched with every other model, per rung",
        {
            **_RUNG,
            **_ANCHOR,
            "r": Column(_NUMBER, "the lowest r of its matches; of several with a model the best"),
            "rank": Column(_INT, "its place in the group by r, from 1"),
            **_ABOVE,
        },
    ),
    "neurons": Table(
        "a neuron of a match, on either side; of images one per set of images",
        {
            **_NEURON,
            "stores": _STORES,
            "depth": Column(_NUMBER, "layer / (layers − 1); 0 in a model of one layer"),
            "groups": Column(_TEXTS, "the groups that it is a Rosetta Neuron of"),
            "n_partners": Column(_INT, "neurons that it is matched with, in all groups"),
            "mean_r": Column(_NUMBER, "mean r of its matches"),
            "max_r": Column(_NUMBER, "the highest"),
            "min_r": Column(_NUMBER, "the lowest"),
            "baseline_r": Column(
                _NUMBER, "mean of the best r under a baseline, where an imported table tells one"
            ),
            "excess_r": Column(_NUMBER, "mean_r − baseline_r"),
            "excess_kurtosis": Column(
                _NUMBER, "vocabulary kurtosis: excess kurtosis of the cosines of its output "
                "weights with all unembedding vectors; high if it writes to few tokens"
            ),
            "activation_mean": Column(_NUMBER, "mean of its activation over all positions"),
            "activation_variance": Column(_NUMBER, "variance"),
            "activation_skewness": Column(_NUMBER, "skewness"),
            "activation_kurtosis": Column(_NUMBER, "excess kurtosis"),
            "fraction_active": Column(_NUMBER, "share of positions at which it fires"),
            "domain_information": Column(
                _NUMBER, "mutual information between its firing and the domain or class, in bits"
            ),
            "domains": Column(_TEXTS, "domains of the corpus, or classes of the images"),
            "domain_firing": Column(_NUMBERS, "share of each one's positions at which it fires"),
            "domain_purity": Column(_NUMBER, "share of the commonest class in its top images"),
            "monosemanticity": Column(_NUMBER, "how alike its images are to another model"),
            "explained_variance": Column(_NUMBER, "variance of its maps that a factor explains"),
            "promoted": Column(_TEXTS, "tokens whose unembedding it is most like"),
            "promoted_cosine": Column(_NUMBERS, "their cosines"),
            "suppressed": Column(_TEXTS, "tokens whose unembedding it is most unlike"),
            "suppressed_cosine": Column(_NUMBERS, "their cosines"),
            "annotation": Column(_TEXT, "name by a language model"),
            "annotation_status": Column(_TEXT, "annotated, refused or malformed"),
            "annotation_monosemantic": Column(_FLAG, "whether that model finds one concept"),
        },
    ),
    "verdicts": Table(
        "a neuron that a judge was asked about",
        {
            **_NEURON,
            "stores": _STORES,
            "judge": Column(_TEXT, "the judge"),
            "top_k": Column(_INT, "images or contexts that it was shown"),
            "status": Column(_TEXT, "answered, refused or malformed"),
            "is_monosemantic": Column(_FLAG, "its verdict"),
            "description": Column(_TEXT, "its description"),
        },
    ),
    "contexts": Table(
        "a neuron of a language model and one of its top contexts, one per document",
        {
            **_NEURON,
            "rank": Column(_INT, "from 1, the highest activation first"),
            "document": Column(
                _TEXT, "id of the document: BLAKE2b of its UTF-8 text, 8 bytes, little-endian"
            ),
            "domain": Column(_TEXT, "its domain"),
            "byte_start": Column(_INT, "where the token begins in the UTF-8 text"),
            "byte_end": Column(_INT, "where it ends"),
            "value": Column(_NUMBER, "activation there"),
            "before": Column(_TEXT, "text before the token; only with `--texts all`"),
            "token": Column(_TEXT, "the token; only with `--texts all`"),
            "after": Column(_TEXT, "text after it; only with `--texts all`"),
        },
    ),
    "images": Table(
        "a neuron of a model that sees images and one of its top images",
        {
            **_NEURON,
            "stores": _STORES,
            "rank": Column(_INT, "from 1, the highest score first"),
            "image": Column(_TEXT, "id of the image: a hash of its pixels"),
            "domain": Column(_TEXT, "its class"),
            "score": Column(_NUMBER, "mean activation over its cells"),
            "peak_row": Column(_INT, "row of the cell with the highest activation, from 0"),
            "peak_column": Column(_INT, "its column, from 0"),
            "n_rows": Column(_INT, "rows of cells"),
            "n_columns": Column(_INT, "columns of cells"),
            "picture": Column(
                pa.binary(), "the image as WebP, at most 96 pixels wide; only with `--pictures`"
            ),
        },
    ),
    "groups": Table(
        "a rung of a ladder",
        {
            **_RUNG,
            "models": Column(_TEXTS, "its models, the anchor first"),
            "modality": Column(_TEXT, "`text` or `images`"),
            "n_positions": Column(_WHOLE, "aligned positions"),
            "matches": Column(_WHOLE, "Rosetta Neurons, as the run counts them"),
            "matches_ci_low": Column(_NUMBER, "lower end of its 95% interval, over samples"),
            "matches_ci_high": Column(_NUMBER, "upper end"),
            "above_documents": Column(_WHOLE, "those above exchanged samples"),
            "above_documents_ci_low": Column(_NUMBER, "lower end of its 95% interval"),
            "above_documents_ci_high": Column(_NUMBER, "upper end"),
            "above_untrained": Column(_WHOLE, "those above untrained twins"),
            "above_untrained_ci_low": Column(_NUMBER, "lower end of its 95% interval"),
            "above_untrained_ci_high": Column(_NUMBER, "upper end"),
            "threshold_documents": Column(_NUMBER, "what r has to exceed there, in its ladder"),
            "threshold_untrained": Column(_NUMBER, "what r has to exceed there, in its ladder"),
        },
    ),
    "models": Table(
        "a model",
        {
            "model": Column(_TEXT, "its name in this atlas"),
            "modality": Column(_TEXT, "`text` or `images`"),
            "source": Column(
                _TEXT, "`hub`, `folder`, `trained` (by the run), `untrained`, or `unknown`"
            ),
            "location": Column(_TEXT, "id on the hub, or name of the folder"),
            "revision": Column(_TEXT, "commit or tag on the hub"),
            "seed": Column(_WHOLE, "of its training in the run, or of its random weights"),
            "weights": Column(
                _TEXT, "what tells its weights from others: their digest, or id and commit"
            ),
            "architecture": Column(_TEXT, "model type of its configuration"),
            "n_layers": Column(_INT, "layers"),
            "d_mlp": Column(_INT, "neurons per layer, of all experts together"),
            "n_experts": Column(_INT, "experts per layer; 0 in a dense model"),
            "d_expert": Column(_INT, "neurons per expert"),
            "n_neurons": Column(_WHOLE, "neurons"),
            "n_parameters": Column(_WHOLE, "parameters"),
            "dtype": Column(_TEXT, "precision of the forward pass"),
            "licence": Column(_TEXT, "what its card or folder states; not checked"),
        },
    ),
}  # fmt: skip


def typed(name: str, rows: pd.DataFrame) -> pa.Table:
    """Return a table of an atlas from rows: its columns, in order and of their types.

    Columns that the rows lack are empty.

    Parameters
    ----------
    name : str
        One of `TABLES`.
    rows : DataFrame
        With some of its columns, and no others.

    Raises
    ------
    ValueError
        If the rows have a column that the table has not.
    """
    schema = TABLES[name].schema
    if unknown := [column for column in rows if column not in schema.names]:
        raise ValueError(f"{name}: has no columns {unknown}")
    arrays = [
        pa.array(rows[field.name], field.type, from_pandas=True)
        if field.name in rows
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table by the names of their cells."""
    return [{str(name): cell for name, cell in row.items()} for row in frame.to_dict("records")]
