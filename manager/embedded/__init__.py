"""Real servers as child processes: Redis protocol, S3, Dask, matcher."""
