"""Real searches whose processes are killed at random moments, compared with one that is left alone."""
