"""Unpacked images run on their own files; what an image asks for is the default of its containers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from node.runtime.interface import CreateError, ImageError, Mount, SecurityContext
from node.runtime.process.images import ImageStore, normalise
from node.runtime.process.runtime import ProcessRuntime
from tests.node.runtime.pods import Pods

PROGRAMS = ("sh", "ls", "touch", "cat", "id")
CONFIG = {
    "Entrypoint": ["sh", "-c"],
    "Cmd": ["echo $GREETING; pwd; id -u"],
    "Env": ["GREETING=hello", "PATH=/bin"],
    "WorkingDir": "/work",
    "User": "app",
}


def build_image(images: Path, reference: str, config: dict[str, Any]) -> Path:
    """The host's shell and the libraries it needs, unpacked as an image."""
    root = images / reference.replace("/", "%2F").replace(":", "%3A") / "rootfs"
    (root / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        program = shutil.which(name, path="/bin:/usr/bin")
        assert program is not None
        shutil.copy(program, root / "bin" / name)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+)", listed):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("app:x:1500:1600::/home/app:/bin/sh\n")
    (root.parent / "config.json").write_text(json.dumps({"config": config}))
    return root


@pytest.fixture
def root(tmp_path: Path, runtime: ProcessRuntime, isolated: None) -> Path:
    return build_image(tmp_path / "state/runtime/images", "docker.io/library/app:1", CONFIG)


async def test_the_images_own_program_directory_and_user(pods: Pods, root: Path) -> None:
    assert await pods.output("", image="app:1", command=[]) == "hello\n/work\n1500\n"


async def test_arguments_replace_those_of_the_image(pods: Pods, root: Path) -> None:
    assert await pods.output("", image="app:1", command=[], args=["echo $HOME"]) == "/home/app\n"


async def test_the_host_is_not_seen_and_the_image_not_changed(pods: Pods, root: Path) -> None:
    security = SecurityContext(run_as_user=0)
    text = await pods.output("touch /new; ls /", image="app:1", security=security)
    assert {"new", "bin", "proc"} <= set(text.split())
    assert not {"usr", "home", "root"} & (set(text.split()) - {path.name for path in root.iterdir()})
    assert not (root / "new").exists()


async def test_a_link_of_the_image_leads_no_volume_out_of_it(pods: Pods, root: Path, tmp_path: Path) -> None:
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    outside.mkdir()
    volume.mkdir()
    (root / "data").symlink_to(outside)
    text = await pods.output(
        f"touch /data/file; ls {outside}",
        image="app:1",
        mounts=[Mount("/data", str(volume))],
        security=SecurityContext(run_as_user=0),
    )
    assert text == "file\n"
    assert list(outside.iterdir()) == []
    assert [path.name for path in volume.iterdir()] == ["file"]


async def test_an_unknown_user_is_a_create_error(pods: Pods, root: Path) -> None:
    config = root.parent / "config.json"
    config.write_text(json.dumps({"config": CONFIG | {"User": "nobody-here"}}))
    with pytest.raises(CreateError, match="unable to find user nobody-here"):
        await pods.create("true", image="app:1")


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("me/app", "docker.io/me/app:latest"),
        ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("a@sha256:" + "0" * 64, "docker.io/library/a@sha256:" + "0" * 64),
        ("a:1@sha256:" + "0" * 64, "docker.io/library/a@sha256:" + "0" * 64),
    ],
)
def test_references(image: str, reference: str) -> None:
    assert normalise(image) == reference


@pytest.mark.parametrize("image", ["", "A", "a:", "a@", "a@sha256:1", "a b", "/a", "a//b", "a:b:c", "-a"])
def test_references_that_are_none(image: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        ImageStore(tmp_path).find(image)


def write_stand_in(images: Path, name: str, text: str) -> None:
    directory = images / quote(name, safe="")
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(text)


async def test_a_stand_in_runs_on_the_hosts_files(pods: Pods, tmp_path: Path) -> None:
    config = {"config": {"Entrypoint": ["echo"], "Cmd": ["served"]}}
    write_stand_in(tmp_path / "state/runtime/images", "docker.io/library/web", json.dumps(config))
    assert await pods.output("", image="web:1.27", command=[]) == "served\n"
    assert await pods.output("", image="web", command=[], args=["other"]) == "other\n"


async def test_a_known_base_image_runs_its_arguments(pods: Pods) -> None:
    assert await pods.output("", image="busybox:1.36", command=[], args=["echo", "hello"]) == "hello\n"


@pytest.mark.parametrize(
    ("stored", "image", "found"),
    [
        ("docker.io/library/web", "web:2", True),
        ("docker.io/library/web", "web@sha256:" + "0" * 64, True),
        ("docker.io/library/web:1", "web:1", True),
        ("docker.io/library/web:1", "web:2", False),
        ("docker.io/library/web", "me/web", False),
        ("localhost:5000/web", "localhost:5000/web:1", True),
    ],
    ids=["any tag", "a digest", "one tag", "another tag", "another repository", "a registry with a port"],
)
def test_what_a_name_stands_for(tmp_path: Path, stored: str, image: str, found: bool) -> None:
    write_stand_in(tmp_path, stored, '{"config": {"Cmd": ["run"]}}')
    assert (ImageStore(tmp_path).find(image) is not None) is found


def test_one_tag_goes_before_all(tmp_path: Path) -> None:
    write_stand_in(tmp_path, "docker.io/library/web", '{"config": {"Cmd": ["all"]}}')
    write_stand_in(tmp_path, "docker.io/library/web:1", '{"config": {"Cmd": ["one"]}}')
    image = ImageStore(tmp_path).find("web:1")
    assert image is not None
    assert image.config["Cmd"] == ["one"]


@pytest.mark.parametrize("text", ["{", "[]", ""], ids=["cut", "another type", "empty"])
def test_a_damaged_configuration_is_said(tmp_path: Path, text: str) -> None:
    write_stand_in(tmp_path, "docker.io/library/web", text)
    with pytest.raises(ImageError, match="configuration of image"):
        ImageStore(tmp_path).resolve("web", True)
