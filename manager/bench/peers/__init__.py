"""Our index beside other engines: the same vectors, probes, threads and target."""
