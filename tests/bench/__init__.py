"""What the service does under pressure, measured by `make bench` and its siblings."""
