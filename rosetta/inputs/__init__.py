"""Samples: documents with ids and labels, deduplicated, split, sampled."""
