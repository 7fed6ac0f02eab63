"""The main job, end to end, as a person would do it with the public commands."""
