"""Real event bodies of Stripe's, where the folder with them lies beside the project."""

from pathlib import Path

from tests.support.needs import needed
from tests.support.service import running
from tests.support.stripe_client import SECRET, deliver
from tests.system.conftest import SHARED, payloads


def test_88_real_events_are_archived_to_the_byte(tmp_path: Path) -> None:
    folder = SHARED / "events"
    needed(str(folder), folder.is_dir())
    bodies = [path.read_bytes() for path in sorted(folder.glob("*.json"))]
    assert len(bodies) == 88
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": str(tmp_path / "archive"),
        "WEB_WORKERS": "4",
    }
    with running(variables, tmp_path / "log") as service:
        assert {deliver(service.port, body).status for body in bodies} == {200}
    assert sorted(payloads(tmp_path / "archive")) == sorted(bodies)
