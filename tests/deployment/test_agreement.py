"""Do the targets agree with the service and with each other?"""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.deployment import ecs, targets
from tests.support.service import environment, procfile_command, running
from tests.support.stripe_client import SECRET, deliver
from webhook_app.serving.capacity import worker_count
from webhook_app.settings import Settings

#: What a target sets that is none of the service's own, and who reads it.
PLATFORM = {
    "PYTHON_VERSION": "Render's build",
    "PATH": "the shell",
    "PYTHON_DOTENV_DISABLED": "python-dotenv",
    "GUNICORN_CMD_ARGS": "gunicorn",
}
#: Those with a disk that stays, and the base image, need no stream; the rest archives to one.
WITHOUT_STREAM = {"compose.yaml", "systemd", "Dockerfile"}
SECRETS = {
    "STRIPE_WEBHOOK_SECRET",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "METRICS_TOKEN",
}
PORT = Settings(webhook_secrets=()).port
GRACE = targets.gunicorn_constant("graceful_timeout")


def seconds(text: object) -> float:
    number, unit = re.fullmatch(r"([0-9]+)(s|m|)", str(text)).groups()  # type: ignore[union-attr]
    return int(number) * (60 if unit == "m" else 1)


def test_every_variable_is_one_that_somebody_reads() -> None:
    known = targets.settings_variables() | set(PLATFORM)
    for target, variables in targets.variables().items():
        assert set(variables) <= known, target


def test_no_service_is_offered_the_key_of_the_daily_job() -> None:
    for target, variables in targets.variables().items():
        assert "STRIPE_API_KEY" not in variables, target


def test_no_file_holds_a_secret() -> None:
    for target, variables in targets.variables().items():
        for name in SECRETS & set(variables):
            assert variables[name] is None, target
    for path in [*targets.DEPLOY.rglob("*"), targets.ROOT / "app.json"]:
        if path.is_file() and path.suffix != ".pyc":
            assert not re.search(r"whsec_[A-Za-z0-9]|AKIA[A-Z0-9]{16}", path.read_text()), path


def test_heroku_asks_for_every_variable_that_makes_sense_there() -> None:
    # it gives the port itself, and its disks are thrown away
    left_out = {"PORT", "BIND_HOST", "ARCHIVE_DIR", "LOG_FILE"}
    # for a terminal, and for the daily job, which is an app of its own
    left_out |= {"STRIPE_API_BASE", "REPLAY_SECRET", "STRIPE_API_KEY"}
    assert set(targets.app_json()["env"]) == targets.settings_variables() - left_out
    assert targets.app_json()["env"]["STRIPE_WEBHOOK_SECRET"]["required"] is True


@pytest.mark.parametrize("target", sorted(targets.variables().keys() - WITHOUT_STREAM))
def test_what_a_target_sets_starts_the_service(target: str, tmp_path: Path) -> None:
    """With the secret put in, as the operator does."""
    variables = targets.variables()[target]
    given = {name: value for name, value in variables.items() if value is not None}
    given |= {"STRIPE_WEBHOOK_SECRET": SECRET, "WEB_WORKERS": "2"}
    given.pop("PORT", None)
    with running(given, tmp_path / "log") as service:
        assert deliver(service.port, b"{}", "t=1,v1=0").status == 400


def test_all_start_the_line_of_the_procfile() -> None:
    start = procfile_command()
    (web,) = targets.render()["services"]
    assert shlex.split(web["startCommand"]) == start
    assert json.loads(targets.instruction("CMD")) == start
    (unit_start,) = targets.unit()["ExecStart"]
    program, *arguments = shlex.split(unit_start)
    assert [Path(program).name, *arguments] == start
    folder = targets.unit()["WorkingDirectory"][0]
    assert Path(program).parent == Path(folder) / ".venv/bin"


def test_whatever_installs_checks_hashes() -> None:
    (web,) = targets.render()["services"]
    assert web["buildCommand"] == "pip install --require-hashes -r requirements.txt"
    installs = [rest for stage in targets.stages() for _, rest in stage if " install " in rest]
    assert [" --require-hashes " in rest for rest in installs if "pip" in rest] == [True]


