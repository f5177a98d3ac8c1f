"""From weights under published names to a folder of `config.json` and safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from rosetta.errors import ModelError
from rosetta.models.weights_fit import listed
from rosetta.storage.atomic import replacing


def fill(
    model: PreTrainedModel,
    found: Mapping[str, Tensor],
    names: Mapping[str, str],
    checkpoint: Path,
    advice: str,
) -> None:
    """Give a model its weights, once a file has all of them, in their shapes, and nothing else.

    Parameters
    ----------
    model : PreTrainedModel
        On the device `meta`; its parameters become those of the file.
    found : mapping of str to Tensor
        The file's weights, without those that the model does not need. Convolutions over whole
        patches may stand for linear maps.
    names : mapping of str to str
        From the name of each parameter to the published one.
    checkpoint : Path
        The file, which messages name.
    advice : str
        How messages end: what the file is not, and what to give instead.

    Raises
    ------
    ModelError
        Naming some of the weights that are missing, of another shape, or not known.
    """
    wanted = {theirs: model.get_parameter(ours) for ours, theirs in names.items()}
    lacking = [name for name in wanted if name not in found]
    misfits = [
        f"{name} {tuple(found[name].shape)}"
        for name, weight in wanted.items()
        if name in found and not _fits(found[name], weight)
    ]
    unused = [name for name in found if name not in wanted]
    for what, some in (("lacks", lacking), ("misshapes", misfits), ("also has", unused)):
        if some:
            raise ModelError(f"{checkpoint}: {what} {listed(some)}; {advice}")
    weights = {
        ours: found[theirs].reshape(model.get_parameter(ours).shape)
        for ours, theirs in names.items()
    }
    model.load_state_dict(weights, assign=True)


def _fits(found: Tensor, weight: Tensor) -> bool:
    """Whether a weight has the shape of ours, which may be flat where theirs is a convolution's."""
    flat = found.flatten(1) if found.ndim > weight.ndim else found
    return flat.shape == weight.shape


def save(model: PreTrainedModel, out: Path, checkpoint: Path) -> None:
    """Write a model as a folder of `config.json` and safetensors; one that is there is replaced.

    Raises
    ------
    ModelError
        If the checkpoint lies in that folder, with which it would be removed.
    """
    if out.resolve() in checkpoint.resolve().parents:
        raise ModelError(f"{checkpoint}: lies in {out}, which is replaced. Give another folder.")
    with replacing(out, sum(weight.nbytes for weight in model.parameters())) as temporary:
        model.save_pretrained(temporary)
