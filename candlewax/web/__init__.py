"""The page, the API behind it, and read-only SQL: all over HTTP, on the loopback."""