def test_all_ask_the_doctor_in_the_same_words() -> None:
    release = targets.procfile()["release"]
    (web,) = targets.render()["services"]
    assert web["preDeployCommand"] == release
    assert shlex.split(targets.fly()["deploy"]["release_command"]) == ["sh", "-c", release]
    (doctor,) = [each for each in ecs.containers("ServiceTask") if each["name"] == "doctor"]
    assert doctor["command"] == ["sh", "-c", release]
    (before,) = targets.unit()["ExecStartPre"]
    assert shlex.split(before.replace("$$", "$")) == ["/bin/sh", "-c", release]


@pytest.mark.parametrize(("code", "released"), [(0, True), (1, False), (2, True), (127, False)])
def test_a_release_stops_at_a_fault_and_at_nothing_else(
    code: int, released: bool, tmp_path: Path
) -> None:
    flask = tmp_path / "flask"
    flask.write_text(f'#!/bin/sh\n[ "$*" = doctor ] || exit 99\nexit {code}\n')
    flask.chmod(0o755)
    command = ["/bin/sh", "-c", targets.procfile()["release"]]
    done = subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (done.returncode == 0) == released


def test_on_ecs_the_doctor_sees_what_the_service_gets_and_goes_first() -> None:
    main, doctor = ecs.containers("ServiceTask")
    assert main["dependsOn"] == [{"containerName": "doctor", "condition": "SUCCESS"}]
    assert (main["essential"], doctor["essential"]) == (True, False)
    ours = {"name", "essential", "command", "logConfiguration"}
    assert {name: main[name] for name in doctor.keys() - ours} == {
        name: doctor[name] for name in doctor.keys() - ours
    }
    # a limit of its own would be added to that of the service
    assert "memory" not in doctor


def test_two_tasks_of_ecs_so_that_one_can_fail() -> None:
    scaling = targets.express_service()["scalingTarget"]
    assert 2 == scaling["minTaskCount"] <= scaling["maxTaskCount"]


def test_ecs_adds_a_task_before_the_workers_are_all_busy() -> None:
    scaling = targets.express_service()["scalingTarget"]
    assert scaling["autoScalingMetric"] == "REQUEST_COUNT_PER_TARGET"
    memory = int(ecs.Stack(**ecs.GIVEN).task("ServiceTask")["memory"])
    # a worker takes 10 deliveries a second where a PutRecord takes 100 ms, and the metric is a
    # minute's
    most = worker_count(memory * 2**20) * 10 * 60
    assert scaling["autoScalingTargetValue"] < most / 2
    text = (targets.ROOT / "docs/DEPLOYMENT.md").read_text()
    assert f"more than {scaling['autoScalingTargetValue'] // 60} requests a second" in text


