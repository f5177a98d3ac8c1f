"""From a source of images to deduplicated 8-bit squares with classes and captions, split."""
