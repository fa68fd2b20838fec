"""`--as`, `--as-group`, `--as-uid`, `--as-user-extra`: what is asked, and who results."""

from __future__ import annotations

import pytest

from control_plane.api.errors import StatusError
from control_plane.apiserver.authn.impersonation import impersonate
from control_plane.apiserver.authn.user import UserInfo
from control_plane.apiserver.authz.interface import Attributes, Decision
from tests.control_plane.apiserver.authn.fakes import request

ADMIN = UserInfo("admin")


class Recorder:
    def __init__(self, refuse: str = "") -> None:
        self.asked: list[str] = []
        self._refuse = refuse

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        assert (a.user, a.verb) == (ADMIN, "impersonate")
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        self.asked.append(f"{resource} {a.namespace + '/' if a.namespace else ''}{a.name}")
        return (Decision.NO_OPINION, "no") if a.resource == self._refuse else (Decision.ALLOW, "")


AS_ANN = ("Impersonate-User", "ann")


@pytest.mark.parametrize(
    ("headers", "user", "asked"),
    [
        pytest.param([], ADMIN, [], id="nobody"),
        pytest.param([AS_ANN], UserInfo("ann", groups=("system:authenticated",)), ["users ann"], id="user"),
        pytest.param(
            [AS_ANN, ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops")],
            UserInfo("ann", groups=("dev", "ops", "system:authenticated")),
            ["users ann", "groups dev", "groups ops"],
            id="groups",
        ),
        pytest.param(
            [AS_ANN, ("Impersonate-Group", "system:unauthenticated")],
            UserInfo("ann", groups=("system:unauthenticated",)),
            ["users ann", "groups system:unauthenticated"],
            id="unauthenticated",
        ),
        pytest.param(
            [("Impersonate-User", "system:serviceaccount:ns:robot")],
            UserInfo(
                "system:serviceaccount:ns:robot",
                groups=("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            ),
            ["serviceaccounts ns/robot"],
            id="service account",
        ),
        pytest.param(
            [("Impersonate-User", "system:anonymous")],
            UserInfo("system:anonymous", groups=("system:unauthenticated",)),
            ["users system:anonymous"],
            id="anonymous",
        ),
        pytest.param(
            [
                AS_ANN,
                ("Impersonate-Uid", "7"),
                ("Impersonate-Extra-Scopes", "a"),
                ("Impersonate-Extra-scopes", "b"),
            ],
            UserInfo("ann", "7", ("system:authenticated",), {"scopes": ("a", "b")}),
            ["users ann", "userextras/scopes a", "userextras/scopes b", "uids 7"],
            id="uid and extra",
        ),
    ],
)
async def test_impersonate(headers: list, user: UserInfo, asked: list[str]) -> None:
    recorder = Recorder()
    assert await impersonate(request(headers), ADMIN, recorder) == user
    assert recorder.asked == asked


async def test_one_refusal_refuses_all() -> None:
    headers = [AS_ANN, ("Impersonate-Group", "system:masters")]
    with pytest.raises(StatusError) as caught:
        await impersonate(request(headers), ADMIN, Recorder(refuse="groups"))
    assert caught.value.code == 403
    assert caught.value.message == (
        'groups "system:masters" is forbidden: User "admin" cannot impersonate resource "groups" '
        'in API group "" at the cluster scope: no'
    )


@pytest.mark.parametrize("header", ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-x"])
async def test_a_user_must_be_named(header: str) -> None:
    with pytest.raises(StatusError, match="without impersonating a user") as caught:
        await impersonate(request([(header, "x")]), ADMIN, Recorder())
    assert caught.value.code == 400
