"""Build of the wheel: what stands at the checkout's top level travels inside the package.

Belongs here: copying `sql/`, `prompts/`, `workspace.yaml` and `dagster.yaml` to `correctly_assets/shipped/`, where
`correctly_assets.settings.shipped` finds them. Does not belong here: metadata and dependencies (pyproject.toml).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ("sql", "prompts", "workspace.yaml", "dagster.yaml")


class BuildWithShippedFiles(build_py):
    """`build_py` that adds the files of `SHIPPED`; an editable install reads them from the checkout."""

    def run(self) -> None:
        """Build the package, then copy the files beside it."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "correctly_assets" / "shipped"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in SHIPPED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, target / name)


setup(cmdclass={"build_py": BuildWithShippedFiles})
