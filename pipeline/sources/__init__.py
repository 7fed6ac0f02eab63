"""Where descriptors come from: files of vectors or folders of photos."""
