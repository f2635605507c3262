"""The parts of `flask archive replay`."""
