"""Procrustes and CCA against SciPy and NumPy on the rows themselves."""

import numpy as np
from instrument_rows import HALVES, measures_of
from scipy.linalg import orthogonal_procrustes, qr

from rosetta.instruments.cca import canonical, too_many_components
from rosetta.instruments.procrustes import fit_rotation, rotated_correlations


def related(seed=0, n=600, d_a=8, d_b=8):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 4))
    sides = [factors @ rng.normal(size=(4, d)) + rng.normal(size=(n, d)) for d in (d_a, d_b)]
    return sides[0] + 2, sides[1] - 1


def halves_of(a, b, **components):
    measures, block = measures_of(a, b, **components)
    judged = HALVES[0]
    of_fit, of_judged = map(measures.projected.half, (~judged, judged))
    inside = judged[block]
    rows = [side[part] - side[part].mean(axis=0) for part in (~inside, inside) for side in (a, b)]
    return measures.projected, of_fit, of_judged, rows


def test_the_rotation_is_scipys_and_so_are_its_correlations():
    a, b = related()
    projected, of_fit, of_judged, (fit_a, fit_b, judged_a, judged_b) = halves_of(a, b)
    basis = projected.of_b.basis.numpy()
    expected, _ = orthogonal_procrustes(fit_b @ basis, fit_a / np.linalg.norm(fit_a, axis=0))
    rotation = fit_rotation(of_fit)
    np.testing.assert_allclose(rotation, expected, atol=1e-4)
    turned = judged_b @ basis @ expected
    r = np.corrcoef(judged_a.T, turned.T)[:8, 8:]
    np.testing.assert_allclose(rotated_correlations(rotation, of_judged), r, atol=1e-4)


def test_a_rotation_of_fewer_components_has_orthonormal_rows_and_is_the_best():
    a, b = related(d_a=9, d_b=7)
    projected, of_fit, _, (fit_a, fit_b, _, _) = halves_of(a, b, most=3)
    rotation = fit_rotation(of_fit).numpy()
    assert rotation.shape == (3, 9)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    onto = fit_a / np.linalg.norm(fit_a, axis=0)
    of_b = fit_b @ projected.of_b.basis.numpy()
    best, rng = np.linalg.norm(of_b @ rotation - onto), np.random.default_rng(0)
    for _ in range(50):
        other, _ = np.linalg.qr(rotation.T + 0.05 * rng.normal(size=(9, 3)))
        signs = np.sign((other * rotation.T).sum(axis=0))
        assert np.linalg.norm(of_b @ (other * signs).T - onto) >= best


def test_canonical_correlations_are_those_of_the_rows():
    """In the fit by QR and SVD (Björck and Golub 1973); judged on the other half by NumPy."""
    a, b = related(d_b=6)
    _, of_fit, of_judged, (fit_a, fit_b, judged_a, judged_b) = halves_of(a, b)
    of_a, of_b = (qr(side, mode="economic") for side in (fit_a, fit_b))
    u, s, v = np.linalg.svd(of_a[0].T @ of_b[0], full_matrices=False)
    x, y = np.linalg.solve(of_a[1], u), np.linalg.solve(of_b[1], v.T)
    np.testing.assert_allclose(canonical(of_fit, of_fit).found.r, s, atol=1e-4)
    judged = canonical(of_fit, of_judged)
    variates = judged_a @ x, judged_b @ y
    expected = [
        np.corrcoef(p, q)[0, 1] for p, q in zip(*(side.T for side in variates), strict=True)
    ]
    np.testing.assert_allclose(judged.found.r, expected, atol=1e-3)
    loads = np.abs(np.corrcoef(judged_a.T, variates[0].T)[:8, 8:])
    assert judged.found.u.tolist() == loads.argmax(axis=0).tolist()
    of_b_loads = np.abs(np.corrcoef(judged_b.T, variates[1].T)[:6, 6:])
    assert judged.found.v.tolist() == of_b_loads.argmax(axis=0).tolist()
    weights = loads.sum(axis=0)
    assert abs(judged.weighted - weights @ expected / weights.sum()) < 1e-3
    assert abs(judged.mean - np.mean(expected)) < 1e-3


def test_a_rotation_of_more_components_than_neurons_has_the_largest_product():
    a, b = related(d_a=3, d_b=9)
    projected, of_fit, _, (fit_a, fit_b, _, _) = halves_of(a, b)
    rotation = fit_rotation(of_fit).numpy()
    assert rotation.shape == (9, 3)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    product = (fit_b @ projected.of_b.basis.numpy()).T @ (fit_a / np.linalg.norm(fit_a, axis=0))
    sizes = np.linalg.svd(product, compute_uv=False)
    np.testing.assert_allclose((rotation * product).sum(), sizes.sum(), rtol=1e-5)


def test_components_have_to_be_fewer_than_a_third_of_the_positions():
    assert too_many_components(100, 300) == ""
    assert too_many_components(101, 300).startswith("101 components are more than a third of the 3")
