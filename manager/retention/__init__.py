"""Which old versions and left-behind folders go, and why."""
