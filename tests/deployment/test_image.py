"""The steps of the Dockerfile, taken outside Docker: there is no engine in CI.

Each stage gets a root folder of its own and each step runs in a mount namespace that has it as `/`,
with this machine's /usr, /etc and Python in place of the base image's. What this cannot show: that
the base image can be pulled, and what its own libraries do.
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from archive_tools.cli import COMMANDS
from examples import stripe
from tests.deployment import targets
from tests.deployment.targets import ROOT
from tests.fakes.receiver import SECRET as REPLAY_SECRET
from tests.fakes.receiver import Receiver
from tests.support.needs import needed
from tests.support.service import free_port, wait_for_port
from tests.support.stripe_client import SECRET, deliver, get
from tests.system.conftest import payloads

IMAGE_FILES = {
    "wsgi.py",
    "gunicorn.conf.py",
    "deploy/costs.py",
    "deploy/athena/stripe_events.sql",
    *(f"deploy/athena/compact/{name}.sql" for name in ("merge", "oldest", "table", "view")),
}

#: What the base image sets. The last one is not among it: there a cache of the linker knows where
#: Python's library is.
BASE_VARIABLES = {
    "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LD_LIBRARY_PATH": "/usr/local/lib",
}

#: Things that must never be sent to a builder.
PRIVATE = [
    ".env",
    ".git/config",
    "archive/webhooks/year=2026/month=11/day=23/x.json.gz",
    "logs/app.log",
    ".venv/bin/python",
    "deploy/docker/.env",
    "webhook_app/.env",
    "webhook_app/__pycache__/settings.cpython-313.pyc",
    "tests/unit/test_settings.py",
]


def sent_to_the_builder(path: str) -> bool:
    """Whether .dockerignore lets a file in: the last pattern that fits it, or a parent, decides.

    https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!"))
        pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{pattern}(/.*)?", path):
            sent = line.startswith("!")
    return sent


def project_files() -> list[str]:
    """Every file of the project that is, or could be, checked in."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for path in done.stdout.splitlines() if (ROOT / path).is_file()]


def needed_files() -> set[str]:
    packages = ("webhook_app/", "archive_tools/")
    code = {path for path in project_files() if path.startswith(packages)}
    # templates and other SQL are of commands that need DuckDB, and are not for the image
    return IMAGE_FILES | {path for path in code if path.endswith(".py")}


def test_the_builder_is_sent_what_the_image_needs_and_nothing_else() -> None:
    sent = {path for path in [*project_files(), *PRIVATE] if sent_to_the_builder(path)}
    assert sent == needed_files() | {"requirements.txt"}


@dataclass
class Stage:
    """A stage of the build: its root folder, and what its instructions have set so far."""

    root: Path
    folder: str = "/"
    user: str = "0:0"
    variables: dict[str, str] = field(default_factory=lambda: dict(BASE_VARIABLES))

    def path(self, inside: str) -> Path:
        return self.root / os.path.normpath(
            f"{self.folder}/{inside}" if inside[0] != "/" else inside
        ).lstrip("/")

    def command(
        self,
        words: list[str],
        *,
        shared: tuple[str, ...] = (),
        volumes: dict[str, Path] | None = None,
    ) -> list[str]:
        """Words that run a command in this stage.

        Args:
            words: the command.
            shared: further folders of this machine that it sees.
            volumes: folders inside to those that are mounted there. With any, also an empty one,
                the rest is read-only, and nothing but them and /dev/shm can be written to.
        """
        root = shlex.quote(str(self.root))
        lines = ["set -eu", f"mount --bind {root} {root}", f"cd {root}"]
        for name in ("bin", "sbin", "lib", "lib64", "usr", "etc", "proc", *shared):
            if Path("/", name).is_dir():
                lines += [f"mkdir -p {name}", f"mount --rbind /{name} {name}"]
        lines.append(f"mount --bind {shlex.quote(sys.base_prefix)} usr/local")
        lines += ["mkdir -p dev tmp", "mount -t tmpfs none dev", "mkdir -m 1777 dev/shm"]
        for name in ("null", "zero", "random", "urandom"):
            lines += [f": > dev/{name}", f"mount --bind /dev/{name} dev/{name}"]
        if volumes is None:
            lines.append("mount -t tmpfs none tmp")
        else:
            lines.append("mount -t tmpfs -o mode=1777 none dev/shm")
            lines += [f"mount --bind {place} .{name}" for name, place in volumes.items()]
            lines += ["mount -o remount,bind,ro dev", f"mount -o remount,bind,ro {root}"]
        uid, gid = self.user.split(":")
        chroot = ["chroot", str(self.root), "/usr/bin/env", f"--chdir={self.folder}"]
        # what `cap_drop: ALL` and `no-new-privileges` do
        drop = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        drop += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        lines.append(f"exec {shlex.join([*chroot, *(drop if uid != '0' else []), *words])}")
        return ["unshare", "--mount", "sh", "-c", "\n".join(lines)]

    def run(
        self, words: list[str], volumes: dict[str, Path], variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end in the stage as it is when all of it is built."""
        command = self.command(words, volumes=volumes)
        environment = self.variables | (variables or {})
        return subprocess.run(command, env=environment, capture_output=True, text=True)


