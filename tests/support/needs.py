"""What a test does without something that not every machine has."""

import os

import pytest

#: A limit for what a test starts and waits for: only what hangs takes so long, on any machine.
HANGS_S = 300


def needed(what: str, present: object) -> None:
    """Skip a test that lacks something, or fail where everything has to be there, as in CI."""
    if not present:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail(f"{what} is missing, and with REQUIRE_ALL nothing may be")
        pytest.skip(f"{what} is missing")
