"""From descriptors to a measured index in a bucket, and the search that reads it back."""
