"""What the service was told: one frozen `Settings`, read from the environment once, at boot.

The only module that knows what the environment variables of the service mean.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .environ import ARCHIVES, EnvironReader

#: The archive has answered or failed by then, at worst. Stripe does not publish how long it waits
#: for an answer; no client has been seen to give up sooner.
BUDGET_LIMIT_S = 10.0

# what `.env.example` and the guides have in place of a secret: anyone can read it
_PLACEHOLDER = re.compile(r"whsec_(replace_me|(of_)?your_\w+)|.*(\.\.\.|…).*|<.*>")
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the service can be told. README has the table of variables and their meaning."""

    webhook_secrets: tuple[str, ...] = field(repr=False)
    signature_tolerance_s: int = 300
    max_body_bytes: int = 4_194_304

    stream_name: str | None = None
    archive_dir: Path | None = None
    archive_origin: str = "the environment"
    """Where the archive was named: `the environment` or `.env`."""
    archive_bucket: str | None = None
    aws_region: str | None = None

    connect_timeout_s: float = 1.0
    read_timeout_s: float = 3.0
    attempts: int = 2
    transport: str = "direct"

    # a platform's router comes from outside
    bind_host: str = "0.0.0.0"  # noqa: S104 # nosec B104
    port: int = 3001
    workers: int | None = None
    threads: int = 1

    metrics_token: str | None = field(default=None, repr=False)

    log_level: str = "INFO"
    log_format: str = "json"
    log_file: Path | None = None

    @property
    def counts(self) -> bool:
        """Whether deliveries are counted: where somebody may ask for the counts.

        With a local archive everybody may, unless there is a token.
        """
        return bool(self.metrics_token or self.archive_dir)

    @property
    def archive_name(self) -> str:
        """The archive, for people."""
        if self.archive_dir:
            return f"the local folder {self.archive_dir}"
        return f"the Firehose stream {self.stream_name} in {self.aws_region}"

    @property
    def bind(self) -> str:
        """The address to listen on, in the form of gunicorn's `bind`."""
        host = f"[{self.bind_host}]" if ":" in self.bind_host else self.bind_host
        return f"{host}:{self.port}"

    @property
    def local_url(self) -> str:
        """Where this machine reaches the service."""
        is_local = self.bind_host in (Settings.bind_host, "::", "127.0.0.1", "::1")
        return f"http://localhost:{self.port}" if is_local else f"http://{self.bind}"

    @property
    def archive_budget_s(self) -> float:
        """Seconds after which the archive has answered or failed, at the very worst.

        Every attempt runs into both time-outs, and botocore's standard mode waits its longest
        between them: up to 2**i seconds before retry i, counted from 0.
        https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
        """
        backoff_s = float(2 ** (self.attempts - 1) - 1)
        return self.attempts * (self.connect_timeout_s + self.read_timeout_s) + backoff_s

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings out of `environ`, or out of the process's environment and `.env`.

        Raises:
            SettingsError: something is missing or wrong; all of it is named at once.
        """
        reader = SettingsReader(environ)
        levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        settings = cls(
            webhook_secrets=reader.secrets(required=True),
            signature_tolerance_s=reader.tolerance_s(),
            max_body_bytes=reader.integer("MAX_BODY_BYTES", 4_194_304, 1, 67_108_864),
            stream_name=reader.stream_name(),
            archive_dir=reader.folder("ARCHIVE_DIR"),
            archive_origin=reader.archive_origin(),
            archive_bucket=reader.bucket(),
            aws_region=reader.region(),
            connect_timeout_s=reader.seconds("ARCHIVE_CONNECT_TIMEOUT", 1.0, 0.05, 5),
            read_timeout_s=reader.seconds("ARCHIVE_READ_TIMEOUT", 3.0, 0.05, 9),
            attempts=reader.integer("ARCHIVE_ATTEMPTS", 2, 1, 4),
            transport=reader.choice("FIREHOSE_TRANSPORT", "direct", ("direct", "boto3"), str.lower),
            bind_host=reader.match("BIND_HOST", r"[\w.:-]+", "an IP address or a host's name")
            or cls.bind_host,
            port=reader.port(),
            workers=reader.integer("WEB_WORKERS", 0, 1, 512) or None,
            threads=reader.integer("WEB_THREADS", 1, 1, 512),
            metrics_token=reader.token("METRICS_TOKEN"),
            log_level=reader.choice("LOG_LEVEL", "INFO", levels, str.upper),
            log_format=reader.choice("LOG_FORMAT", "json", ("json", "text"), str.lower),
            log_file=reader.file("LOG_FILE"),
        )
        if settings.stream_name:
            reader.check_aws(settings)
        reader.raise_problems()
        return settings


class SettingsReader(EnvironReader):
    """Reads the variables that have rules of their own, for the service and the archive's tools."""

    def tolerance_s(self) -> int:
        """Return the age up to which a signature is valid; 0 would switch the check off."""
        return self.integer("STRIPE_SIGNATURE_TOLERANCE", 300, 1, 2**31)

    def port(self) -> int:
        """Return the port of the service."""
        return self.integer("PORT", 3001, 1, 65_535)

    def stream_name(self) -> str | None:
        """Return the name of the Firehose stream."""
        return self.match(
            "FIREHOSE_DELIVERY_STREAM_NAME",
            r"[a-zA-Z0-9_.-]{1,64}",
            "the stream's name alone, not its ARN: 1 to 64 letters, digits, '_', '.', '-'",
        )

    def bucket(self) -> str | None:
        """Return the name of the archive's bucket."""
        return self.match(
            "ARCHIVE_BUCKET",
            r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
            "the bucket's name alone, without s3:// and without a path",
        )

    def region(self) -> str | None:
        """Return the region of the stream and the bucket."""
        return self.match("AWS_REGION", r"[a-z]{2,}(-[a-z]+)+-\d+", "a region such as us-east-1")

    def secrets(self, *, required: bool) -> tuple[str, ...]:
        """Return the signing secrets."""
        name = "STRIPE_WEBHOOK_SECRET"
        where = (
            "take the endpoint's signing secret, whsec_…, from the Stripe Dashboard "
            "(Developers, Webhooks) or from what `stripe listen` prints"
        )
        text = self.text(name)
        secrets = tuple(s for part in (text or "").split(",") if (s := part.strip()))
        if not secrets:
            if required or text:
                self.problem(name, "is not set", f"{where}; several are separated by commas")
        elif any(secret[0] in "\"'" or secret[-1] in "\"'" for secret in secrets):
            fix = "give it without them: neither Docker's --env-file nor a dashboard takes them off"
            self.problem(name, "holds quotes around the secret", fix)
        elif any(_PLACEHOLDER.fullmatch(secret) for secret in secrets):
            self.problem(name, "is still the placeholder of .env.example or a guide", where)
        elif any(re.match(r"(sk|rk|pk)_", secret) for secret in secrets):
            self.problem(name, "holds an API key, not a signing secret", where)
        elif not all(re.fullmatch(r"[!-~]+", secret) for secret in secrets):
            self.problem(name, "holds a space or a character that no secret has", where)
        return secrets

    def token(self, name: str) -> str | None:
        """Return a bearer token that cannot be guessed and that a header can carry."""
        token = self.text(name)
        fix = f"make one with `openssl rand -hex 24`, or unset {name}"
        if token and len(token) < _SHORTEST_TOKEN:
            self.problem(name, f"is shorter than {_SHORTEST_TOKEN} characters", fix)
        elif token and not re.fullmatch(r"[!-~]+", token):
            self.problem(name, "holds a space or a character that no header carries", fix)
        return token

    def archive_origin(self) -> str:
        """Return where the one archive was named, and check that it is one."""
        named = [name for name in ARCHIVES if self.text(name)]
        if not named:
            self.problem(
                " or ".join(ARCHIVES),
                "must be set, one of them",
                "name the Firehose stream, or for development a folder, as in ARCHIVE_DIR=archive",
            )
            return ""
        if len(named) > 1:
            self.problem(
                " and ".join(ARCHIVES),
                "are both set",
                "keep the stream in production, the folder in development, and unset the other",
            )
        return self.origin(named[0])

    def check_aws(self, settings: Settings) -> None:
        """Check what a service with a stream needs besides the name."""
        if not settings.aws_region:
            self.problem("AWS_REGION", "is not set", "name the stream's region, as in us-east-1")
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        missing = [name for name in keys if not self.text(name)]
        if len(missing) == 1:
            (given,) = {*keys} - {*missing}
            fix = "set both, or neither to use a role"
            self.problem(missing[0], f"is not set, but {given} is", fix)
        budget_s = settings.archive_budget_s
        if budget_s >= BUDGET_LIMIT_S:
            self.problem(
                "ARCHIVE_CONNECT_TIMEOUT, ARCHIVE_READ_TIMEOUT and ARCHIVE_ATTEMPTS",
                f"add up to {budget_s:.1f} s at worst, and the answer must leave within "
                f"{BUDGET_LIMIT_S:.0f} s",
                "lower one: attempts x (connect + read) + (2^(attempts - 1) - 1) stays below 10",
            )
