"""What a test does without something that not every machine has."""

import os

import pytest


def needed(what: str, present: object) -> None:
    """Skip a test for want of something, or fail where everything has to be there, as in CI."""
    if not present:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(f"{what} is missing, and with REQUIRE_ALL nothing may be")
        pytest.skip(f"{what} is missing")
