"""The wheel of this checkout, and an environment of its own that it is installed into.

Belongs here: building and installing it. Does not belong here: assertions.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from correctly_assets.settings import PROJECT_ROOT

BESIDE = ("sql", "prompts", "workspace.yaml", "dagster.yaml")
"""What the wheel carries from beside the package."""
_MORE = ("correctly_assets", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "NOTICE")


def build_wheel(place: Path) -> Path:
    """Build the wheel in a copy below ``place``, so that the checkout stays as it is. Returns the file."""
    copy, out = place / "checkout", place / "dist"
    copy.mkdir()
    for name in (*BESIDE, *_MORE):
        source = PROJECT_ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy / name)
    # What `python -m build --wheel --no-isolation` calls.
    code = f"import setuptools.build_meta as backend; print(backend.build_wheel({str(out)!r}))"
    out.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob("*.whl"))


def install_wheel(wheel: Path, place: Path) -> Path:
    """Install a wheel into an environment of its own. Returns the environment's interpreter.

    Nothing is downloaded: the packages that the wheel needs are those of this environment, which its lock made. The path to
    them is written last, so that pip finds an empty environment; a path file is not followed into further path files, so
    that the checkout, which is installed here, is not found.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = place / "lib" / version / "site-packages" / "packages_of_the_lock.pth"
    packages.write_text(sysconfig.get_path("purelib") + "\n")
    return python
