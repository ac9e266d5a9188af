"""What Hatchling builds of a checkout has its commit in `difnas_jax/COMMIT`."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASK = "git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"


class Commit(BuildHookInterface):
    """Adds the file to wheel and sdist; a wheel of the sdist has it from there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files are collected."""
        self.folder = tempfile.TemporaryDirectory()
        known = shutil.which("git") and (Path(self.root) / ".git").exists()
        if known and version != "editable":
            file = Path(self.folder.name) / "COMMIT"
            with file.open("w") as output:
                subprocess.run(ASK, cwd=self.root, stdout=output, check=False)
            build_data["force_include"][str(file)] = "difnas_jax/COMMIT"

    def finalize(self, *_: Any) -> None:
        """After they were written."""
        self.folder.cleanup()
