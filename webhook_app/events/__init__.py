"""What an event is: its signature and its record. Imports neither Flask nor AWS."""
