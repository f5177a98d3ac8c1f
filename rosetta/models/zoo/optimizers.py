"""Optimizers of zoo models: Muon for the matrices of layers, AdamW for all else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rosetta.config.zoo import ZooOptimization

BETAS = (0.8, 0.99)  # of AdamW: a short memory of the gradient, since a training has few steps
MOMENTUM = 0.9  # of Muon
ITERATIONS = 4  # of Newton–Schulz; a fifth costs a tenth of a large model's step and wins nothing
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of its polynomial (Jordan et al. 2024)


class Muon(torch.optim.Optimizer):
    """Momentum whose updates are orthogonalised: each matrix moves in all of its directions alike.

    With momentum M (Nesterov's form), a matrix W of n_out × n_in moves by

        W ← (1 − rate × decay) W − rate × √max(1, n_out / n_in) × orthogonalised(M)

    (Jordan et al. 2024, "Muon"). `torch.optim.Muon` does the same in bfloat16 and one matrix at a
    time; here matrices of one shape share each product, in their own precision, which takes a sixth
    to all of the time and needs no bfloat16 of the processor. Parameters of three dimensions are
    stacks of matrices (a mixture's experts). `transposed` holds the `id` of parameters that are
    stored as n_in × n_out, as GPT-2's are.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        rate: float,
        weight_decay: float,
        transposed: Collection[int] = (),
    ) -> None:
        super().__init__(matrices, {"lr": rate, "weight_decay": weight_decay})
        self._transposed = frozenset(transposed)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Move every matrix that has a gradient."""
        assert closure is None, "the loss is at hand, it is never computed again"
        for group in self.param_groups:
            alike: dict[tuple[torch.Size, float], list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape, self._scale(matrix)].append(matrix)
            for (_, scale), matrices in alike.items():
                self._move(matrices, group["lr"], scale, group["weight_decay"])

    def _scale(self, matrix: Tensor) -> float:
        """Return √max(1, n_out / n_in)."""
        n_out, n_in = matrix.shape[-2:]
        if id(matrix) in self._transposed:
            n_out, n_in = n_in, n_out
        return max(1.0, n_out / n_in) ** 0.5

    def _move(self, matrices: list[Tensor], rate: float, scale: float, weight_decay: float) -> None:
        for matrix in matrices:
            state = self.state[matrix]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(matrix)
            state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
        ahead = torch.stack(
            [one.grad.lerp(self.state[one]["momentum"], MOMENTUM) for one in matrices]
        )
        for matrix, direction in zip(matrices, orthogonalised(ahead), strict=True):
            matrix.mul_(1 - rate * weight_decay).sub_(direction, alpha=rate * scale)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices of the same singular vectors, with most singular values 0.7 to 1.2.

    Newton–Schulz: each iteration applies the polynomial a s + b s³ + c s⁵ to all singular values.

    Parameters
    ----------
    matrices : Tensor, shape (..., n_out, n_in)
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # no singular value is above the norm
    a, b, c = COEFFICIENTS
    # P x has the Gram matrix P G P, so all iterations are made on the small square G = x xᵀ.
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    product = identity
    for _ in range(ITERATIONS):
        polynomial = a * identity + b * gram + c * (gram @ gram)
        product = polynomial @ product
        gram = polynomial @ gram @ polynomial
    x = product @ x
    return x.mT if tall else x


class Together:
    """Several optimizers as one, each with parameters of its own."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of all of them."""
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        """Make a step of each."""
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` continues from."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of optimizers of the same parameters."""
        for part, one in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(one)


def zoo_optimizer(model: Any, training: ZooOptimization) -> Together:
    """Return the optimizer of a zoo model, at the peak of its rates.

    Matrices of layers are what has two dimensions or more within a list of modules: embeddings,
    heads, and the projections from pixels stand beside the list.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    of_layers = {id(one) for layers in lists for one in layers.parameters() if one.ndim > 1}
    matrices, rest = [], []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (matrices if id(parameter) in of_layers else rest).append(parameter)
    transposed = {id(part.weight) for part in model.modules() if isinstance(part, Conv1D)}
    muon = Muon(matrices, training.matrix_learning_rate, training.weight_decay, transposed)
    for group in muon.param_groups:
        group["rate_factor"] = training.matrix_learning_rate / training.learning_rate
    adamw = torch.optim.AdamW(
        rest,
        lr=training.learning_rate,
        betas=BETAS,
        weight_decay=training.weight_decay,
        fused=True,
    )
    return Together(adamw, muon)
