"""The bucket format: what the pipeline writes and the matcher reads."""
