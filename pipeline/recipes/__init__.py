"""The recipes by which an index can be made, each behind the same small interface."""
