"""Runs builds: processes that live from build to build, ordered, followed, ended by the manager that leads."""
