"""Sealed days: manifests that name every object, each with the SHA-256 of the one before it."""
