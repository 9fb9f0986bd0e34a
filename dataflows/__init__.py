"""The pipelines, one short file each: only wiring."""

from candlewax.runtime import exit_reasons

# Before the rest is imported, which takes a second: what ends it by then is said as well.
exit_reasons.begin()
