"""What the HTTP of several services has in common."""
