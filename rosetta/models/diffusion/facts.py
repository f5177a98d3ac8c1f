"""What a pipeline of diffusers makes, told by its configuration files and the entry's settings.

Light: no library is needed, so a plan reads it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rosetta.config.pipelines import LABEL, MOST_CHARACTERS, Pipeline
from rosetta.errors import ConfigError, ModelError, brief
from rosetta.models.architectures.pipelines import PIPELINES, Configuration, PipelineArchitecture
from rosetta.models.folders import PIPELINE
from rosetta.models.neurons import NeuronShape

CONFIGURATIONS = (PIPELINE, "transformer/config.json", "vae/config.json")
LABELS = 1000  # the library's code takes label 1000 for no class, whatever the model


@dataclass(frozen=True)
class PipelineFacts:
    """What a pipeline makes with its settings.

    Attributes
    ----------
    name : str
        Its class in diffusers.
    shape : NeuronShape
        Its neurons.
    size, cells : int
        Pixels, and cells, along a side of an image.
    noise_shape : tuple of int or None
        Of the noise that an image is made from; None if the pipeline draws it itself.
    classes : tuple of str
        Names of the classes, in the order of their labels.
    guided : bool
        Whether the transformer runs without the condition, too.
    """

    name: str
    shape: NeuronShape
    size: int
    cells: int
    noise_shape: tuple[int, ...] | None
    classes: tuple[str, ...]
    guided: bool

    @property
    def architecture(self) -> PipelineArchitecture:
        """The entry of its class in the table."""
        return PIPELINES[self.name]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.cells, self.cells

    @property
    def calls_per_step(self) -> int:
        """Calls of the transformer per step."""
        return self.architecture.calls_when_guided if self.guided else 1

    @property
    def kept_half(self) -> str | None:
        """Half of a doubled batch that has the condition; None if the batch is not doubled."""
        return self.architecture.conditional if self.guided else None


def pipeline_facts(
    index: Configuration,
    transformer: Configuration,
    vae: Configuration,
    settings: Pipeline,
    place: str,
) -> PipelineFacts:
    """Return what a pipeline makes.

    Parameters
    ----------
    index, transformer, vae : mapping
        Contents of `CONFIGURATIONS`.
    settings : Pipeline
        Those of the model's entry.
    place : str
        What messages name as the culprit: the key of the entry.

    Raises
    ------
    ModelError
        If the class is not supported, or a configuration lacks a number or has none there.
    ConfigError
        If a setting does not fit the pipeline.
    """
    name = str(index.get("_class_name"))
    if name not in PIPELINES:
        raise ModelError(
            f"{place}: pipeline {name} is not supported. Supported: {', '.join(PIPELINES)}."
        )
    of = PIPELINES[name]
    try:
        found = _numbers(of, transformer, vae)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{place}: the configuration of its transformer or autoencoder is not that of a {name} "
            f"({brief(error)}). Complete the download."
        ) from None
    guided = _guided(of, index, transformer, settings, place)
    if guided and found.n_labels not in (None, LABELS):
        raise ConfigError(
            f"{place}.pipeline.guidance: is {settings.guidance:g}, and {name} guides models of "
            f"{LABELS} classes only; this one has {found.n_labels}. Leave it at 1."
        )
    size = _size(settings, found, place)
    cells = size // found.cell
    return PipelineFacts(
        name,
        found.shape,
        size,
        cells,
        of.latents and of.latents(found.channels, cells, size // found.latent),
        _classes(index, settings, found.n_labels, place),
        guided,
    )


class _Numbers(NamedTuple):
    """What the configurations of a transformer and an autoencoder tell.

    Neurons, channels of the transformer's input, pixels along a side of a latent and of a cell; the
    number of labels, and the only size in pixels, of a model of class labels; the most cells along
    a side that there are positions for.
    """

    shape: NeuronShape
    channels: int
    latent: int
    cell: int
    n_labels: int | None
    only_size: int | None
    most_cells: int | None


def _numbers(of: PipelineArchitecture, config: Configuration, vae: Configuration) -> _Numbers:
    n_layers = sum(_count(config[layers.number]) for layers in of.layers)
    d_model = _count(config["num_attention_heads"]) * _count(config["attention_head_dim"])
    # Each level of an autoencoder but the last halves the image.
    latent = 2 ** (len(vae.get("encoder_block_out_channels") or vae["block_out_channels"]) - 1)
    most = config.get("pos_embed_max_size")
    return _Numbers(
        NeuronShape(n_layers, int(d_model * of.mlp_ratio(config))),
        _count(config["in_channels"]),
        latent,
        latent * _count(of.patch(config)),
        _count(config[of.labels]) if of.labels else None,
        latent * _count(config["sample_size"]) if of.labels else None,
        None if most is None else _count(most),
    )


def _count(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{number!r} in the place of a number from 1")
    return number


def _guided(
    of: PipelineArchitecture,
    index: Configuration,
    transformer: Configuration,
    settings: Pipeline,
    place: str,
) -> bool:
    """Return whether the transformer runs without the condition, too."""
    if not of.heeds_guidance(index, transformer):
        if settings.guidance != 1:
            raise ConfigError(
                f"{place}.pipeline.guidance: is {settings.guidance:g}, and this pipeline is "
                "distilled to run without a scale. Leave it out."
            )
        return False
    twice = of.conditional is not None or of.calls_when_guided > 1
    return twice and settings.guidance > 1


def _size(settings: Pipeline, found: _Numbers, place: str) -> int:
    key, only = f"{place}.pipeline.size", found.only_size
    if only is not None:
        if settings.size not in (None, only):
            raise ConfigError(
                f"{key}: is {settings.size}, and the model makes images of {only} pixels only. "
                "Leave it out."
            )
        return only
    if settings.size is None:
        raise ConfigError(
            f"{key}: is missing. Give the side of the images, a multiple of {found.cell}."
        )
    if settings.size % found.cell:
        raise ConfigError(
            f"{key}: {settings.size} is no multiple of {found.cell}, the pixels of a cell. Round "
            "it."
        )
    if found.most_cells is not None and settings.size > found.most_cells * found.cell:
        raise ConfigError(
            f"{key}: the model has positions for {found.most_cells} cells along a side. Lower "
            f"{settings.size} to at most {found.most_cells * found.cell}."
        )
    return settings.size


def _classes(
    index: Configuration, settings: Pipeline, n_labels: int | None, place: str
) -> tuple[str, ...]:
    """Return the names of the classes."""
    key = f"{place}.pipeline.class_names"
    given = settings.class_names
    names = tuple(names_in_file(given, key) if isinstance(given, str) else given or ())
    if n_labels is None:
        if not names:
            raise ConfigError(
                f"{key}: is missing. Name the classes that the prompt `{settings.prompt}` is "
                "filled with, as a list or a file with one per line."
            )
        return names
    names = names or _own_names(index, n_labels)
    if len(names) != n_labels:
        raise ConfigError(
            f"{key}: has {len(names)} names, and the model {n_labels} classes. Give one per class."
        )
    return names


def _own_names(index: Configuration, n_labels: int) -> tuple[str, ...]:
    """Return the names that a pipeline of class labels brings, or numbers."""
    said = index.get("id2label")
    said = said if isinstance(said, dict) else {}
    return tuple(str(said.get(str(label), label)) for label in range(n_labels))


def names_in_file(path: str, key: str) -> list[str]:
    """Return the names in a text file, one per line; `key` says where the file is named.

    Raises
    ------
    ConfigError
        If it cannot be read, or a line is no name.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key}: {path} cannot be read ({brief(error)}). Give a text file with the name of a "
            "class per line, or a list of names."
        ) from None
    names = [line.strip() for line in lines if line.strip()]
    for name in names:
        if not name.isprintable() or len(name) > MOST_CHARACTERS:
            raise ConfigError(
                f"{key}: {path} holds {name[:40]!r}, which is no name of visible characters, "
                f"{MOST_CHARACTERS} at most. Correct the line."
            )
    return names


def prompt_of(settings: Pipeline, name: str) -> str:
    """Return what a pipeline is asked for to make an image of a class."""
    return settings.prompt.replace(LABEL, name)
