"""Answers similarity requests from Redis streams in batches."""
