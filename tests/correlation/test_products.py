"""The products' backends: what low precision must not do to long sums."""

import numpy as np
import pytest
import torch

import rosetta.correlation.products
from rosetta.correlation.plan import ROWS
from rosetta.correlation.products import Products, resolve_precision
from rosetta.errors import ConfigError


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-3)])
def test_a_true_correlation_survives_ten_million_rows(precision, tolerance):
    """The mistake to avoid: sums kept in low precision stall far below the truth."""
    n_blocks = 10_000_000 // ROWS + 1
    generator = torch.Generator().manual_seed(0)
    products = Products(2, 2, precision)
    moments = np.zeros((3, 2))
    exact = np.zeros((2, 2))
    for _ in range(n_blocks):
        a, noise = torch.randn((2, ROWS, 2), generator=generator)
        b = 0.9 * a + (1 - 0.81) ** 0.5 * noise
        products.add(a, b)
        exact += (a.double().T @ b.double()).numpy()
        moments += np.stack(
            [a.double().square().sum(0), b.double().square().sum(0), a.double().sum(0)]
        )
    scale = np.sqrt(np.outer(moments[0], moments[1]))
    true, got = exact / scale, products.sums(slice(None)).numpy() / scale
    assert abs(np.diag(true) - 0.9).max() < 1e-3
    assert abs(got - true).max() < tolerance


def test_runs_of_any_length_sum_to_the_same(monkeypatch):
    monkeypatch.setattr(rosetta.correlation.products, "RUN_ROWS", 100)
    monkeypatch.setattr(rosetta.correlation.products, "STRIP_COLUMNS", 3)
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.normal(size=(230, n)).astype(np.float32)) for n in (7, 5))
    products = Products(7, 5, "float32")
    for start in range(0, 230, 40):
        products.add(a[start : start + 40], b[start : start + 40])
    np.testing.assert_allclose(
        products.sums(slice(None)).numpy(), a.double().T.numpy() @ b.double().numpy(), atol=1e-4
    )


def test_the_backend_follows_the_machine(monkeypatch):
    monkeypatch.setattr(rosetta.correlation.products, "has_fast_bfloat16", lambda: True)
    assert resolve_precision("auto") == "bfloat16"
    monkeypatch.setattr(rosetta.correlation.products, "has_fast_bfloat16", lambda: False)
    assert resolve_precision("auto") == "float32"
    with pytest.raises(ConfigError, match=r"correlation\.precision: bfloat16"):
        resolve_precision("bfloat16")
