"""Leadership: one manager at a time plans, builds, tidies up."""
