"""The manager over HTTP: the routes of the original, with those that it lacks."""
