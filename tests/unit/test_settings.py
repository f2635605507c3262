import os
import re
from pathlib import Path

import pytest

from tests.support.service import PROJECT
from webhook_app.environ import SettingsError
from webhook_app.settings import Settings

LOCAL = {"STRIPE_WEBHOOK_SECRET": "whsec_a", "ARCHIVE_DIR": "archive"}
FIREHOSE = {
    "STRIPE_WEBHOOK_SECRET": "whsec_a",
    "FIREHOSE_DELIVERY_STREAM_NAME": "events",
    "AWS_REGION": "eu-west-1",
}


def problems(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    return str(caught.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings.from_environ(LOCAL)
    assert settings == Settings(webhook_secrets=("whsec_a",), archive_dir=Path("archive"))
    assert settings.signature_tolerance_s == 300
    assert settings.max_body_bytes == 4_194_304
    assert settings.port == 3001
    assert settings.workers is None
    assert settings.threads == 1
    assert (settings.log_level, settings.log_format, settings.log_file) == ("INFO", "json", None)


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.from_environ(
        FIREHOSE
        | {
            "STRIPE_SIGNATURE_TOLERANCE": "60",
            "MAX_BODY_BYTES": "1000",
            "ARCHIVE_BUCKET": "my-bucket",
            "ARCHIVE_CONNECT_TIMEOUT": ".5",
            "ARCHIVE_READ_TIMEOUT": "1.25",
            "ARCHIVE_ATTEMPTS": "3",
            "PORT": "8080",
            "BIND_HOST": "127.0.0.1",
            "WEB_WORKERS": "7",
            "WEB_THREADS": "9",
            "METRICS_TOKEN": " sixteen-or-more-\n",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "TEXT",
            "LOG_FILE": str(tmp_path / "logs/app.log"),
        }
    )
    assert settings == Settings(
        webhook_secrets=("whsec_a",),
        signature_tolerance_s=60,
        max_body_bytes=1000,
        stream_name="events",
        aws_region="eu-west-1",
        archive_bucket="my-bucket",
        connect_timeout_s=0.5,
        read_timeout_s=1.25,
        attempts=3,
        port=8080,
        bind_host="127.0.0.1",
        workers=7,
        threads=9,
        metrics_token="sixteen-or-more-",
        log_level="DEBUG",
        log_format="text",
        log_file=tmp_path / "logs/app.log",
    )


def test_values_are_stripped_and_secrets_are_split_at_commas() -> None:
    settings = Settings.from_environ(
        {"STRIPE_WEBHOOK_SECRET": " whsec_a , whsec_b,\n", "ARCHIVE_DIR": " archive\n"}
    )
    assert settings.webhook_secrets == ("whsec_a", "whsec_b")
    assert settings.archive_dir == Path("archive")


def test_every_problem_is_named_at_once_with_its_fix() -> None:
    message = problems(
        {
            "STRIPE_WEBHOOK_SECRET": " ",
            "STRIPE_SIGNATURE_TOLERANCE": "0",
            "MAX_BODY_BYTES": "4MB",
            "PORT": "99999",
            "LOG_LEVEL": "LOUD",
        }
    )
    assert "6 problems" in message
    for name in (
        "STRIPE_WEBHOOK_SECRET is not set",
        "FIREHOSE_DELIVERY_STREAM_NAME or ARCHIVE_DIR must be set",
        "STRIPE_SIGNATURE_TOLERANCE",
        "MAX_BODY_BYTES",
        "PORT",
        "LOG_LEVEL",
    ):
        assert name in message
    assert message.count("Fix: ") == 6


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"STRIPE_WEBHOOK_SECRET": ",,"}, "STRIPE_WEBHOOK_SECRET is not set"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_replace_me"}, "placeholder"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_your_endpoints_secret"}, "placeholder"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_..."}, "placeholder"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_a,whsec_…"}, "placeholder"),
        ({"STRIPE_WEBHOOK_SECRET": "<secret>"}, "placeholder"),
        ({"STRIPE_WEBHOOK_SECRET": '"whsec_a"'}, "holds quotes"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_a,'whsec_b'"}, "holds quotes"),
        ({"STRIPE_WEBHOOK_SECRET": '"whsec_a,whsec_b"'}, "holds quotes"),
        ({"STRIPE_WEBHOOK_SECRET": "sk_live_1"}, "API key"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_a b"}, "a space or a character"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_ä"}, "a space or a character"),
        ({"ARCHIVE_DIR": "archive"}, "are both set"),
        ({"FIREHOSE_DELIVERY_STREAM_NAME": "arn:aws:firehose:x"}, "not its ARN"),
        ({"FIREHOSE_DELIVERY_STREAM_NAME": "s" * 65}, "FIREHOSE_DELIVERY_STREAM_NAME is not"),
        ({"AWS_REGION": ""}, "AWS_REGION is not set"),
        ({"AWS_REGION": "Frankfurt"}, "such as us-east-1"),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_SECRET_ACCESS_KEY": "x"}, "AWS_ACCESS_KEY_ID is not set"),
        ({"ARCHIVE_BUCKET": "s3://bucket"}, "without s3://"),
        ({"STRIPE_SIGNATURE_TOLERANCE": "-1"}, "STRIPE_SIGNATURE_TOLERANCE is out of range"),
        ({"STRIPE_SIGNATURE_TOLERANCE": "٣"}, "STRIPE_SIGNATURE_TOLERANCE is out of range"),
        ({"ARCHIVE_READ_TIMEOUT": "nan"}, "ARCHIVE_READ_TIMEOUT is out of range"),
        ({"ARCHIVE_READ_TIMEOUT": "."}, "ARCHIVE_READ_TIMEOUT is out of range"),
        ({"ARCHIVE_READ_TIMEOUT": "4"}, "add up to 11.0 s"),
        ({"ARCHIVE_READ_TIMEOUT": "3.5"}, "add up to 10.0 s"),
        ({"ARCHIVE_ATTEMPTS": "3"}, "add up to 15.0 s"),
        ({"BIND_HOST": "http://localhost"}, "BIND_HOST is not a valid name"),
        ({"FIREHOSE_TRANSPORT": "lean"}, "choose one of direct, boto3"),
        ({"WEB_WORKERS": "0"}, "WEB_WORKERS is out of range"),
        ({"METRICS_TOKEN": "fifteen-or-less"}, "METRICS_TOKEN is shorter than 16 characters"),
        ({"METRICS_TOKEN": "sixteen or more "}, "METRICS_TOKEN is shorter than 16 characters"),
        ({"METRICS_TOKEN": "a token with spaces"}, "METRICS_TOKEN holds a space"),
        ({"METRICS_TOKEN": "töken-of-more-than-16"}, "a character that no header carries"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT is not known"),
        ({"LOG_FILE": "/"}, "LOG_FILE names a file that cannot be written to"),
        ({"LOG_FILE": "/dev/null/app.log"}, "LOG_FILE names a file that cannot be written to"),
    ],
)
def test_a_bad_value_is_one_problem(variables: dict[str, str], complaint: str) -> None:
    message = problems(FIREHOSE | variables)
    assert "1 problem in" in message
    assert complaint in message


