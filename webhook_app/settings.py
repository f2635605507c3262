"""What the service was told: one frozen `Settings`, read from the environment once, at boot.

The only module that knows the names of environment variables. It reads a developer's `.env`, looks
whether the folders it is given can be written to, and touches nothing else.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import load_dotenv

PROJECT = Path(__file__).resolve().parent.parent

#: The archive has answered or failed by then, at worst. Stripe does not publish how long it waits
#: for an answer; nobody has been seen to give up sooner.
BUDGET_LIMIT_S = 10.0

#: What `.env.example` has in place of a secret. Anyone can read it, so it is refused.
PLACEHOLDER_SECRET = "whsec_replace_me"  # noqa: S105 # nosec B105

#: Where `flask archive replay` finds the secret to sign with, unless it is told another name.
REPLAY_SECRET = "REPLAY_SECRET"  # noqa: S105 # nosec B105

_ARCHIVES = ("FIREHOSE_DELIVERY_STREAM_NAME", "ARCHIVE_DIR")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LOG_FORMATS = ("json", "text")
_SHORTEST_TOKEN = 16
_TRANSPORTS = ("direct", "boto3")


class SettingsError(Exception):
    """The environment is not fit to start with. `str()` names every problem and its cure."""

    def __init__(self, problems: list[tuple[str, str, str]], subject: str = "The service") -> None:
        """Take `(variable, what is wrong, cure)` for each problem, and who cannot start."""
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"{subject} cannot start: {count} in its configuration."]
        for variable, wrong, cure in problems:
            lines += ["", f"  {variable} {wrong}.", f"      Cure: {cure}."]
        super().__init__("\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the service can be told. README has the table of variables and their meaning."""

    webhook_secrets: tuple[str, ...] = field(repr=False)
    signature_tolerance_s: int = 300
    max_body_bytes: int = 4_194_304

    stream_name: str | None = None
    archive_dir: Path | None = None
    archive_bucket: str | None = None
    aws_region: str | None = None

    connect_timeout_s: float = 1.0
    read_timeout_s: float = 3.0
    attempts: int = 2
    transport: str = "direct"

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
        return _Reader(_process_environ() if environ is None else environ).settings()


@dataclass(frozen=True, kw_only=True)
class ToolSettings(Settings):
    """What the archive tools are told: the service's variables, none required, and Stripe's key.

    A class of its own, so that the service never has an API key in its memory.
    """

    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    stripe_api_key: str | None = field(default=None, repr=False)
    stripe_api_base: str = "https://api.stripe.com"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "ToolSettings":
        """Read the settings of the tools, from where the service's come from.

        Raises:
            SettingsError: something that is set is wrong; all of it is named at once.
        """
        return _Reader(_process_environ() if environ is None else environ).tool_settings()


def variable(name: str) -> str:
    """Return the value of a variable that a user has named; empty where it is not set."""
    return _process_environ().get(name, "").strip()


def _process_environ() -> Mapping[str, str]:
    """Return the environment, completed by `.env`; what is set for real wins over the file.

    The choice of archive counts as one setting: a process told to use Firehose is not to find a
    developer's ARCHIVE_DIR beside it.
    """
    if any(os.environ.get(name) for name in _ARCHIVES):
        for name in _ARCHIVES:
            os.environ.setdefault(name, "")
    load_dotenv(PROJECT / ".env")
    # boto3 reads these by itself, and a key with a newline behind it signs nothing
    for name, value in os.environ.items():
        if name.startswith("AWS_"):
            os.environ[name] = value.strip()
    return os.environ


