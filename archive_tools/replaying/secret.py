"""The secret that events are signed with again: from a variable or a file, never a command line."""

import re
from pathlib import Path

from ..errors import ToolError
from ..settings import REPLAY_SECRET, variable

_CURE = "take the signing secret that the endpoint checks with"


def secret_of_variable(name: str) -> str:
    """Return the secret that an environment variable holds.

    Raises:
        ToolError: it holds none. The name is not told: a secret may have been given in its place.
    """
    if name.startswith(("whsec_", "sk_", "rk_")):
        raise ToolError(
            "--secret-env is given a secret, which `ps` shows to everybody here",
            "roll that secret, and give the name of an environment variable that holds it",
        )
    called = name if name == REPLAY_SECRET else "The variable that --secret-env names"
    return _checked(variable(name), called)


def secret_of_file(path: Path) -> str:
    """Return the secret that a file holds, and nothing else.

    Raises:
        ToolError: it holds none, or cannot be read.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise ToolError(
            f"{path} cannot be read as text", f"name a file with the secret: {_CURE}"
        ) from None
    return _checked(text, str(path))


def _checked(text: str, called: str) -> str:
    secret = text.strip()
    if not secret:
        raise ToolError(f"{called} holds no secret to sign with", f"{_CURE}, and set it there")
    # a comma separates several in STRIPE_WEBHOOK_SECRET
    if not re.fullmatch(r"[!-+\--~]+", secret):
        raise ToolError(f"{called} holds something else than one secret", f"{_CURE}, that alone")
    return secret
