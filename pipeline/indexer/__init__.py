"""The indexer: a node of the cluster that also takes orders over HTTP."""
