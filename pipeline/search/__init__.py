"""Opening an index and searching it: the same code in evaluate and in the matcher."""
