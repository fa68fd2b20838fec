"""NodeVolumeLimits as the tables of kube-scheduler's own tests have it: what counts against a driver's limit.

A volume is a word: `e1`, `g1` of the drivers for EBS and GCE; `i1` an EBS volume of the old kind behind a claim,
`n1` the same named by the pod itself; `p1` a claim without a volume yet, `q1` one of the old kind; `m1` one whose
volume is missing; `s1` one without a class; `h1` a path of the node; `x1` nothing that is attached."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from control_plane.client.types import Obj
from control_plane.scheduler.volumes.migration import Place, place_of
from tests.control_plane.scheduler.build import ZONE, FakeStorage, World, node, pod

EBS, GCE, OLD = "ebs.csi.aws.com", "pd.csi.storage.gke.io", "kubernetes.io/aws-ebs"
FULL = "node(s) exceed max volume count"
SOURCES = {
    "e": lambda name: {"csi": {"driver": EBS, "volumeHandle": name}},
    "g": lambda name: {"csi": {"driver": GCE, "volumeHandle": name}},
    "i": lambda name: {"awsElasticBlockStore": {"volumeID": name}},
    "h": lambda name: {"hostPath": {"path": f"/{name}"}},
}
CLASS_OF = {"p": "new", "q": "old", "m": "new", "s": ""}


def pod_with(words: str) -> Obj:
    return pod(on="n", volumes=[mounted(word) for word in words.split()])


def mounted(word: str) -> Obj:
    if word[0] == "n":
        return {"name": word, "awsElasticBlockStore": {"volumeID": word[1:]}}
    if word[0] == "x":
        return {"name": word, "configMap": {"name": word}}
    return {"name": word, "persistentVolumeClaim": {"claimName": word}}


def claim_of(word: str) -> Obj:
    has_volume = word[0] not in "pqs"
    spec: Obj = {
        "storageClassName": CLASS_OF.get(word[0], "new"),
        **({"volumeName": word} if has_volume else {}),
    }
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": word, "namespace": "default", "uid": word},
        "spec": spec,
    }


def storage_for(words: set[str], limit: int | None, attached: Sequence[str]) -> FakeStorage:
    volumes = [
        {"kind": "PersistentVolume", "metadata": {"name": word}, "spec": SOURCES[word[0]](word)}
        for word in words
        if word[0] in SOURCES
    ]
    count = {} if limit is None else {"allocatable": {"count": limit}}
    drivers = [{"name": driver, **count} for driver in (EBS, GCE)]
    others: list[Obj] = [
        {"kind": "StorageClass", "metadata": {"name": "new"}, "provisioner": EBS},
        {"kind": "StorageClass", "metadata": {"name": "old"}, "provisioner": OLD},
        {"kind": "CSINode", "metadata": {"name": "n"}, "spec": {"drivers": drivers}},
    ]
    for word in attached:
        spec = {"nodeName": "n", "attacher": EBS, "source": {"persistentVolumeName": word}}
        others.append({"kind": "VolumeAttachment", "metadata": {"name": word}, "spec": spec})
    return FakeStorage([claim_of(word) for word in words if word[0] not in "nx"], volumes, others)


@pytest.mark.parametrize(
    ("wanted", "there", "limit", "attached", "said"),
    [
        pytest.param("e1", [], 2, ["e8", "e9"], FULL, id="attached, though nobody runs there"),
        pytest.param("e1", [], 2, ["e9"], "", id="attached, and one more is allowed"),
        pytest.param("e1", ["x1", "e2 e3"], 4, [], "", id="below the limit"),
        pytest.param("e1", ["x1", "e2 e3"], 2, [], FULL, id="at the limit"),
        pytest.param("e1", ["x1", "e2 e3"], None, [], "", id="no limit"),
        pytest.param("e1", ["p1", "e2 e3"], 2, [], FULL, id="a claim without a volume counts"),
        pytest.param("e1", ["p1", "p1", "e2 e3"], 4, [], "", id="the same claim counts once"),
        pytest.param("e1", ["m1", "e2"], 2, [], FULL, id="a claim whose volume is missing counts"),
        pytest.param("e1", ["x1", "s1"], 2, [], "", id="a claim without a class does not"),
        pytest.param("e1", ["g1 g2", "e2 e3"], 2, [], FULL, id="of the same driver"),
        pytest.param("g1 g2", ["e2 e3", "x1"], 2, [], "", id="of another driver"),
        pytest.param("i1", ["i2 i3"], 2, [], FULL, id="old: by old"),
        pytest.param("n1", ["i2 i3"], 2, [], FULL, id="old: named by the pod"),
        pytest.param("q1", ["i2 i3"], 2, [], FULL, id="old: a claim without a volume"),
        pytest.param("i1", ["i2 i3"], None, [], "", id="old: no limit"),
        pytest.param("h1", ["e2 e3"], 2, [], "", id="a path of the node"),
        pytest.param("i1", ["e2 e3"], 2, [], FULL, id="old: by new"),
        pytest.param("n1", ["e2 e3", "i2"], 3, [], FULL, id="old: by both"),
        pytest.param("ne2", ["e2 e3", "i2"], 3, [], "", id="old: the same volume under both names"),
        pytest.param("e1", ["i2 i3"], 2, [], FULL, id="new: by old"),
        pytest.param("x1", ["e2 e3"], 2, [], "", id="nothing to attach"),
    ],
)
def test_limits(wanted: str, there: list[str], limit: int | None, attached: list[str], said: str) -> None:
    words = {word for text in [wanted, *there, *attached] for word in text.split()}
    storage = storage_for(words, limit, attached)
    world = World([node("n")], [pod_with(text) for text in there], storage=storage)
    obj = pod_with(wanted)
    del obj["spec"]["nodeName"]
    assert world.feasible("NodeVolumeLimits", obj) == {"n": said}


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ({"awsElasticBlockStore": {"volumeID": "aws://eu-1a/vol-1"}}, (EBS, "vol-1")),
        ({"gcePersistentDisk": {"pdName": "d"}}, (GCE, "projects/UNSPECIFIED/zones/z/disks/d")),
        ({"azureDisk": {"diskURI": "/x/d"}}, ("disk.csi.azure.com", "/x/d")),
        ({"cinder": {"volumeID": "c"}}, ("cinder.csi.openstack.org", "c")),
        ({"portworxVolume": {"volumeID": "w"}}, ("pxd.portworx.com", "w")),
        ({"nfs": {"server": "s"}}, None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_where_a_volume_of_the_old_kind_is(source: Obj, place: tuple[str, str] | None) -> None:
    volume = {"metadata": {"name": "v", "labels": {ZONE: "z"}}, "spec": source}
    assert place_of(volume) == (place and Place(*place))
