"""Tasks: what is to be indexed, in Redis, moved along one table."""
