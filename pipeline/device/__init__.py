"""The numeric verbs of a build on a CPU or a GPU; nothing outside knows which."""
