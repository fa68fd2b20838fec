"""Volumes on a real file system: what containers would see, how it changes, and that nothing stays."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from node.agent.downward import NodeFacts
from node.agent.errors import VolumeError
from node.agent.pod_spec import Obj
from node.agent.references import Ref
from node.agent.tokens import Token
from node.agent.volumes import atomic_writer
from node.agent.volumes.interface import Services
from node.agent.volumes.manager import VolumeManager
from node.agent.volumes.payload import File
from tests.node.agent.conftest import make_pod

CONFIG = {"metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"}, "binaryData": {"c": "Aw=="}}
SECRET = {"metadata": {"name": "keys"}, "data": {"password": "c2VjcmV0"}}


class Cluster:
    def __init__(self, root: Path) -> None:
        self.objects: dict[tuple[str, str], Obj] = {
            ("ConfigMap", "settings"): CONFIG,
            ("Secret", "keys"): SECRET,
        }
        self.claims: dict[str, Obj] = {}
        self.persistent: dict[str, Obj] = {}
        self.token = Token("t0", 0.0, 100.0)
        self.manager = VolumeManager(
            root,
            Services(
                read=self._read,
                token=self._token,
                claim=self._claim,
                persistent_volume=self._persistent,
                node=lambda: NodeFacts("node-1", {"cpu": "4", "memory": "1Gi"}),
                host_ips=lambda: ("172.30.0.11",),
            ),
        )

    async def _read(self, ref: Ref) -> Obj | None:
        return self.objects.get((ref.kind, ref.name))

    async def _token(self, pod: Obj, audience: str, life_s: int) -> Token:
        return self.token

    async def _claim(self, namespace: str, name: str) -> Obj | None:
        return self.claims.get(name)

    async def _persistent(self, name: str) -> Obj | None:
        return self.persistent.get(name)

    async def mount(self, source: Obj, **mount: Any) -> Path:
        pod = pod_with(source, **mount)
        await self.manager.set_up(pod)
        (made,) = self.manager.mounts(pod, pod["spec"]["containers"][0], {"POD": "web"})
        return Path(made.host_path)


def pod_with(source: Obj, **mount: Any) -> Obj:
    container = {"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}
    pod = make_pod(containers=[container], volumes=[{"name": "v", **source}])
    pod["metadata"]["labels"] = {"app": "web"}
    return pod


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "node")


def files(path: Path) -> dict[str, str]:
    shown = [each for each in path.rglob("*") if each.is_file() and ".." not in str(each.relative_to(path))]
    return {str(each.relative_to(path)): each.read_text() for each in shown}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param({"configMap": {"name": "settings"}}, {"a": "1", "b": "2", "c": "\x03"}, id="all keys"),
        pytest.param(
            {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x/y"}]}},
            {"x/y": "1"},
            id="items",
        ),
        pytest.param({"configMap": {"name": "none", "optional": True}}, {}, id="optional"),
        pytest.param({"secret": {"secretName": "keys"}}, {"password": "secret"}, id="secret"),
        pytest.param({"emptyDir": {}}, {}, id="emptyDir"),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"l": 'app="web"'},
            id="downwardAPI",
        ),
        pytest.param(
            {
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "a"}]}},
                        {"secret": {"name": "keys"}},
                    ]
                }
            },
            {"token": "t0", "a": "1", "password": "secret"},
            id="projected",
        ),
    ],
)
async def test_contents(cluster: Cluster, source: Obj, expected: dict[str, str]) -> None:
    path = await cluster.mount(source)
    visible = {each.name for each in path.iterdir() if not each.name.startswith("..")}
    assert visible == {name.partition("/")[0] for name in expected}
    assert {name: (path / name).read_text() for name in expected} == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param({"configMap": {"name": "none"}}, 'configmap "none" not found', id="no config map"),
        pytest.param({"secret": {"secretName": "none"}}, 'secret "none" not found', id="no secret"),
        pytest.param(
            {"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent config key: z", id="no key",
        ),
        pytest.param(
            {"hostPath": {"path": "/nowhere", "type": "Directory"}},
            "hostPath type check failed: /nowhere is not a directory", id="no directory",
        ),
        pytest.param(
            {"persistentVolumeClaim": {"claimName": "none"}},
            'persistentvolumeclaim "none" not found', id="no claim",
        ),
    ],
)  # fmt: skip
async def test_what_is_missing_fails_the_mount(cluster: Cluster, source: Obj, message: str) -> None:
    with pytest.raises(VolumeError) as raised:
        await cluster.mount(source)
    assert str(raised.value) == f'MountVolume.SetUp failed for volume "v" : {message}'


async def test_modes(cluster: Cluster) -> None:
    items = [{"key": "password", "path": "p", "mode": 0o400}]
    path = await cluster.mount({"secret": {"secretName": "keys", "items": items, "defaultMode": 0o440}})
    assert stat.S_IMODE((path / "p").stat().st_mode) == 0o400


async def test_a_change_replaces_all_files_at_once(cluster: Cluster) -> None:
    source = {"configMap": {"name": "settings"}}
    path = await cluster.mount(source)
    before = (path / "..data").readlink()
    cluster.objects["ConfigMap", "settings"] = {"data": {"a": "9"}}
    await cluster.manager.refresh(pod_with(source))
    assert (path / "..data").readlink() != before
    assert sorted(each.name for each in path.iterdir() if not each.name.startswith("..")) == ["a"]
    assert (path / "a").read_text() == "9"
    assert not (path / before).exists()


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    content = {"a": File(b"1"), "b/c": File(b"2", 0o600)}
    assert atomic_writer.write(tmp_path, content)
    assert not atomic_writer.write(tmp_path, content)
    assert atomic_writer.write(tmp_path, {"a": File(b"1", 0o600)})


async def test_a_token_says_when_it_wants_to_be_renewed(cluster: Cluster) -> None:
    source = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    path = await cluster.mount(source)
    assert cluster.manager.renew_at_s("uid-web") == 80.0
    cluster.token = Token("t1", 80.0, 180.0)
    await cluster.manager.refresh(pod_with(source))
    assert (path / "token").read_text() == "t1"


async def test_claims_lead_to_their_volume(cluster: Cluster, tmp_path: Path) -> None:
    data = tmp_path / "data"
    cluster.claims["c"] = {
        "metadata": {"name": "c", "uid": "u"}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"},
    }  # fmt: skip
    cluster.persistent["pv"] = {
        "metadata": {"name": "pv"},
        "spec": {"hostPath": {"path": str(data), "type": "DirectoryOrCreate"}, "claimRef": {"uid": "u"}},
    }
    assert await cluster.mount({"persistentVolumeClaim": {"claimName": "c"}}) == data
    cluster.claims["c"]["status"]["phase"] = "Pending"
    with pytest.raises(VolumeError, match="PVC c is not bound"):
        await cluster.mount({"persistentVolumeClaim": {"claimName": "c"}})


@pytest.mark.parametrize(
    ("mount", "below"),
    [({"subPath": "a/b"}, "a/b"), ({"subPathExpr": "$(POD)/x"}, "web/x")],
    ids=["subPath", "subPathExpr"],
)
async def test_sub_paths_are_made(cluster: Cluster, mount: Obj, below: str) -> None:
    path = await cluster.mount({"emptyDir": {}}, **mount)
    assert path.is_dir()
    assert str(path).endswith(f"/v/{below}")


async def test_a_sub_path_stays_inside_its_volume(cluster: Cluster, tmp_path: Path) -> None:
    path = await cluster.mount({"emptyDir": {}})
    (path / "out").symlink_to(tmp_path)
    with pytest.raises(VolumeError, match="outside of its volume"):
        await cluster.mount({"emptyDir": {}}, subPath="out/x")
    with pytest.raises(VolumeError, match="must be relative"):
        await cluster.mount({"emptyDir": {}}, subPath="../x")


async def test_tear_down_removes_what_an_earlier_agent_set_up_and_keeps_the_nodes_files(
    cluster: Cluster, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    path = await cluster.mount({"emptyDir": {}})
    (path / "sub").mkdir()
    (path / "sub" / "file").write_text("x")
    (path / "sub").chmod(0o500)
    await cluster.mount({"hostPath": {"path": str(own)}})
    fresh = Cluster(tmp_path / "node")
    await fresh.manager.tear_down("uid-web")
    assert not path.exists()
    assert own.exists()
