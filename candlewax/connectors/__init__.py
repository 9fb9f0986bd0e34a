"""Everything that reads or writes: feeds, recordings, ClickHouse."""
