"""Erasing people: who they are, where they are named, and how that is taken out of the archive."""