def copy(stage: Stage, rest: str, context: Path, earlier: dict[str, Stage]) -> None:
    """COPY, as far as it is used here."""
    words = rest.split()
    if words[0].startswith("--from="):
        context = earlier[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    for source in sources:
        place = context / source.lstrip("/")
        destination = stage.path(target)
        if place.is_dir():
            shutil.copytree(place, destination, symlinks=True, dirs_exist_ok=True)
        else:
            destination = destination / place.name if target.endswith("/") else destination
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(place, destination)


def built(folder: Path, changed: dict[str, str] | None = None) -> Stage:
    """The image's stage after all instructions of the Dockerfile, some files of it changed."""
    context = folder / "context"
    for path in filter(sent_to_the_builder, project_files()):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, context / path)
    for path, text in (changed or {}).items():
        (context / path).write_text(text)
    # the package index is found as it is found outside
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    shared = tuple(name for name in ("opt", "root", "home") if Path("/", name).is_dir())
    stages: dict[str, Stage] = {}
    for number, instructions in enumerate(targets.stages()):
        stage = Stage(folder / str(number))
        stage.root.mkdir()
        for word, rest in instructions:
            match word:
                case "FROM":
                    stages[rest.split(" AS ")[-1]] = stage
                case "WORKDIR":
                    stage.folder = rest
                    stage.path(rest).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    copy(stage, rest, context, stages)
                case "ENV":
                    name, value = rest.split("=", 1)
                    stage.variables[name] = value.replace(f"${name}", stage.variables[name])
                case "USER":
                    stage.user = rest
                case "RUN":
                    command = stage.command(["/bin/sh", "-c", rest], shared=shared)
                    done = subprocess.run(
                        command, env=outside | stage.variables, capture_output=True, text=True
                    )
                    assert done.returncode == 0, done.stdout + done.stderr
    return stage


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    needed("root, to make roots of its own", os.geteuid() == 0)
    needed("unshare and setpriv", shutil.which("unshare") and shutil.which("setpriv"))
    needed("a Python with a folder of its own", sys.base_prefix != "/usr")
    folder = tmp_path_factory.mktemp("image")
    return built(folder)


def test_the_image_holds_the_service_compiled_and_nothing_else(image: Stage) -> None:
    app = image.root / "app"
    files = [path.relative_to(app) for path in app.rglob("*") if path.is_file()]
    assert {str(path) for path in files if path.suffix != ".pyc"} == needed_files()
    for path in files:
        if path.suffix == ".py":
            assert list((app / path).parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc")), path
    programs = {path.name for path in (image.root / "venv/bin").iterdir()}
    assert {"gunicorn", "flask"} <= programs
    assert not [name for name in programs if name.startswith("pip")]


def test_what_is_installed_is_what_was_locked(image: Stage) -> None:
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.M)
    folder = next((image.root / "venv/lib").glob("python*/site-packages"))
    names = [path.name.removesuffix(".dist-info") for path in folder.glob("*.dist-info")]
    installed = {
        re.sub("[-_.]+", "-", name.lower()): v for name, v in (n.split("-") for n in names)
    }
    assert {"flask", "gunicorn", "stripe"} <= installed.keys()
    assert installed.items() <= dict(locked).items()


