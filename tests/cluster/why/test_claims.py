"""Why a claim is not bound, or does not go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.why.build import CLAIMED, ago, check, claim, event, obj, pod, volume, why

Objects = dict[str, list[dict[str, Any]]]

LATE = obj("late", volumeBindingMode="", spec={}) | {
    "provisioner": "balsa.dev/local-path",
    "volumeBindingMode": "WaitForFirstConsumer",
}
BY_HAND = obj("hand") | {"provisioner": "kubernetes.io/no-provisioner"}

CLAIMS = [
    pytest.param({"persistentvolumeclaims": [claim({"phase": "Bound"})]}, "is bound to", "", id="bound"),
    pytest.param(
        {"persistentvolumeclaims": [claim()]},
        "there is no default one, and no volume matches there are no volumes",
        "make a storage class the default",
        id="no default class",
    ),
    pytest.param(
        {"persistentvolumeclaims": [claim(spec={"storageClassName": "late"})], "storageclasses": [LATE]},
        "waits for a pod that uses it",
        "create the pod",
        id="first consumer",
    ),
    pytest.param(
        {
            "persistentvolumeclaims": [claim(spec={"storageClassName": "late"})],
            "storageclasses": [LATE],
            "pods": [pod(on="", spec=CLAIMED)],
        },
        "pod/p uses it and has no node yet",
        "balsa why pod/p",
        id="its pod has no node",
    ),
    pytest.param(
        {
            "persistentvolumeclaims": [(broken := claim(spec={"storageClassName": "late"}))],
            "storageclasses": [LATE],
            "events": [event(broken, "ProvisioningFailed", "disk full")],
        },
        "cannot be provisioned by balsa.dev/local-path disk full",
        "see the log",
        id="provisioner fails",
    ),
    pytest.param(
        {
            "persistentvolumeclaims": [claim(spec={"storageClassName": "hand"})],
            "storageclasses": [BY_HAND],
            "persistentvolumes": [
                volume("small", "1Gi", storageClassName="hand"),
                volume("other", "9Gi", storageClassName="x"),
                volume("taken", "9Gi", storageClassName="hand", claimRef={"namespace": "n", "name": "c"}),
                volume("shared", "9Gi", storageClassName="hand", accessModes=["ReadOnlyMany"]),
            ],
        },
        "small: is too small: 1Gi of 2Gi persistentvolume/other: is of the storage class x "
        "persistentvolume/taken: belongs to the claim n/c persistentvolume/shared: does not offer ReadWriteOnce",
        "create a volume",
        id="no volume matches",
    ),
    pytest.param(
        {
            "persistentvolumeclaims": [
                claim(
                    {"phase": "Bound"}, deletionTimestamp=ago(60), finalizers=["kubernetes.io/pvc-protection"]
                )
            ],
            "pods": [pod(spec=CLAIMED)],
        },
        "pod/p still uses it",
        "delete pod/p",
        id="in use",
    ),
    pytest.param(
        {"persistentvolumeclaims": [claim({"phase": "Lost"})]}, "has lost its volume", "restore", id="lost"
    ),
]


@pytest.mark.parametrize(("objects", "expected", "step"), CLAIMS)
def test_claims(objects: Objects, expected: str, step: str) -> None:
    check(why("pvc/data", **objects), expected, step)
