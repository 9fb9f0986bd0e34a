"""A small disk of its own: memory that only some processes see, in a mount namespace that
is gone with them.
"""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from shutil import which

_HOLD = "mount -t tmpfs -o size={size} none '{folder}' && echo mounted && exec sleep infinity"

ROOMY = 4 << 30
"""Bytes; of memory nothing is taken that is not written."""


class Disk:
    """A disk at a folder. Only `within` it is what a process sees there."""

    def __init__(self, folder: Path, size: int = ROOMY) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        script = _HOLD.format(size=size, folder=folder)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        with self._holder.stdout as said:
            assert said.readline() == "mounted\n"

    @staticmethod
    @cache
    def possible() -> bool:
        """Whether one can be made here: it takes root, and a system that lets it."""
        if os.geteuid() or not which("unshare") or not which("nsenter"):
            return False
        probe = "mount -t tmpfs none /mnt"
        done = subprocess.run(["unshare", "--mount", "sh", "-c", probe], capture_output=True)  # noqa: PLW1510 - it may fail
        return not done.returncode

    def within(self, command: Sequence[str]) -> list[str]:
        """The command, run where the disk is."""
        return [
            "nsenter", f"--target={self._holder.pid}", "--mount", f"--wd={Path.cwd()}", *command
        ]  # fmt: skip

    def used(self) -> int:
        """Bytes that are taken."""
        at = self._at()
        return (at.f_blocks - at.f_bfree) * at.f_frsize

    def _at(self) -> os.statvfs_result:
        return os.statvfs(f"/proc/{self._holder.pid}/root{self.folder}")

    def resize(self, size: int) -> None:
        """Make it larger, or as small as what is on it."""
        remount = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        subprocess.run(self.within(remount), check=True, capture_output=True)

    def fill(self, leave: int) -> None:
        """Leave so many bytes free, or somewhat less."""
        with suppress(subprocess.CalledProcessError):
            self.resize(self.used() + leave)

    def fill_up(self) -> None:
        """Leave nothing, whatever is being written meanwhile."""
        while self._at().f_bfree:
            self.fill(0)

    def grow(self) -> None:
        """Let there be room again."""
        self.resize(ROOMY)

    def close(self) -> None:
        """Give it up."""
        self._holder.kill()
        self._holder.wait()
