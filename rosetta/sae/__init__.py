"""Sparse autoencoders of stored activations: trained or loaded, and what they say of neurons."""
