"""Pixel mean flow (pMF): a transformer that makes an image from noise in one pass."""