@pytest.mark.parametrize("folder", ["/dev/null", "/dev/null/archive"])
def test_a_folder_that_cannot_be_made_is_refused(folder: str) -> None:
    assert "ARCHIVE_DIR names a folder" in problems(LOCAL | {"ARCHIVE_DIR": folder})


def test_the_budget_binds_only_where_there_is_a_network() -> None:
    assert Settings.from_environ(LOCAL | {"ARCHIVE_READ_TIMEOUT": "9"}).read_timeout_s == 9


def test_deliveries_are_counted_where_somebody_may_ask() -> None:
    token = {"METRICS_TOKEN": "sixteen-or-more-"}
    assert Settings.from_environ(LOCAL).counts
    assert Settings.from_environ(LOCAL | token).counts
    assert Settings.from_environ(FIREHOSE | token).counts
    assert not Settings.from_environ(FIREHOSE | {"METRICS_TOKEN": " "}).counts


def test_the_budget_counts_every_attempt_and_the_longest_waits_between() -> None:
    settings = Settings(webhook_secrets=(), attempts=3, connect_timeout_s=0.5, read_timeout_s=1.0)
    assert settings.archive_budget_s == 3 * 1.5 + 1 + 2


def test_no_secret_is_in_a_repr_or_an_error() -> None:
    environ = LOCAL | {
        "STRIPE_WEBHOOK_SECRET": "whsec_hidden",
        "METRICS_TOKEN": "hidden-token-of-metrics",
    }
    assert "hidden" not in repr(Settings.from_environ(environ))
    # pasted into every wrong place
    wrong = dict.fromkeys(
        [
            "FIREHOSE_DELIVERY_STREAM_NAME",
            "ARCHIVE_BUCKET",
            "AWS_REGION",
            "PORT",
            "WEB_WORKERS",
            "MAX_BODY_BYTES",
            "ARCHIVE_READ_TIMEOUT",
            "METRICS_TOKEN",
            "LOG_LEVEL",
            "LOG_FORMAT",
        ],
        "whsec_HIDDEN/hidden hidden",
    )
    message = problems(
        {"STRIPE_WEBHOOK_SECRET": "sk_hidden", "LOG_FILE": "/dev/null/hidden"} | wrong
    )
    assert "hidden" not in message.lower()
    assert "12 problems" in message


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's `.env`, which is not there yet, and an environment that sets nothing."""
    monkeypatch.setattr("webhook_app.environ.PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {*LOCAL, *FIREHOSE, "PYTHON_DOTENV_DISABLED", "FLASK_SKIP_DOTENV", "PORT", "LOG_FORMAT"}
    for name in names:
        # set, so that what the file adds is taken away again after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path / ".env"


DEVELOPMENT = "STRIPE_WEBHOOK_SECRET=whsec_file\nARCHIVE_DIR=archive\nLOG_FORMAT=text\n"


def test_the_environment_wins_over_dotenv(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dotenv.write_text(DEVELOPMENT + "PORT=4000\n")
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token\n")
    settings = Settings.from_environ()
    assert settings.webhook_secrets == ("whsec_file",)
    assert settings.port == 5000
    assert settings.log_format == "text"
    assert settings.archive_name == "the local folder archive"
    assert settings.archive_origin == ".env"
    # boto3 reads these by itself
    assert os.environ["AWS_SESSION_TOKEN"] == "token"
    assert Settings.from_environ() == settings


@pytest.mark.parametrize("copied", [False, True], ids=["gunicorn", "flask"])
def test_an_archive_of_the_environment_wins_over_one_of_dotenv(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    """The `flask` command copies `.env` into the environment before it runs our code."""
    dotenv.write_text(DEVELOPMENT)
    monkeypatch.setenv("FIREHOSE_DELIVERY_STREAM_NAME", "events")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    if copied:
        monkeypatch.setenv("ARCHIVE_DIR", "archive")
    settings = Settings.from_environ()
    assert (settings.stream_name, settings.archive_dir) == ("events", None)
    assert settings.archive_origin == "the environment"
    assert settings.webhook_secrets == ("whsec_file",)
    assert Settings.from_environ() == settings


def test_a_folder_of_the_environment_wins_over_a_stream_of_dotenv(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv.write_text("STRIPE_WEBHOOK_SECRET=whsec_file\nFIREHOSE_DELIVERY_STREAM_NAME=events\n")
    monkeypatch.setenv("ARCHIVE_DIR", "mine")
    settings = Settings.from_environ()
    assert (settings.stream_name, settings.archive_dir) == (None, Path("mine"))


def test_what_dotenv_sets_is_relative_to_it_and_what_is_exported_is_not(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dotenv.write_text(DEVELOPMENT + "LOG_FILE=logs/app.log\n")
    monkeypatch.setenv("LOG_FILE", "")
    monkeypatch.delenv("LOG_FILE")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    settings = Settings.from_environ()
    assert settings.archive_dir == dotenv.parent / "archive"
    assert settings.log_file == dotenv.parent / "logs/app.log"
    monkeypatch.delenv("LOG_FILE")
    # the same text, of somebody who is elsewhere
    monkeypatch.setenv("ARCHIVE_DIR", "archive")
    settings = Settings.from_environ()
    assert (settings.archive_dir, settings.archive_origin) == (Path("archive"), "the environment")


def test_a_problem_names_where_the_value_came_from(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv.write_text("STRIPE_WEBHOOK_SECRET=sk_hidden\nPORT=high\n")
    for name, value in (FIREHOSE | LOCAL | {"LOG_FORMAT": "xml"}).items():
        if name != "STRIPE_WEBHOOK_SECRET":
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ()
    for line in (
        "STRIPE_WEBHOOK_SECRET (from .env) holds an API key, not a signing secret.",
        "PORT (from .env) is out of range.",
        "LOG_FORMAT (from the environment) is not known.",
        "FIREHOSE_DELIVERY_STREAM_NAME (from the environment) and "
        "ARCHIVE_DIR (from the environment) are both set.",
    ):
        assert f"\n  {line}\n" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("switch", ["PYTHON_DOTENV_DISABLED", "FLASK_SKIP_DOTENV"])
def test_a_dotenv_can_be_switched_off(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    dotenv.write_text(DEVELOPMENT)
    monkeypatch.setenv(switch, "1")
    with pytest.raises(SettingsError, match="2 problems"):
        Settings.from_environ()
    monkeypatch.setenv(switch, "0")
    assert Settings.from_environ().archive_dir == Path("archive")


def test_a_dotenv_that_cannot_be_read_is_one_message(dotenv: Path) -> None:
    dotenv.write_bytes(b"STRIPE_WEBHOOK_SECRET=whsec_\xff\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read.\n +Fix: let this user read it"):
        Settings.from_environ()


def test_no_placeholder_of_the_guides_is_taken_for_a_secret() -> None:
    guides = [PROJECT / "README.md", PROJECT / ".env.example", *PROJECT.glob("docs/*.md")]
    placeholders = {
        secret
        for guide in guides
        for secret in re.findall(r"STRIPE_WEBHOOK_SECRET=(whsec_\S*)", guide.read_text())
    }
    assert placeholders >= {"whsec_replace_me", "whsec_your_endpoints_secret"}
    for placeholder in placeholders:
        assert "placeholder" in problems(LOCAL | {"STRIPE_WEBHOOK_SECRET": placeholder})


@pytest.mark.parametrize(
    ("host", "bind", "url"),
    [
        (None, "0.0.0.0:3001", "http://localhost:3001"),
        ("127.0.0.1", "127.0.0.1:3001", "http://localhost:3001"),
        ("::", "[::]:3001", "http://localhost:3001"),
        ("10.0.0.7", "10.0.0.7:3001", "http://10.0.0.7:3001"),
        ("fd00::7", "[fd00::7]:3001", "http://[fd00::7]:3001"),
    ],
)
def test_the_address_to_listen_on_is_the_one_to_call(host: str | None, bind: str, url: str) -> None:
    settings = Settings.from_environ(LOCAL | ({"BIND_HOST": host} if host else {}))
    assert (settings.bind, settings.local_url) == (bind, url)


def test_the_service_does_not_read_the_api_key() -> None:
    settings = Settings.from_environ(LOCAL | {"STRIPE_API_KEY": "rk_live_hidden"})
    assert not hasattr(settings, "stripe_api_key")
