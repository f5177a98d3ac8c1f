"""Exact Pearson correlations of all neurons of two models, kept as nearest neighbours."""
