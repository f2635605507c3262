"""The tools of the field over the templates; warnings are errors."""

import subprocess
from pathlib import Path

import pytest

from . import cloudformation, terraform


def cfn_lint(template: Path) -> subprocess.CompletedProcess[str]:
    """Lint a template for two regions, with every rule there is."""
    regions = ["us-east-1", "eu-central-1"]
    options = ["--regions", *regions, "--include-checks", "I", "--non-zero-exit-code"]
    return subprocess.run(
        ["cfn-lint", "--template", template, *options, "informational"],
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("path", [cloudformation.TEMPLATE, cloudformation.QUERIES])
def test_cfn_lint_finds_nothing(path: Path) -> None:
    linted = cfn_lint(path)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_cfn_lint_finds_a_misspelt_property(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    text = cloudformation.TEMPLATE.read_text()
    broken.write_text(text.replace("CompressionFormat: GZIP", "CompressionFormt: GZIP"))
    linted = cfn_lint(broken)
    assert linted.returncode != 0
    assert "CompressionFormt" in linted.stdout


def test_terraform_is_formatted() -> None:
    assert terraform.terraform("fmt", "-check", "-diff", "-recursive") == ""


def test_terraform_is_valid() -> None:
    assert "The configuration is valid" in terraform.terraform("validate")


def test_terraforms_own_tests_pass() -> None:
    told = terraform.terraform("test")
    assert "0 failed" in told
    assert "Success!" in told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('compression_format  = "GZIP"', 'compresion_format  = "GZIP"', "Unsupported argument"),
        ("destination = ", "# destination = ", "Missing required argument"),
        ("aws_s3_bucket.archive.arn", "aws_s3_bucket.archiv.arn", "undeclared resource"),
    ],
)
def test_terraform_finds_what_is_misspelt(old: str, new: str, said: str, tmp_path: Path) -> None:
    folder = terraform.copy(tmp_path, "archive.tf", old, new)
    with pytest.raises(RuntimeError, match=said):
        terraform.terraform("validate", folder=folder)
