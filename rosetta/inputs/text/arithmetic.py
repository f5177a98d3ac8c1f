"""Generated arithmetic questions with their answers, a domain without any source text."""

from __future__ import annotations

import random
from collections.abc import Iterator

from rosetta.inputs.text.documents import Text


def arithmetic_texts(seed: int) -> Iterator[Text]:
    """Yield texts of a few questions and answers each, without end."""
    rng = random.Random(f"arithmetic-{seed}")
    number = 0
    while True:
        questions = [rng.choice(_QUESTIONS)(rng) for _ in range(rng.randint(3, 7))]
        yield Text("\n".join(questions) + "\n", "arithmetic", f"arithmetic/{seed}/{number}")
        number += 1


def _sum(rng: random.Random) -> str:
    a, b = rng.randint(-999, 9999), rng.randint(1, 9999)
    return f"What is {a} plus {b}? {a + b}"


def _difference(rng: random.Random) -> str:
    a, b = rng.randint(1, 9999), rng.randint(1, 9999)
    return f"Calculate {a} - {b}. {a - b}"


def _product(rng: random.Random) -> str:
    a, b = rng.randint(2, 99), rng.randint(2, 999)
    return f"Multiply {a} and {b}. {a * b}"


def _quotient(rng: random.Random) -> str:
    a, b = rng.randint(2, 60), rng.randint(2, 200)
    return f"Divide {a * b} by {a}. {b}"


def _equation(rng: random.Random) -> str:
    name, a, x, b = (
        rng.choice("abcdghjkmnpqrstuvwxyz"),
        rng.randint(2, 30),
        rng.randint(-20, 20),
        rng.randint(1, 99),
    )
    return f"Solve {a}*{name} + {b} = {a * x + b} for {name}. {x}"


def _sequence(rng: random.Random) -> str:
    start, step = rng.randint(-50, 50), rng.randint(2, 25)
    terms = [start + step * i for i in range(5)]
    return f"What comes next: {', '.join(map(str, terms[:4]))}? {terms[4]}"


def _remainder(rng: random.Random) -> str:
    a, b = rng.randint(10, 9999), rng.randint(2, 97)
    return f"What is the remainder when {a} is divided by {b}? {a % b}"


_QUESTIONS = (_sum, _difference, _product, _quotient, _equation, _sequence, _remainder)
