"""Exact Pearson correlations between all neurons of two models, out-of-core, kept as nearest neighbours."""
