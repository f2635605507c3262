import os
from pathlib import Path

import pytest

from webhook_app.settings import Settings, SettingsError, ToolSettings

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


def test_every_problem_is_named_at_once_with_its_cure() -> None:
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
    assert message.count("Cure: ") == 6


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"STRIPE_WEBHOOK_SECRET": ",,"}, "STRIPE_WEBHOOK_SECRET is not set"),
        ({"STRIPE_WEBHOOK_SECRET": "whsec_replace_me"}, "placeholder"),
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


def test_the_environment_beats_dotenv_and_its_archive_beats_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "STRIPE_WEBHOOK_SECRET=whsec_file\nARCHIVE_DIR=archive\nWEB_WORKERS=3\nLOG_FORMAT=text\n"
    )
    monkeypatch.setattr("webhook_app.settings.PROJECT", tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED", raising=False)
    for name in ("STRIPE_WEBHOOK_SECRET", "ARCHIVE_DIR", "WEB_WORKERS"):
        # set, so that what the file adds is taken away again after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("FIREHOSE_DELIVERY_STREAM_NAME", "events")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token\n")
    settings = Settings.from_environ()
    assert settings.webhook_secrets == ("whsec_file",)
    assert settings.workers == 3
    assert settings.log_format == "json"
    assert settings.stream_name == "events"
    assert settings.archive_dir is None
    assert os.environ["AWS_SESSION_TOKEN"] == "token"


def test_the_tools_need_nothing() -> None:
    assert ToolSettings.from_environ({}) == ToolSettings(
        webhook_secrets=(), connect_timeout_s=5, read_timeout_s=20, attempts=4
    )


def test_the_tools_read_the_services_variables_and_stripes_key() -> None:
    settings = ToolSettings.from_environ(
        FIREHOSE
        | {
            "STRIPE_WEBHOOK_SECRET": "whsec_a, whsec_b",
            "ARCHIVE_BUCKET": "my-bucket",
            "STRIPE_API_KEY": " rk_live_hidden\n",
            "STRIPE_API_BASE": "http://127.0.0.1:8420/",
            "STRIPE_SIGNATURE_TOLERANCE": "60",
            "PORT": "8080",
        }
    )
    assert settings == ToolSettings(
        webhook_secrets=("whsec_a", "whsec_b"),
        stream_name="events",
        aws_region="eu-west-1",
        archive_bucket="my-bucket",
        stripe_api_key="rk_live_hidden",
        stripe_api_base="http://127.0.0.1:8420",
        signature_tolerance_s=60,
        port=8080,
        connect_timeout_s=5,
        read_timeout_s=20,
        attempts=4,
    )
    assert "hidden" not in repr(settings)
    assert "whsec" not in repr(settings)


def test_a_tool_may_read_a_folder_that_nobody_may_write_to() -> None:
    settings = ToolSettings.from_environ({"ARCHIVE_DIR": "/proc/1/archive"})
    assert settings.archive_dir == Path("/proc/1/archive")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STRIPE_API_KEY", "pk_hidden"),
        ("STRIPE_API_KEY", "whsec_hidden"),
        ("STRIPE_API_KEY", "rk_hid den"),
        ("STRIPE_API_BASE", "http://api.hidden.com"),
        ("STRIPE_API_BASE", "https://api.hidden.com/v1"),
        ("STRIPE_API_BASE", "hidden"),
        ("STRIPE_WEBHOOK_SECRET", "sk_hidden"),
    ],
)
def test_what_a_tool_is_told_wrong_is_named_and_not_shown(variable: str, value: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"The archive tools cannot start(.|\n)*{variable}"
    ) as told:
        ToolSettings.from_environ({variable: value})
    assert "hidden" not in str(told.value)


def test_the_service_does_not_read_the_api_key() -> None:
    settings = Settings.from_environ(LOCAL | {"STRIPE_API_KEY": "rk_live_hidden"})
    assert not hasattr(settings, "stripe_api_key")
