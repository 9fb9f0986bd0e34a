"""The pipelines, one short file each: only wiring."""