def test_the_doctor_is_there() -> None:
    variables = {"STRIPE_WEBHOOK_SECRET": SECRET, "ARCHIVE_DIR": "archive"}
    done = subprocess.run(
        ["flask", "doctor", "--help"],
        cwd=targets.ROOT,
        env=environment(PORT, variables),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def test_all_ports_are_the_services_own() -> None:
    container = ecs.main_container()
    (published,) = targets.compose()["services"]["webhook"]["ports"]
    bound = re.search(
        r"--bind 127\.0\.0\.1:(\d+)", targets.variables()["systemd"]["GUNICORN_CMD_ARGS"] or ""
    )
    assert bound
    ports = [
        targets.instruction("EXPOSE"),
        *published.removeprefix("127.0.0.1:").split(":"),
        targets.fly()["http_service"]["internal_port"],
        targets.fly()["env"]["PORT"],
        container["portMappings"][0]["containerPort"],
        bound[1],
        *(value.rsplit(":", 1)[1] for value in targets.nginx_values("proxy_pass")),
    ]
    assert {int(port) for port in ports} == {PORT}
    # from outside a machine nothing is reached but through its proxy
    assert published.startswith("127.0.0.1:")


def test_all_ask_for_health_in_the_right_place() -> None:
    (web,) = targets.render()["services"]
    (check,) = targets.fly()["http_service"]["checks"]
    express = targets.express_service()
    assert {web["healthCheckPath"], check["path"], express["healthCheckPath"]} == {"/health"}
    container = ecs.main_container()
    options, command = targets.healthcheck()
    assert container["healthCheck"]["command"] == ["CMD", *command]
    assert "'/health'" in command[-1]
    names = {"interval": "interval", "timeout": "timeout"}
    names |= {"retries": "retries", "start-period": "startPeriod"}
    for image, task in names.items():
        assert seconds(options[image]) == container["healthCheck"][task], image
    checks = [
        {name: seconds(value) for name, value in options.items()},
        {name: seconds(value) for name, value in check.items() if name not in {"method", "path"}},
        {name: value for name, value in container["healthCheck"].items() if name != "command"},
    ]
    for entry in checks:
        # Render waits 5 s as well; a worker may be busy for as long as a slow archive takes
        assert 5 <= entry["timeout"] < entry["interval"] <= 30


def test_nobody_kills_before_gunicorn_has_finished() -> None:
    (web,) = targets.render()["services"]
    container = ecs.main_container()
    graces = {
        "render": web["maxShutdownDelaySeconds"],
        "compose": targets.compose()["services"]["webhook"]["stop_grace_period"],
        "fly": targets.fly()["kill_timeout"],
        "ecs": container["stopTimeout"],
        "systemd": targets.unit()["TimeoutStopSec"][0],
    }
    for target, grace in graces.items():
        assert seconds(grace) >= GRACE + 5, target
    assert targets.instruction("STOPSIGNAL") == "SIGTERM"
    assert targets.fly()["kill_signal"] == "SIGTERM"
    assert targets.unit()["KillSignal"] == ["SIGTERM"]


def test_the_proxy_waits_longer_than_the_service_takes() -> None:
    gunicorn = targets.gunicorn_constant("timeout")
    for directive in ("proxy_read_timeout", "proxy_send_timeout"):
        (value,) = targets.nginx_values(directive)
        assert seconds(value) > gunicorn
    (size,) = targets.nginx_values("client_max_body_size")
    assert int(size.removesuffix("m")) * 2**20 > Settings(webhook_secrets=()).max_body_bytes


def test_the_sizes_fit_together() -> None:
    container = ecs.main_container()
    (machine,) = targets.fly()["vm"]
    sizes = {
        container["memory"],
        int(ecs.Stack(**ecs.GIVEN).task("ServiceTask")["memory"]),
        int(machine["memory"].removesuffix("mb")),
        int(targets.compose()["services"]["webhook"]["mem_limit"].removesuffix("m")),
        int(targets.unit()["MemoryMax"][0].removesuffix("M")),
    }
    (size,) = sizes
    concurrency, workers = targets.fly()["http_service"]["concurrency"], worker_count(size * 2**20)
    assert 0.8 * workers <= concurrency["soft_limit"] <= workers < concurrency["hard_limit"]


def test_the_same_user_and_the_same_python_everywhere() -> None:
    container = ecs.main_container()
    assert container["user"] == targets.instruction("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", container["user"])
    bases = {rest.split()[0] for stage in targets.stages() for word, rest in stage[:1]}
    version = targets.variables()["render.yaml"]["PYTHON_VERSION"]
    assert bases == {f"python:{version}-slim-trixie"}


def test_what_the_archive_is_written_to_is_a_volume_or_a_state_folder() -> None:
    service = targets.compose()["services"]["webhook"]
    folder = service["environment"]["ARCHIVE_DIR"]
    assert [f"archive:{folder}"] == service["volumes"]
    assert any(word == "RUN" and rest.endswith(f" {folder}") for word, rest in targets.stages()[-1])
    state = f"/var/lib/{targets.unit()['StateDirectory'][0]}/archive"
    assert f"ARCHIVE_DIR={state}" in targets.UNIT.read_text()


def test_fly_finds_its_dockerfile_beside_its_own_folder() -> None:
    # flyctl joins it to the folder of fly.toml
    path = targets.DEPLOY / "fly" / targets.fly()["build"]["dockerfile"]
    assert path.resolve() == targets.DOCKERFILE
    service = targets.compose()["services"]["webhook"]["build"]
    context = (targets.COMPOSE.parent / service["context"]).resolve()
    assert (context, context / service["dockerfile"]) == (targets.ROOT, targets.DOCKERFILE)
