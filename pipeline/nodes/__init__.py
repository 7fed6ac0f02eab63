"""The machines of a cluster: what they offer, what is asked of them, what happens when one dies."""
