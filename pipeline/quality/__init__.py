"""How good an index is, measured against exact search, and whether it may be published."""
