"""What notebooks call: tables, pictures, comparisons, thresholds, capacity."""
