"""Files that are whole or absent, digests and manifests, checked tables, locks."""
