"""Statistics over the store: pure numpy and scipy."""
