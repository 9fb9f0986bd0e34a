"""Dataflows, one file each, with wiring only."""

from candlewax.runtime import exit_reasons

# Called before the slow imports of about a second, so that their failures are reported too.
exit_reasons.install_hooks()
