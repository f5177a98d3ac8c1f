"""The registry of stages: one record per rule, from which everything that knows rules reads."""

from rosetta.run.stages.filtering import training_name
from rosetta.run.stages.registry import (
    RULES,
    STAGES,
    check_rules,
    declared_files,
    figure_names,
    find_rule,
    find_stage,
    job_made_by,
    job_names,
    made_by,
    needed_files,
    pieces_of_job,
    rule_jobs,
    slice_name,
    table_names,
    undeclared_files,
)

__all__ = [
    "RULES",
    "STAGES",
    "check_rules",
    "declared_files",
    "figure_names",
    "find_rule",
    "find_stage",
    "job_made_by",
    "job_names",
    "made_by",
    "needed_files",
    "pieces_of_job",
    "rule_jobs",
    "slice_name",
    "table_names",
    "training_name",
    "undeclared_files",
]
