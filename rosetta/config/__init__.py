"""The configuration: one strict typed model, a file per section."""

from rosetta.config.activations import Activations
from rosetta.config.alignment import Alignment
from rosetta.config.corpus import (
    SPLITS,
    Corpus,
    EnvironmentSource,
    FilesSource,
    HubSource,
    Sampling,
    SplitFractions,
)
from rosetta.config.correlation import Correlation, Screening
from rosetta.config.dask import Dask
from rosetta.config.endpoints import ChatEndpoint
from rosetta.config.images import IMAGE_SPLITS, Images, ImageSplits
from rosetta.config.judge import Judge
from rosetta.config.load import dump_config, load_config, parse_config
from rosetta.config.models import ModelEntry
from rosetta.config.names import PAIR_SEPARATOR, entry_of, group_name, group_pairs, twin_name
from rosetta.config.neurons import Annotation, Bootstrap, Specialization, Viewer
from rosetta.config.root import Config

__all__ = [
    "IMAGE_SPLITS",
    "PAIR_SEPARATOR",
    "SPLITS",
    "Activations",
    "Alignment",
    "Annotation",
    "Bootstrap",
    "ChatEndpoint",
    "Config",
    "Corpus",
    "Correlation",
    "Dask",
    "EnvironmentSource",
    "FilesSource",
    "HubSource",
    "ImageSplits",
    "Images",
    "Judge",
    "ModelEntry",
    "Sampling",
    "Screening",
    "Specialization",
    "SplitFractions",
    "Viewer",
    "dump_config",
    "entry_of",
    "group_name",
    "group_pairs",
    "load_config",
    "parse_config",
    "twin_name",
]
