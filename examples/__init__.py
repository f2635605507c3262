"""The service at work: `python -m examples` sends events through it and reads the archive."""
