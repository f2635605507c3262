"""The infrastructure: linted, compared and looked through, without AWS."""
