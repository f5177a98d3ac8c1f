"""From a text source to deduplicated documents with domain labels, split and ready to shard."""
