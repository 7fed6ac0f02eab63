"""Training on the sample in pieces that any node may do: the bytes are the same whoever did what."""
