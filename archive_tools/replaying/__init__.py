"""Archived events on their way to somebody else: what `replay` is made of."""
