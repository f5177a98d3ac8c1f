"""The registry of stages: one record per rule, from which everything that knows rules reads."""

from rosetta.run.stages.filtering import training_name
from rosetta.run.stages.registry import (
    STAGES,
    check_rules,
    figure_names,
    find_stage,
    gains_from_gpu,
    job_names,
    made_by,
    table_names,
)

__all__ = [
    "STAGES",
    "check_rules",
    "figure_names",
    "find_stage",
    "gains_from_gpu",
    "job_names",
    "made_by",
    "table_names",
    "training_name",
]
