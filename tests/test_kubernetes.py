"""The manifests of examples/kubernetes against KubeRay's own definitions, and the program that they run."""

import functools
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "kubernetes"
MANIFESTS = sorted(EXAMPLES.glob("*.yaml"))


def closed(schema: Any) -> Any:
    """A schema that also refuses what Kubernetes would drop without a word: names that it does not know."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if found.pop("x-kubernetes-int-or-string", False):
        found.pop("type", None)
        found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(found.get("properties"), dict) and not found.pop("x-kubernetes-preserve-unknown-fields", False):
        found.setdefault("additionalProperties", False)
    return found


@functools.cache
def definition(kind: str, version: str) -> Any:
    for path in (ROOT / "tests" / "data" / "kuberay").glob("*.yaml.xz"):
        crd = yaml.load(lzma.decompress(path.read_bytes()), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if crd["spec"]["names"]["kind"] == kind:
            (found,) = [each for each in crd["spec"]["versions"] if each["name"] == version and each["served"]]
            schema = closed(found["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}  # of Kubernetes itself
            return schema
    raise AssertionError(f"no definition of {kind}")


def problems(manifest: Any) -> list[str]:
    group, _, version = manifest["apiVersion"].partition("/")
    assert group == "ray.io"
    validator = jsonschema.Draft202012Validator(definition(manifest["kind"], version))
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(manifest)]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_what_kuberay_takes(path: Path) -> None:
    assert problems(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [("replicas: 2", "replicas: two"), ("groupName: workers", "groupname: workers"), ("image: ", "picture: ")],
)
def test_a_manifest_with_a_slip_is_found_out(path: Path, wrong: str, said: str) -> None:
    text = path.read_text()
    assert wrong in text
    assert problems(yaml.safe_load(text.replace(wrong, said, 1)))


def test_images_ports_and_versions_fit_together() -> None:
    dockerfile = (EXAMPLES / "Dockerfile").read_text()
    (version,) = re.findall(r"FROM rayproject/ray:([\d.]+)-py311", dockerfile)
    for path in MANIFESTS:
        spec = yaml.safe_load(path.read_text())["spec"]
        cluster = spec.get("rayClusterSpec", spec)
        assert cluster["rayVersion"] == version
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        images = {container["image"] for group in groups for container in group["template"]["spec"]["containers"]}
        assert len(images) == 1
        assert all(isinstance(value, str) for group in groups for value in group["rayStartParams"].values())
        assert spec.get("entrypoint", "program.py").split()[-2:] in (["/home/ray/program.py", "auto"], ["program.py"])


def test_the_program_that_they_run_runs_here() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "DAYBREAK_ADDRESS")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "program.py")], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"pi is near 3\.1\d\n", done.stdout), done.stdout
