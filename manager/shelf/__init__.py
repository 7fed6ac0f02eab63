"""What lies in the bucket, kept in memory for the pages and the API."""
