"""HTTP server of the page, its API and read-only SQL; on the loopback by default."""
