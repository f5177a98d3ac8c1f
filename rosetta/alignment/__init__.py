"""Aligned positions of two models: each a weighted mean of a few stored rows."""
