"""Recovery: what Redis knew of published indexes, from the bucket."""
