"""Which class each sample of a model's stores is of: of text, the domain of the document."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.errors import StoreError
from rosetta.storage.digests import name64


def classes_of(
    ids: np.ndarray, samples: pd.DataFrame, sample: str = "document"
) -> tuple[list[str], np.ndarray]:
    """Return the classes of the samples of a run, and the class of each that the stores are of.

    Parameters
    ----------
    ids : ndarray of uint64, shape (n,)
        Ids of the samples of the stores.
    samples : DataFrame
        Samples of the run: id, domain (the name of the class).
    sample : str
        What messages call one of them.

    Returns
    -------
    names : list of str
        Of the classes, in alphabetical order.
    of_sample : ndarray of int64, shape (n,)
        Index into them.

    Raises
    ------
    StoreError
        If the stores hold a sample that is not among `samples`.
    """
    names = sorted(samples["domain"].unique())
    number = {name: i for i, name in enumerate(names)}
    by_id = dict(zip(samples["id"].tolist(), samples["domain"].map(number).tolist(), strict=True))
    missing = set(ids.tolist()) - by_id.keys()
    if missing:
        raise StoreError(
            f"the stores hold {sample} {name64(min(missing))}, which the run lacks. Capture the "
            "model again."
        )
    return names, np.array([by_id[id_] for id_ in ids.tolist()], dtype=np.int64)
