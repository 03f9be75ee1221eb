"""What `docker/` and `compose.yaml` say; with `--container BASE` an image is built, and must give the bytes of here."""

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_run import ROOT, SMALL

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
APPTAINER = (ROOT / "docker" / "dis_lightning.def").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())

Instructions = list[tuple[str, str]]


def stages() -> list[Instructions]:
    """The instructions of every stage with what follows them, its FROM first."""
    joined = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line]
    beginnings = [i for i, (name, _) in enumerate(lines) if name == "FROM"]
    return [[(n, r) for n, r in lines[i:j]] for i, j in zip(beginnings, [*beginnings[1:], None], strict=True)]


def arguments(text: str, pattern: str) -> dict[str, str]:
    return dict(re.findall(pattern, text, flags=re.MULTILINE))


IN_DOCKERFILE = arguments(DOCKERFILE, r"^ARG (\w+)=(.*)$")
IN_APPTAINER = arguments(APPTAINER.partition("%arguments")[2].partition("%files")[0], r"^  (\w+)=(.*)$")


def test_the_image_is_what_was_installed_and_runs_the_command_as_nobody_in_particular() -> None:
    build, run = stages()
    assert build[0] == ("FROM", "${BASE} AS build")
    assert run[0] == ("FROM", "${BASE}")
    assert [what for name, what in run if name in ("COPY", "ADD")] == ["--from=build /opt/venv /opt/venv"]
    last = dict(run)
    user, group = last["USER"].split(":")
    assert int(user) > 0 < int(group)
    assert json.loads(last["ENTRYPOINT"]) == ["dis-lightning"]
    assert json.loads(last["VOLUME"]) == ["/work", "/weights"]
    assert last["WORKDIR"] == "/work"
    assert "XDG_CACHE_HOME=/weights" in last["ENV"]
    assert run.index(("COPY", "--from=build /opt/venv /opt/venv")) < [name for name, _ in run].index("USER")


@pytest.mark.parametrize("index", ["", "https://example.org/cpu"])
@pytest.mark.parametrize("extras", ["", "film,heic"])
def test_everything_is_pinned_and_torch_comes_from_one_index(tmp_path: Path, index: str, extras: str) -> None:
    pip = tmp_path / "venv" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    pip.chmod(0o755)
    (tmp_path / "python3").symlink_to("/bin/true")
    script = (ROOT / "docker" / "install.sh").read_text().replace("/opt/venv", str(tmp_path / "venv"))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TORCH_INDEX": index, "EXTRAS": extras}
    subprocess.run(["sh", "-c", script], check=True, env=environment)

    calls = [shlex.split(line) for line in (tmp_path / "said").read_text().splitlines()]
    for call in calls:
        assert call[0] == "install"
        assert call[call.index("--constraint") + 1] == "constraints.txt"
    *first, last = calls
    assert last[-1] == (".[film,heic]" if extras else ".")
    assert "--index-url" not in last
    assert [call[-5:] for call in first] == [["--no-deps", "--index-url", index, "torch", "torchvision"]] * bool(index)


