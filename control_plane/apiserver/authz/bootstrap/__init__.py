"""The roles and bindings that every cluster starts with."""
