"""Starts and leads: the embedded stack now, tasks and pages to come."""
