"""What operators read: the log, the counters and their metrics."""
