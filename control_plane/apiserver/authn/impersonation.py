"""Acting as someone else (`kubectl --as`): the headers, what they need permission for, and who results.

Each thing that is put on (the user, every group, the uid, every value of every extra) is a question to the
authorizer with the verb `impersonate`; one refusal refuses the request.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from control_plane.api import errors
from control_plane.apiserver.authn import service_accounts
from control_plane.apiserver.authn.front_proxy import extra_headers
from control_plane.apiserver.authn.user import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, UserInfo
from control_plane.apiserver.authz.forbidden import forbidden_error
from control_plane.apiserver.authz.interface import Attributes, Authorizer, Decision
from control_plane.apiserver.messages import Request

USER, UID, GROUP, EXTRA = "Impersonate-User", "Impersonate-Uid", "Impersonate-Group", "Impersonate-Extra-"
AUTHENTICATION = "authentication.k8s.io"
MAX_IMPERSONATED_VALUES = 256


@dataclass(frozen=True, slots=True)
class Impersonation:
    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def questions(self, requestor: UserInfo) -> list[Attributes]:
        """What the requestor must be allowed."""
        account = service_accounts.split_username(self.user)
        if account is not None:
            asked = [_question(requestor, "", "serviceaccounts", account[1], namespace=account[0])]
        else:
            asked = [_question(requestor, "", "users", self.user)]
        asked += [_question(requestor, "", "groups", group) for group in self.groups]
        for key, values in self.extra.items():
            asked += [_question(requestor, AUTHENTICATION, "userextras", value, key) for value in values]
        if self.uid:
            asked.append(_question(requestor, AUTHENTICATION, "uids", self.uid))
        return asked

    def resulting_user(self) -> UserInfo:
        groups = self.groups
        account = service_accounts.split_username(self.user)
        if account is not None and not groups:
            groups = service_accounts.groups(account[0])
        if self.user == ANONYMOUS:
            if ALL_UNAUTHENTICATED not in groups:
                groups = (*groups, ALL_UNAUTHENTICATED)
        elif not {ALL_AUTHENTICATED, ALL_UNAUTHENTICATED} & set(groups):
            groups = (*groups, ALL_AUTHENTICATED)
        return UserInfo(self.user, self.uid, groups, self.extra)


def read_headers(request: Request) -> Impersonation | None:
    """What the headers ask for; None if nothing. Raises StatusError 400 for groups, uid or extra without a
    user."""
    user, uid = request.headers.get(USER, ""), request.headers.get(UID, "")
    groups = tuple(request.headers_all(GROUP))
    extra = extra_headers(request, (EXTRA,))
    if not user:
        if groups or extra or uid:
            raise errors.bad_request(
                f"requested {[*groups, *extra, *filter(None, [uid])]} without impersonating a user"
            )
        return None
    if len(groups) + sum(map(len, extra.values())) > MAX_IMPERSONATED_VALUES:
        raise errors.bad_request(f"more than {MAX_IMPERSONATED_VALUES} values to impersonate")
    return Impersonation(user, uid, groups, extra)


async def impersonate(request: Request, requestor: UserInfo, authorizer: Authorizer) -> UserInfo:
    """The user to go on as: the requestor itself if no header asks for another. Raises StatusError."""
    wanted = read_headers(request)
    if wanted is None:
        return requestor
    for question in wanted.questions(requestor):
        decision, reason = await authorizer.authorize(question)
        if decision is not Decision.ALLOW:
            raise forbidden_error(question, reason)
    return wanted.resulting_user()


def _question(
    requestor: UserInfo, group: str, resource: str, name: str, subresource: str = "", namespace: str = ""
) -> Attributes:
    return Attributes(
        requestor,
        "impersonate",
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )
