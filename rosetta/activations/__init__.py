"""From a model and a shard of documents to an activation store, in one forward pass."""