def _can_write_in(folder: Path) -> bool:
    """Whether files can be made in a folder that exists or can be made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


class _Reader:
    """Reads one environment and gathers what is wrong with it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[tuple[str, str, str]] = []

    def settings(self) -> Settings:
        stream_name, archive_dir = (self._text(name) for name in _ARCHIVES)
        self._check_one_archive(stream_name, archive_dir)
        settings = Settings(
            webhook_secrets=self._secrets(),
            signature_tolerance_s=self._tolerance_s(),
            max_body_bytes=self._integer("MAX_BODY_BYTES", 4_194_304, 1, 67_108_864),
            stream_name=self._stream(),
            archive_dir=self._folder("ARCHIVE_DIR"),
            archive_bucket=self._bucket(),
            aws_region=self._region(),
            connect_timeout_s=self._seconds("ARCHIVE_CONNECT_TIMEOUT", 1.0, 0.05, 5),
            read_timeout_s=self._seconds("ARCHIVE_READ_TIMEOUT", 3.0, 0.05, 9),
            attempts=self._integer("ARCHIVE_ATTEMPTS", 2, 1, 4),
            transport=self._choice("FIREHOSE_TRANSPORT", "direct", _TRANSPORTS, str.lower),
            port=self._integer("PORT", 3001, 1, 65_535),
            workers=self._integer("WEB_WORKERS", 0, 1, 512) or None,
            threads=self._integer("WEB_THREADS", 1, 1, 512),
            metrics_token=self._token("METRICS_TOKEN"),
            log_level=self._choice("LOG_LEVEL", "INFO", _LOG_LEVELS, str.upper),
            log_format=self._choice("LOG_FORMAT", "json", _LOG_FORMATS, str.lower),
            log_file=self._file("LOG_FILE"),
        )
        if stream_name:
            self._check_aws(settings)
        if self._problems:
            raise SettingsError(self._problems)
        return settings

    def tool_settings(self) -> ToolSettings:
        """Read what the tools need; they may have an archive to read that nobody may write to."""
        archive_dir = self._text("ARCHIVE_DIR")
        settings = ToolSettings(
            webhook_secrets=self._secrets() if self._text("STRIPE_WEBHOOK_SECRET") else (),
            signature_tolerance_s=self._tolerance_s(),
            stream_name=self._stream(),
            archive_dir=Path(archive_dir) if archive_dir else None,
            archive_bucket=self._bucket(),
            aws_region=self._region(),
            # nobody waits for the answer, as Stripe does for the service's
            connect_timeout_s=5,
            read_timeout_s=20,
            attempts=4,
            port=self._integer("PORT", 3001, 1, 65_535),
            stripe_api_key=self._api_key("STRIPE_API_KEY"),
            stripe_api_base=self._address("STRIPE_API_BASE", "https://api.stripe.com"),
        )
        if self._problems:
            raise SettingsError(self._problems, "The archive tools")
        return settings

    def _tolerance_s(self) -> int:
        return self._integer("STRIPE_SIGNATURE_TOLERANCE", 300, 1, 2**31)

    def _stream(self) -> str | None:
        return self._match(
            "FIREHOSE_DELIVERY_STREAM_NAME",
            r"[a-zA-Z0-9_.-]{1,64}",
            "the stream's name alone, not its ARN: 1 to 64 letters, digits, '_', '.', '-'",
        )

    def _bucket(self) -> str | None:
        return self._match(
            "ARCHIVE_BUCKET",
            r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
            "the bucket's name alone, without s3:// and without a path",
        )

    def _region(self) -> str | None:
        return self._match("AWS_REGION", r"[a-z]{2,}(-[a-z]+)+-\d+", "a region such as us-east-1")

    def _api_key(self, name: str) -> str | None:
        key = self._text(name)
        if key and not re.fullmatch(r"(rk|sk)_[!-~]+", key):
            cure = "make a restricted key, rk_…, that may read events, in the Stripe Dashboard"
            self._problem(name, "is not a secret or restricted API key", cure)
        return key

    def _address(self, name: str, default: str) -> str:
        text = self._text(name) or default
        # a key that travels in the clear is everybody's, but on this machine
        if not re.fullmatch(r"https://[^/?#]+/?|http://(localhost|127\.0\.0\.1)(:\d+)?/?", text):
            self._problem(name, "is not an https:// address without a path", f"give {default}")
        return text.rstrip("/")

    def _text(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def _problem(self, name: str, wrong: str, cure: str) -> None:
        # never with the value in it: a secret pasted into the wrong variable would be printed
        self._problems.append((name, wrong, cure))

    def _secrets(self) -> tuple[str, ...]:
        name = "STRIPE_WEBHOOK_SECRET"
        where = (
            "take the endpoint's signing secret, whsec_…, from the Stripe Dashboard "
            "(Developers, Webhooks) or from what `stripe listen` prints"
        )
        secrets = tuple(s for part in (self._text(name) or "").split(",") if (s := part.strip()))
        if not secrets:
            self._problem(name, "is not set", f"{where}; several are separated by commas")
        elif PLACEHOLDER_SECRET in secrets:
            self._problem(name, "is still the placeholder of .env.example", where)
        elif any(re.match(r"(sk|rk|pk)_", secret) for secret in secrets):
            self._problem(name, "holds an API key, not a signing secret", where)
        elif not all(re.fullmatch(r"[!-~]+", secret) for secret in secrets):
            self._problem(name, "holds a space or a character that no secret has", where)
        return secrets

    def _token(self, name: str) -> str | None:
        token = self._text(name)
        if token is None:
            return None
        cure = f"make one with `openssl rand -hex 24`, or unset {name}"
        if len(token) < _SHORTEST_TOKEN:
            self._problem(name, f"is shorter than {_SHORTEST_TOKEN} characters", cure)
        elif not re.fullmatch(r"[!-~]+", token):
            self._problem(name, "holds a space or a character that no header carries", cure)
        return token

    def _check_one_archive(self, stream_name: str | None, archive_dir: str | None) -> None:
        if stream_name and archive_dir:
            self._problem(
                " and ".join(_ARCHIVES),
                "are both set",
                "keep the stream in production, the folder in development, and unset the other",
            )
        elif not stream_name and not archive_dir:
            self._problem(
                " or ".join(_ARCHIVES),
                "must be set, one of them",
                "name the Firehose stream, or for development a folder, as in ARCHIVE_DIR=archive",
            )

    def _check_aws(self, settings: Settings) -> None:
        if not self._text("AWS_REGION"):
            self._problem("AWS_REGION", "is not set", "name the stream's region, as in us-east-1")
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        missing = [name for name in keys if not self._text(name)]
        if len(missing) == 1:
            self._problem(
                missing[0],
                f"is not set, but {next(name for name in keys if name not in missing)} is",
                "set both, or neither to use a role",
            )
        budget_s = settings.archive_budget_s
        if budget_s >= BUDGET_LIMIT_S:
            self._problem(
                "ARCHIVE_CONNECT_TIMEOUT, ARCHIVE_READ_TIMEOUT and ARCHIVE_ATTEMPTS",
                f"add up to {budget_s:.1f} s at worst, and the answer must leave within "
                f"{BUDGET_LIMIT_S:.0f} s",
                "lower one: attempts x (connect + read) + (2^(attempts - 1) - 1) stays below 10",
            )

    def _match(self, name: str, pattern: str, cure: str) -> str | None:
        text = self._text(name)
        if text and not re.fullmatch(pattern, text, re.ASCII):
            self._problem(name, "is not a valid name", f"give {cure}")
        return text

    def _folder(self, name: str) -> Path | None:
        text = self._text(name)
        if text and not _can_write_in(Path(text)):
            self._problem(
                name,
                "names a folder that cannot be written to, or made",
                "name one that this user may write to",
            )
        return Path(text) if text else None

    def _file(self, name: str) -> Path | None:
        text = self._text(name)
        if not text:
            return None
        path = Path(text)
        if path.exists():
            usable = os.access(path, os.W_OK) and not path.is_dir()
        else:
            usable = _can_write_in(path.parent)
        if not usable:
            self._problem(
                name,
                "names a file that cannot be written to",
                "name a file, in a folder that this user may write to",
            )
        return path

    def _choice(
        self, name: str, default: str, choices: tuple[str, ...], fold: Callable[[str], str]
    ) -> str:
        text = fold(self._text(name) or default)
        if text not in choices:
            self._problem(name, "is not known", f"choose one of {', '.join(choices)}")
        return text

    def _integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self._text(name)
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{1,18}", text) and low <= int(text) <= high:
            return int(text)
        self._problem(name, "is out of range", f"give a whole number from {low} to {high}")
        return default

    def _seconds(self, name: str, default: float, low: float, high: float) -> float:
        text = self._text(name)
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,9}", text) and low <= float(text) <= high:
            return float(text)
        self._problem(name, "is out of range", f"give seconds from {low:g} to {high:g}")
        return default
