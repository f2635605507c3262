"""What the `flask` command runs beside the service. A serving process does not import it."""
