"""Real searches whose processes are killed at random moments, held against one that was left alone."""
