"""Objects in the store: where a key lies, what its bytes are, and how they change only by compare-and-swap."""
