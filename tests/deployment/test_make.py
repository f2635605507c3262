"""The environment that make installs into, where making it fails or was interrupted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import HANGS_S
from tests.support.service import PROJECT

#: A Python whose venv makes half of a folder, as Debian's does without python3-venv.
BROKEN = f"""#!/bin/sh
[ "$2" = venv ] || exec {sys.executable} "$@"
mkdir -p .venv/bin
ln -s {sys.executable} .venv/bin/python
exit 1
"""


def make(folder: Path, python: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "-f", str(PROJECT / "Makefile"), f"PYTHON={python}", ".venv/bin/.made"],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    python = tmp_path / "broken-python"
    python.write_text(BROKEN)
    python.chmod(0o755)
    return python


def test_without_venv_no_half_made_environment_stays(tmp_path: Path, broken: Path) -> None:
    done = make(tmp_path, broken)
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_interrupted_environment_is_made_again(tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch(0o755)
    done = make(tmp_path, Path(sys.executable))
    assert done.returncode == 0, done.stderr
    pip = [str(tmp_path / ".venv/bin/pip"), "--version"]
    subprocess.run(pip, check=True, capture_output=True, timeout=HANGS_S)


def test_an_environment_that_works_is_kept(tmp_path: Path, broken: Path) -> None:
    assert make(tmp_path, Path(sys.executable)).returncode == 0
    (tmp_path / ".venv/mine").touch()
    (tmp_path / ".venv/bin/.made").unlink()
    assert make(tmp_path, broken).returncode == 0
    assert (tmp_path / ".venv/mine").exists()
