"""What can go wrong with an API request, as Kubernetes says it: `Status` objects and the field errors
inside them.

    ApiError
    └── StatusError        an answer with a code, a reason and kube-apiserver's wording
    FieldError             one finding of validation; becomes a cause of an Invalid StatusError

Both sides use it: the apiserver raises a StatusError and answers with `.status()`; the client rebuilds it
from an answer with `from_status`. Wording and reasons follow apimachinery's `api/errors` and
`util/validation/field`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

Status = dict[str, Any]

NO_VALUE = object()
"""The value of a finding that shows none."""


class FieldErrorType(StrEnum):
    """The value is the `reason` of a cause; `.words` is what a person reads."""

    NOT_FOUND = "FieldValueNotFound"
    REQUIRED = "FieldValueRequired"
    DUPLICATE = "FieldValueDuplicate"
    INVALID = "FieldValueInvalid"
    NOT_SUPPORTED = "FieldValueNotSupported"
    FORBIDDEN = "FieldValueForbidden"
    TOO_LONG = "FieldValueTooLong"
    TOO_SHORT = "FieldValueTooShort"
    TOO_MANY = "FieldValueTooMany"
    TOO_FEW = "FieldValueTooFew"
    INTERNAL = "InternalError"
    TYPE_INVALID = "FieldValueTypeInvalid"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    FieldErrorType.NOT_FOUND: "Not found",
    FieldErrorType.REQUIRED: "Required value",
    FieldErrorType.DUPLICATE: "Duplicate value",
    FieldErrorType.INVALID: "Invalid value",
    FieldErrorType.NOT_SUPPORTED: "Unsupported value",
    FieldErrorType.FORBIDDEN: "Forbidden",
    FieldErrorType.TOO_LONG: "Too long",
    FieldErrorType.TOO_SHORT: "Too short",
    FieldErrorType.TOO_MANY: "Too many",
    FieldErrorType.TOO_FEW: "Too few",
    FieldErrorType.INTERNAL: "Internal error",
    FieldErrorType.TYPE_INVALID: "Invalid value",
}
_WITHOUT_VALUE = {
    FieldErrorType.REQUIRED,
    FieldErrorType.FORBIDDEN,
    FieldErrorType.TOO_LONG,
    FieldErrorType.TOO_SHORT,
    FieldErrorType.INTERNAL,
}


@dataclass(frozen=True, slots=True, eq=False)
class FieldError:
    type: FieldErrorType
    field: str
    value: Any = ""
    detail: str = ""

    def body(self) -> str:
        """The message without the field's name: `Invalid value: "x": must be …`."""
        words = self.type.words
        if self.type not in _WITHOUT_VALUE and self.value is not NO_VALUE:
            words = f"{words}: {show_value(self.value)}"
        return f"{words}: {self.detail}" if self.detail else words

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"

    def cause(self) -> dict[str, str]:
        return {"reason": self.type.value, "message": self.body(), "field": self.field}