def ignored(path: str) -> bool:
    """Whether the last pattern of `.dockerignore` that names the path, or a folder above it, leaves it out."""
    out = False
    names = [path, *map(str, Path(path).parents)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not line.startswith("#") and any(
            fnmatch.fnmatchcase(name, pattern.removeprefix("**/"))
            or (pattern.startswith("**/") and fnmatch.fnmatchcase(name, f"*/{pattern.removeprefix('**/')}"))
            for name in names
        ):
            out = not line.startswith("!")
    return out


def test_what_is_sent_to_the_builder_is_what_is_installed() -> None:
    named = re.findall(r"^  (\S+) /src/\1$", APPTAINER, flags=re.MULTILINE)
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert sorted(named) == sorted(line.removeprefix("!") for line in lines if line.startswith("!"))
    for name in named:
        files = [file for file in (ROOT / name).rglob("*") if file.is_file()] or [ROOT / name]
        wanted = [str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts]
        assert wanted
        assert [file for file in wanted if ignored(file)] == []
    unwanted = (".git/config", ".venv/bin/python", ".env", "outputs/run/config.yaml", "net.pt", "tests/conftest.py")
    for file in (*unwanted, "docker/Dockerfile", "dis_lightning/solvers/__pycache__/dps.cpython-311.pyc"):
        assert ignored(file), file


def test_docker_and_apptainer_take_the_same_arguments() -> None:
    assert IN_DOCKERFILE.keys() == IN_APPTAINER.keys() == {"BASE", "TORCH_INDEX", "EXTRAS", "PACKAGES"}
    assert IN_DOCKERFILE["BASE"] == IN_APPTAINER["BASE"]
    # Docker's is for a CPU unless told otherwise; a cluster's is for its GPUs, and equals the CUDA image.
    assert IN_DOCKERFILE["TORCH_INDEX"].endswith("/cpu")
    for name, value in COMPOSE["services"]["cuda"]["build"]["args"].items():
        assert IN_APPTAINER[name] == value
    assert set(re.findall(r"{{ (\w+) }}", APPTAINER)) == IN_APPTAINER.keys()


def test_the_script_of_apptainer_is_a_script() -> None:
    sections = re.split(r"^%(\w+)\n", APPTAINER, flags=re.MULTILINE)
    scripts = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert scripts.keys() == {"arguments", "files", "post", "environment", "runscript", "test"}
    for name in ("post", "environment", "runscript", "test"):
        subprocess.run(["sh", "-n"], input=scripts[name], text=True, check=True)


def test_compose_is_valid_and_agrees_with_the_image() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, str(ROOT / "compose.yaml")], check=True, capture_output=True)
    assert COMPOSE["services"].keys() == {"cpu", "cuda", "tests"}
    for service in COMPOSE["services"].values():
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["build"].get("args", {}).keys() <= IN_DOCKERFILE.keys()
        assert service["user"] == "${UID:-1000}:${GID:-1000}"
        assert service["init"]
    for name in ("cpu", "cuda"):
        weights, outputs = COMPOSE["services"][name]["volumes"]
        assert weights.partition(":")[2] == "/weights"
        assert outputs["target"] == "/work/outputs"


@pytest.mark.container
@pytest.mark.usefixtures("in_project")
def test_the_image_reconstructs_what_is_reconstructed_here(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    # The builds of the package index, which are installed here too; the network of the host needs no bridge.
    build = ["docker", "build", "--network=host", "--file=docker/Dockerfile", "--tag=dis-lightning:tested"]
    given = [f"BASE={request.config.getoption('--container')}", "TORCH_INDEX="]
    subprocess.run([*build, *(f"--build-arg={value}" for value in given), "."], check=True)
    try:
        there, here = tmp_path / "there", tmp_path / "here"
        there.mkdir()
        os.chown(there, 12345, 12345)
        # Somebody the image does not know, without a network, in an image that cannot be written.
        run = ["docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--user=12345:12345"]
        subprocess.run([*run, f"--volume={there}:/work", "dis-lightning:tested", "predict", *SMALL], check=True)
        command = [sys.executable, "-m", "dis_lightning", "predict", *SMALL, f"--writer.folder={here}"]
        subprocess.run(command, check=True)
        (folder,) = (there / "outputs").iterdir()
        assert {file.stat().st_uid for file in folder.rglob("*")} == {12345}
        samples = sorted(file.name for file in (here / "samples").iterdir())
        assert len(samples) == 10
        for name in samples:
            assert (folder / "samples" / name).read_bytes() == (here / "samples" / name).read_bytes()
        shell = ["docker", "run", "--rm", "--network=none", "--entrypoint=sh", "dis-lightning:tested", "-c"]
        told = subprocess.run([*shell, "id -u; pwd; ls /"], check=True, capture_output=True, text=True).stdout.split()
        assert told[:2] == ["1000", "/work"]
        assert "src" not in told
    finally:
        subprocess.run(["docker", "rmi", "dis-lightning:tested"], check=True)
