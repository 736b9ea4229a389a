"""API keys and their rate limits."""

# Requests a minute of a key.
DEFAULT_RATE_LIMIT = 60
MAX_RATE_LIMIT = 1_000_000
