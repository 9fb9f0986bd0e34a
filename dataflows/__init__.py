"""The pipelines, one short file each: only wiring."""

from candlewax import ends

# Before the rest is imported, which takes a second: what ends it by then is said as well.
ends.begin()
