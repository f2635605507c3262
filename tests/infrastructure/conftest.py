"""What the templates make, for each set of options."""

from typing import Any

import pytest

from . import expected
from .normal import Document


@pytest.fixture(scope="session", params=list(expected.CHOICES))
def parameters(request: pytest.FixtureRequest) -> Document:
    """CloudFormation's parameters, for each set of choices."""
    chosen: dict[str, Any] = expected.CHOICES[request.param]
    return chosen
