"""The planner: which lists are to be indexed, looked at by a period or a schedule."""
