from pathlib import Path

import pytest

from archive_tools.settings import ToolSettings
from webhook_app.environ import SettingsError

FIREHOSE = {"FIREHOSE_DELIVERY_STREAM_NAME": "events", "AWS_REGION": "eu-west-1"}


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
        archive_origin="ARCHIVE_BUCKET from the environment",
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
