"""Find the neurons that independently trained networks share."""

from importlib.metadata import version

__version__ = version("rosetta-neurons")
