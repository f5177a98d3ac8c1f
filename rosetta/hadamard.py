"""Hadamard matrices: square matrices of ±1 whose rows are orthogonal.

Nothing heavy is imported: the configuration asks which orders there are.
"""

from __future__ import annotations


def hadamard(order: int) -> list[list[int]]:
    """Return a Hadamard matrix with a first row of 1; other rows are half 1, half -1.

    Paley's first construction (order q + 1 of a prime q ≡ 3 mod 4), doubled by Sylvester's as often
    as needed.

    Raises
    ------
    ValueError
        If these make no matrix of this order (`is_order`).
    """
    if order == 1:
        return [[1]]
    if _is_paley(order):
        return _paley(order - 1)
    if order < 1 or order % 2:
        raise ValueError(f"no Hadamard matrix of order {order} is made")
    half = hadamard(order // 2)
    return [row + row for row in half] + [row + [-x for x in row] for row in half]


def is_order(order: int) -> bool:
    """Tell whether `hadamard` makes a matrix of this order."""
    while order > 1 and not _is_paley(order):
        if order % 2:
            return False
        order //= 2
    return order >= 1


def largest_order(limit: int) -> int:
    """Return the largest order up to a limit, which is at least 1."""
    return next(order for order in range(limit, 0, -1) if is_order(order))


def _is_paley(order: int) -> bool:
    prime = order - 1
    return (
        prime > 0
        and prime % 4 == 3
        and all(prime % divisor for divisor in range(2, int(prime**0.5) + 1))
    )


def _paley(prime: int) -> list[list[int]]:
    squares = {x * x % prime for x in range(1, prime)}
    core = [
        [1 if i == j or (j - i) % prime in squares else -1 for j in range(prime)]
        for i in range(prime)
    ]
    # Paley's border is 1 above and −1 on the left; with all rows but the first negated it is 1
    # throughout.
    return [[1] * (prime + 1)] + [[1, *(-x for x in row)] for row in core]
