"""What the service does under pressure, measured: `python -m bench.strangers` and its siblings."""
