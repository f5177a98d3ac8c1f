"""From a model entry to a loaded module, its tokenizer, and where its neurons are."""
