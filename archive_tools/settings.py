"""What the archive's tools were told: the service's variables, none required, and Stripe's key.

A serving process does not import it, so it never has an API key in its memory.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from webhook_app.environ import ARCHIVES, EnvironReader
from webhook_app.settings import Settings, SettingsReader

#: Where `flask archive replay` finds the secret to sign with, unless it is told another name.
REPLAY_SECRET = "REPLAY_SECRET"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class ToolSettings(Settings):
    """The service's settings, as far as the tools use them, and how to ask Stripe's API."""

    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    archive_origin: str = ""
    """What named the archive to read: a variable, and where its value came from."""
    stripe_api_key: str | None = field(default=None, repr=False)
    stripe_api_base: str = "https://api.stripe.com"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "ToolSettings":
        """Read the settings of the tools, from where the service's come from.

        Raises:
            SettingsError: something that is set is wrong; all of it is named at once.
        """
        reader = SettingsReader(environ)
        # or an exported bucket would be read as the folder of `.env`, and be filled by its stream
        reader.outrank((*ARCHIVES, "ARCHIVE_BUCKET"))
        settings = cls(
            webhook_secrets=reader.secrets(required=False),
            signature_tolerance_s=reader.tolerance_s(),
            stream_name=reader.stream_name(),
            # not `folder`: an archive to read may be one that nobody may write to
            archive_dir=reader.path("ARCHIVE_DIR"),
            archive_bucket=reader.bucket(),
            archive_origin=_archive_origin(reader),
            aws_region=reader.region(),
            # nobody waits for the answer, as Stripe does for the service's
            connect_timeout_s=5,
            read_timeout_s=20,
            attempts=4,
            port=reader.port(),
            stripe_api_key=_api_key(reader),
            stripe_api_base=_api_base(reader),
        )
        reader.raise_problems("The archive tools")
        return settings


def variable(name: str) -> str:
    """Return the value of a variable that a user has named; empty where it is not set."""
    return EnvironReader().text(name) or ""


def _archive_origin(reader: EnvironReader) -> str:
    named = (name for name in ("ARCHIVE_DIR", "ARCHIVE_BUCKET") if reader.text(name))
    return " and ".join(f"{name} from {reader.origin(name)}" for name in named)


def _api_key(reader: EnvironReader) -> str | None:
    name = "STRIPE_API_KEY"
    key = reader.text(name)
    if key and not re.fullmatch(r"(rk|sk)_[!-~]+", key):
        fix = "make a restricted key, rk_…, that may read events, in the Stripe Dashboard"
        reader.problem(name, "is not a secret or restricted API key", fix)
    return key


def _api_base(reader: EnvironReader) -> str:
    name, default = "STRIPE_API_BASE", ToolSettings.stripe_api_base
    text = reader.text(name) or default
    # a key that travels in the clear is everybody's, but on this machine
    if not re.fullmatch(r"https://[^/?#]+/?|http://(localhost|127\.0\.0\.1)(:\d+)?/?", text):
        reader.problem(name, "is not an https:// address without a path", f"give {default}")
    return text.rstrip("/")
