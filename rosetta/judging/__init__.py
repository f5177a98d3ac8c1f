"""Names for neurons, asked of a language model."""
