"""What is refused by authentication and authorization, in etcd's codes and words.

AuthError (RequestError)
├── UserEmpty, UserNotFound, UserExists, RoleEmpty, RoleNotFound, RoleExists
├── RoleNotGranted, PermissionNotGranted, PermissionNotGiven
├── RootUserMissing, RootRoleMissing, InvalidManagement      what would lock everybody out
├── NotEnabled, AuthFailed, NoPassword, InvalidToken, OldRevision
└── PermissionDenied
"""

from __future__ import annotations

from store.mvcc.errors import Code, RequestError


class AuthError(RequestError):
    pass


class UserEmpty(AuthError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: user name is empty"


class UserNotFound(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: user name not found"


class UserExists(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: user name already exists"


class RoleEmpty(AuthError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: role name is empty"


class RoleNotFound(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: role name not found"


class RoleExists(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: role name already exists"


class RoleNotGranted(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: role is not granted to the user"


class PermissionNotGranted(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: permission is not granted to the role"


class PermissionNotGiven(AuthError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: permission not given"


class RootUserMissing(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: root user does not exist"


class RootRoleMissing(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: root user does not have root role"


class InvalidManagement(AuthError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: invalid auth management"


class NotEnabled(AuthError):
    code = Code.FAILED_PRECONDITION
    message = "etcdserver: authentication is not enabled"


class AuthFailed(AuthError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: authentication failed, invalid user ID or password"


class NoPassword(AuthError):
    code = Code.UNKNOWN
    message = "auth: authentication failed, password was given for no password user"


class InvalidToken(AuthError):
    code = Code.UNAUTHENTICATED
    message = "etcdserver: invalid auth token"


class OldRevision(AuthError):
    code = Code.INVALID_ARGUMENT
    message = "etcdserver: revision of auth store is old"


class PermissionDenied(AuthError):
    code = Code.PERMISSION_DENIED
    message = "etcdserver: permission denied"
