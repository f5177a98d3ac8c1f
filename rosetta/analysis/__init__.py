"""From matches to findings."""
