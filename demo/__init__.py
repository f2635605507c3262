"""The service shown at work: `python -m demo` sends events through it and looks at the archive."""
