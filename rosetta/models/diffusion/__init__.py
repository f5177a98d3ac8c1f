"""Diffusion and flow transformers of the library diffusers."""
