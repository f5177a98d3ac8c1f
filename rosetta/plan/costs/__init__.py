"""The one price list: operations, memory and disk of each job, from configuration and known sizes.

`rosetta plan` adds these costs up (`rosetta.plan.sweep`), a cluster is asked for them and a margin
(`rosetta.plan.resources`), and what cannot fit is an error before a run (`rosetta.plan.checks`).
Memory of models (`rosetta.models.placement`) and tiles of pairs (`rosetta.correlation.plan`) are
computed where the jobs themselves compute them. Light, because Snakemake asks while it plans.
"""
