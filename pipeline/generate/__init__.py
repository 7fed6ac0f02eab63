"""Face-like descriptors made to order, with known identities."""