def show_value(value: Any) -> str:
    """A value as Go prints it inside a field error."""
    if isinstance(value, str):
        return quote(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def quote(text: str) -> str:
    """Go's %q for what JSON strings can hold."""
    return json.dumps(text, ensure_ascii=False)


def not_found_field(field: str, value: Any) -> FieldError:
    return FieldError(FieldErrorType.NOT_FOUND, field, value)


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(FieldErrorType.REQUIRED, field, "", detail)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(FieldErrorType.DUPLICATE, field, value)


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(FieldErrorType.INVALID, field, value, detail)


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(FieldErrorType.TYPE_INVALID, field, value, detail)


def not_supported(field: str, value: Any, valid: Iterable[str]) -> FieldError:
    known = ", ".join(quote(v) for v in valid)
    return FieldError(
        FieldErrorType.NOT_SUPPORTED, field, value, f"supported values: {known}" if known else ""
    )


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError(FieldErrorType.FORBIDDEN, field, "", detail)


def too_long(field: str, limit_bytes: int) -> FieldError:
    unit = "byte" if limit_bytes == 1 else "bytes"
    return FieldError(FieldErrorType.TOO_LONG, field, "", f"may not be more than {limit_bytes} {unit}")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    unit = "item" if limit == 1 else "items"
    return FieldError(FieldErrorType.TOO_MANY, field, actual, f"must have at most {limit} {unit}")


class ApiError(Exception):
    """Root of this package's errors."""


class StatusError(ApiError):
    """A failed request, ready to be sent as a `Status`."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] | None = dict(details) if details is not None else None
        self.retry_after_s = retry_after_s
        if retry_after_s:
            self.details = {**(self.details or {}), "retryAfterSeconds": retry_after_s}

    def status(self) -> Status:
        status: Status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        details = {k: v for k, v in (self.details or {}).items() if v not in ("", None, [])}
        if details:
            status["details"] = details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: Mapping[str, Any], code: int = 0) -> StatusError:
        details = status.get("details") or None
        return cls(
            int(status.get("code") or code or HTTPStatus.INTERNAL_SERVER_ERROR),
            str(status.get("reason") or ""),
            str(status.get("message") or "unknown"),
            details,
            (details or {}).get("retryAfterSeconds"),
        )

    def __repr__(self) -> str:
        return f"StatusError({self.code}, {self.reason!r}, {self.message!r})"


def success(details: Mapping[str, Any] | None = None) -> Status:
    status: Status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        status["details"] = {k: v for k, v in details.items() if v}
    return status


# --- Constructors. `resource` is the plural; kube-apiserver puts it in `details.kind` too.


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _details(group: str, resource: str, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "group": group, "kind": resource, **more}


def not_found(group: str, resource: str, name: str) -> StatusError:
    message = f"{_qualified(resource, group)} {quote(name)} not found"
    return StatusError(404, "NotFound", message, _details(group, resource, name))


def path_not_found() -> StatusError:
    """No such path or resource; kubectl shows this sentence."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, resource: str, name: str) -> StatusError:
    message = f"{_qualified(resource, group)} {quote(name)} already exists"
    return StatusError(409, "AlreadyExists", message, _details(group, resource, name))


def generate_name_conflict(group: str, resource: str, name: str, retry_after_s: int = 1) -> StatusError:
    message = f"{_qualified(resource, group)} {quote(name)} already exists, the server was not able to generate a unique name for the object"
    return StatusError(409, "AlreadyExists", message, _details(group, resource, name), retry_after_s)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(group: str, resource: str, name: str, why: str = MODIFIED) -> StatusError:
    message = f"Operation cannot be fulfilled on {_qualified(resource, group)} {quote(name)}: {why}"
    return StatusError(409, "Conflict", message, _details(group, resource, name))


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """Validation's answer. One finding is shown bare, several in brackets, doubles once."""
    messages = list(dict.fromkeys(str(e) for e in errors))
    what = f"{_qualified(kind, group)} {quote(name)} is invalid"
    if messages:
        what += ": " + (messages[0] if len(messages) == 1 else "[" + ", ".join(messages) + "]")
    details = _details(group, kind, name, causes=[e.cause() for e in errors])
    return StatusError(422, "Invalid", what, details)


def forbidden(group: str, resource: str, name: str, why: str) -> StatusError:
    qualified = _qualified(resource, group)
    if not qualified:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{qualified} is forbidden: {why}"
    else:
        message = f"{qualified} {quote(name)} is forbidden: {why}"
    return StatusError(403, "Forbidden", message, _details(group, resource, name))


def unauthorized(message: str = "Unauthorized") -> StatusError:
    return StatusError(401, "Unauthorized", message)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def method_not_allowed(group: str = "", resource: str = "", action: str = "") -> StatusError:
    message = "the server does not allow this method on the requested resource"
    if action:
        message = f"{action} is not supported on resources of kind {quote(_qualified(resource, group))}"
    return StatusError(405, "MethodNotAllowed", message, _details(group, resource, ""))


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", message)


def too_large(limit_bytes: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity is too large: limit is {limit_bytes}")


def gone(message: str) -> StatusError:
    return StatusError(410, "Gone", message)


def expired(message: str = "The resourceVersion for the provided watch is too old.") -> StatusError:
    return StatusError(410, "Expired", message)


def resource_version_too_large(minimum: int, current: int, retry_after_s: int = 1) -> StatusError:
    message = f"Too large resource version: {minimum}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(504, "Timeout", message, {"causes": [cause]}, retry_after_s)


def too_many_requests(message: str = "", retry_after_s: int = 1) -> StatusError:
    return StatusError(
        429, "TooManyRequests", message or "Too many requests, please try again later.", {}, retry_after_s
    )


def timeout(message: str, retry_after_s: int | None = None) -> StatusError:
    return StatusError(504, "Timeout", f"Timeout: {message}", {}, retry_after_s)


def server_timeout(group: str, resource: str, action: str, retry_after_s: int = 1) -> StatusError:
    message = (
        f"The {action} operation against {_qualified(resource, group)} could not be completed at this time, "
        "please try again."
    )
    return StatusError(500, "ServerTimeout", message, _details(group, resource, action), retry_after_s)


def internal(message: str) -> StatusError:
    return StatusError(
        500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]}
    )


def service_unavailable(message: str, retry_after_s: int | None = None) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message, None, retry_after_s)


# --- Predicates; they take any exception so that `except` clauses stay short.


def _has_reason(error: BaseException, *reasons: str) -> bool:
    return isinstance(error, StatusError) and error.reason in reasons


def is_not_found(error: BaseException) -> bool:
    return _has_reason(error, "NotFound")


def is_already_exists(error: BaseException) -> bool:
    return _has_reason(error, "AlreadyExists")


def is_conflict(error: BaseException) -> bool:
    return _has_reason(error, "Conflict")


def is_invalid(error: BaseException) -> bool:
    return _has_reason(error, "Invalid")


def is_forbidden(error: BaseException) -> bool:
    return _has_reason(error, "Forbidden")


def is_unauthorized(error: BaseException) -> bool:
    return _has_reason(error, "Unauthorized")


def is_gone(error: BaseException) -> bool:
    """True where a watch or a continue token is too old: list again."""
    return _has_reason(error, "Gone", "Expired")


def is_timeout(error: BaseException) -> bool:
    return _has_reason(error, "Timeout", "ServerTimeout")


def is_too_many_requests(error: BaseException) -> bool:
    return _has_reason(error, "TooManyRequests") or (isinstance(error, StatusError) and error.code == 429)


def is_service_unavailable(error: BaseException) -> bool:
    return _has_reason(error, "ServiceUnavailable")
