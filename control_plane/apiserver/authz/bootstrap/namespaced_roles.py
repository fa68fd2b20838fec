"""The default Roles and RoleBindings of kube-system and kube-public, as data in the form of
`cluster_roles`."""

from __future__ import annotations

from control_plane.apiserver.authz.bootstrap.cluster_roles import EVENTS, READ

SYSTEM, PUBLIC = "kube-system", "kube-public"

# namespace -> role -> rules
ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    SYSTEM: {
        "extension-apiserver-authentication-reader": (
            f"{READ} | core | configmaps | extension-apiserver-authentication",
        ),
        "system:controller:bootstrap-signer": (f"{READ} | core | secrets",),
        "system:controller:cloud-provider": (f"create {READ} | core | configmaps",),
        "system:controller:token-cleaner": (f"delete {READ} | core | secrets", EVENTS),
        "system::leader-locking-kube-controller-manager": (
            "watch | core | configmaps",
            "get update | core | configmaps | kube-controller-manager",
        ),
        "system::leader-locking-kube-scheduler": (
            "watch | core | configmaps",
            "get update | core | configmaps | kube-scheduler",
        ),
    },
    PUBLIC: {
        "system:controller:bootstrap-signer": (
            f"{READ} | core | configmaps",
            "update | core | configmaps | cluster-info",
            EVENTS,
        ),
    },
}

# namespace -> binding -> (role, subjects)
BINDINGS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    SYSTEM: {
        "system::extension-apiserver-authentication-reader": (
            "extension-apiserver-authentication-reader",
            ("U system:kube-controller-manager", "U system:kube-scheduler"),
        ),
        "system::leader-locking-kube-controller-manager": (
            "system::leader-locking-kube-controller-manager",
            ("U system:kube-controller-manager", "S kube-system/kube-controller-manager"),
        ),
        "system::leader-locking-kube-scheduler": (
            "system::leader-locking-kube-scheduler",
            ("U system:kube-scheduler", "S kube-system/kube-scheduler"),
        ),
        "system:controller:bootstrap-signer": (
            "system:controller:bootstrap-signer",
            ("S kube-system/bootstrap-signer",),
        ),
        "system:controller:cloud-provider": (
            "system:controller:cloud-provider",
            ("S kube-system/cloud-provider",),
        ),
        "system:controller:token-cleaner": (
            "system:controller:token-cleaner",
            ("S kube-system/token-cleaner",),
        ),
    },
    PUBLIC: {
        "system:controller:bootstrap-signer": (
            "system:controller:bootstrap-signer",
            ("S kube-system/bootstrap-signer",),
        ),
    },
}
