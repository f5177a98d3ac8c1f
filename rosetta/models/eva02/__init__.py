"""EVA-02-CLIP-E: a vision transformer whose layers are normalised after attention and MLP."""
