"""What clients see: the endpoints and the form of every answer."""
