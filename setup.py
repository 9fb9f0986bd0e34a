"""Build step: files that stand at the top level of the checkout go into the wheel.

All else about the package is in `pyproject.toml`. `candlewax.data.find_bundled` finds these files,
in a wheel and in a checkout.
"""

from pathlib import Path
from typing import Final

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLED: Final = (
    "instruments.toml",
    *(path.as_posix() for path in sorted(Path("clickhouse/ddl").glob("**/[0-9][0-9]*_*.sql"))),
)


class BuildWithBundledFiles(build_py):
    """Build of the packages, and of the bundled files below `candlewax/data`."""

    def run(self) -> None:
        """Build. An editable install needs no copies: it reads the checkout."""
        super().run()
        if self.editable_mode:
            return
        for source, target in self._targets().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target, preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: FBT001, FBT002 - the interface's
        """Return all files that the build writes."""
        bundled = [] if self.editable_mode else list(self._targets().values())
        return [*super().get_outputs(include_bytecode), *bundled]

    def get_source_files(self) -> list[str]:
        """Return all files that a source distribution holds for this build."""
        return [*super().get_source_files(), *BUNDLED]

    def _targets(self) -> dict[str, str]:
        folder = Path(self.build_lib, "candlewax", "data")
        return {path: str(folder / path) for path in BUNDLED}


setup(cmdclass={"build_py": BuildWithBundledFiles})
