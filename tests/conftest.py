"""Fixtures: real servers, started once a session."""