@dataclass(frozen=True)
class Container:
    """The image's command, running."""

    image: Stage
    port: int
    process: subprocess.Popen[bytes]
    volumes: dict[str, Path]
    variables: dict[str, str]

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run another command beside it, as `docker exec` does."""
        return self.image.run(words, self.volumes, self.variables)


@contextlib.contextmanager
def contained(image: Stage, folder: Path) -> Iterator[Container]:
    port, log, volume = free_port(), folder / "log", folder / "volume"
    archive = targets.compose()["services"]["webhook"]["environment"]["ARCHIVE_DIR"]
    # a new named volume takes over what the image has at its place
    shutil.copytree(image.path(archive), volume)
    owner = image.path(archive).stat()
    os.chown(volume, owner.st_uid, owner.st_gid)
    variables = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ARCHIVE_DIR": archive,
        "WEB_WORKERS": "2",
        "PORT": str(port),
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
    }
    volumes = {archive: volume}
    command = image.command(json.loads(targets.instruction("CMD")), volumes=volumes)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=image.variables | variables, stdout=output, stderr=output
        )
    try:
        try:
            wait_for_port(port, lambda: process.poll() is not None)
        except TimeoutError:
            raise AssertionError(log.read_text()) from None
        yield Container(image, port, process, volumes, variables)
    finally:
        process.kill()
        process.wait()


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_the_image_serves_without_rights_on_a_read_only_root(image: Stage, tmp_path: Path) -> None:
    before = checksums(image.root / "app")
    with contained(image, tmp_path) as container:
        body = b'{"id": "evt_1", "object": "event", "type": "invoice.paid"}\n'
        assert deliver(container.port, body).status == 200
        assert payloads(*container.volumes.values()) == [body]
        counted = get(container.port, "/counter")
        assert (counted.status, counted.json["archived_by_type"]) == (200, {"invoice.paid": 1})

        status = Path(f"/proc/{container.process.pid}/status").read_text()
        ids = [str(number) for number in re.findall(r"^[UG]id:\t(\d+)", status, re.M)]
        assert ":".join(ids) == image.user
        assert re.search(r"^CapEff:\t0+$", status, re.M)
        assert re.search(r"^NoNewPrivs:\t1$", status, re.M)

        _, healthcheck = targets.healthcheck()
        assert container.run(healthcheck).returncode == 0
        # Fly asks the doctor in a container of its own
        release = container.run(shlex.split(targets.fly()["deploy"]["release_command"]))
        assert (release.returncode, release.stderr) == (0, "")
        assert "configuration" in release.stdout
        stop = getattr(signal, targets.instruction("STOPSIGNAL"))
        container.process.send_signal(stop)
        assert container.process.wait(timeout=targets.gunicorn_constant("graceful_timeout")) == 0
        assert container.run(healthcheck).returncode != 0
    assert checksums(image.root / "app") == before


def test_every_command_of_the_archive_has_its_help_in_the_image(image: Stage) -> None:
    for name in ("", *COMMANDS):
        helped = image.run(["flask", "archive", *name.split(), "--help"], volumes={})
        assert (helped.returncode, helped.stderr) == (0, ""), name
        assert f"flask archive {name}".strip() in helped.stdout


def test_the_commands_that_need_no_duckdb_run_in_the_image(image: Stage, tmp_path: Path) -> None:
    now = int(time.time())
    events = [
        stripe.Event(f"evt_{n}", "invoice.paid", now - 3600 - n, _body(n, now - 3600 - n))
        for n in range(3)
    ]
    customer = {"id": "cus_1", "object": "customer", "created": now - 3600, "livemode": True}
    played = stripe.Stripe(events, [customer])
    with (
        contained(image, tmp_path) as container,
        stripe.serving(played) as address,
        Receiver().serving() as receiver,
    ):
        assert deliver(container.port, events[0].rendered()).status == 200
        (archive,) = container.volumes
        container.variables.update(
            STRIPE_API_KEY=stripe.KEY, STRIPE_API_BASE=address, REPLAY_SECRET=REPLAY_SECRET
        )

        def told(*words: str, status: int = 0) -> str:
            # in the volume: what a command keeps of its state needs a folder to write to
            command = shlex.join(["flask", "--app", "/app/wsgi", "archive", *words])
            done = container.run(["sh", "-c", f"cd {archive} && {command}"])
            assert done.returncode == status, (words, done.stdout, done.stderr)
            first, _, rest = done.stderr.partition("\n")
            assert first == f"Archive: {archive} (ARCHIVE_DIR from the environment)"
            assert "Traceback" not in rest
            return done.stdout + rest

        assert json.loads(told("verify", "--json"))["records"] == 1
        assert "evt_1" in told("reconcile", status=1)
        assert "2 events" in told("backfill", "--dry-run")
        told("backfill")
        told("reconcile")
        assert json.loads(told("verify", "--json"))["from_events_api"] == 2
        assert "Wrote 1 object of live mode" in told("snapshot")
        assert "Nothing to seal" in told("seal")
        assert "no day is sealed" in told("verify", "--sealed", status=1)
        told("replay", receiver.url)
        assert sorted(receiver.accepted) == sorted(event.rendered() for event in events)
        assert "0 records" in told("subject", "cus_Nobody")
        assert "Nothing" in told("erase", "cus_Nobody", "--reason", "asked to", "--yes")
        without = {"verify", "reconcile", "backfill", "snapshot", "seal", "replay"}
        without |= {"erase", "subject"}
        for name in sorted({*COMMANDS} - without):
            words = {
                "query": ["SELECT 1 AS n"],
                "export": ["--output", "out"],
                "compact": [],
                "build": ["--output", "out.duckdb"],
                "report": ["--json"],
            }
            refused = told(name, *words[name], status=2)
            assert "is not installed" in refused
            assert "requirements/tools.txt" in refused


def _body(number: int, created: int) -> bytes:
    event = {"id": f"evt_{number}", "object": "event", "type": "invoice.paid", "livemode": True}
    return json.dumps(event | {"created": created}).encode()


def test_the_root_is_read_only_as_it_is_tried_here(image: Stage) -> None:
    for place in ("/app/x", "/tmp/x", "/archive/x", "/venv/x"):
        assert image.run(["touch", place], volumes={}).returncode != 0
    assert image.run(["touch", "/dev/shm/x"], volumes={}).returncode == 0


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"sha256:[0-9a-f]{8}", "sha256:00000000", "DO NOT MATCH THE HASHES"),
        (r" \\\n    --hash=\S+", "", "Hashes are required"),
    ],
    ids=["another", "none"],
)
def test_a_package_without_its_hash_stops_the_build(
    image: Stage, tmp_path: Path, pattern: str, replacement: str, message: str
) -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    with pytest.raises(AssertionError, match=message):
        built(tmp_path, {"requirements.txt": re.sub(pattern, replacement, requirements)})
