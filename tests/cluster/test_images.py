"""`balsa image` writes what the process runtime reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import cli
from node.runtime.interface import ImageError
from node.runtime.process.images import ImageStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BALSA_HOME", str(tmp_path))
    return tmp_path


def test_what_is_set_is_found_until_it_is_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(["image", "set", "--env", "A=b", "nginx", "--", "python3", "-m", "http.server", "80"]) == 0
    )
    image = ImageStore(home / "images").find("nginx:1.27")
    assert image is not None
    assert image.config == {"Entrypoint": ["python3"], "Cmd": ["-m", "http.server", "80"], "Env": ["A=b"]}
    capsys.readouterr()
    assert cli.main(["image", "list"]) == 0
    expected = "docker.io/library/nginx: python3 -m http.server 80 on this machine's files\n"
    assert capsys.readouterr().out == expected
    assert cli.main(["image", "rm", "nginx"]) == 0
    with pytest.raises(ImageError):
        ImageStore(home / "images").resolve("nginx:1.27", False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "nginx"], "say what it runs"),
        (["set", "nginx", "--"], "say what it runs"),
        (["set", "Nginx:", "--", "true"], "no name of an image"),
        (["set", "--env", "A", "nginx", "--", "true"], "NAME=VALUE"),
        (["rm", "nginx"], "nothing has been set"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert cli.main(["image", *words]) == 1
    assert said in capsys.readouterr().err
    assert not (home / "images").exists()
