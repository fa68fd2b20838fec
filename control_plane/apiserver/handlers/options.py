"""Options of a request, from its query (writes, lists) or its body (deletes), checked as kube-apiserver does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from control_plane.api import errors
from control_plane.api.errors import FieldError, StatusError
from control_plane.apiserver.messages import Request, parse_flag

META_GROUP = "meta.k8s.io"
MAX_FIELD_MANAGER_CHARS = 128
STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
ORPHAN, BACKGROUND, FOREGROUND = "Orphan", "Background", "Foreground"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = WARN
    force: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    dry_run: bool = False
    grace_period_s: int | None = None
    propagation: str = ""  # "" when the client did not say
    uid: str = ""
    resource_version: str = ""
    explicitly_cascading: bool = False  # the older `orphanDependents: false`

    def as_object(self) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": f"{META_GROUP}/v1"}
        if self.grace_period_s is not None:
            found["gracePeriodSeconds"] = self.grace_period_s
        if self.propagation:
            found["propagationPolicy"] = self.propagation
        if self.dry_run:
            found["dryRun"] = ["All"]
        return found


@dataclass(frozen=True, slots=True)
class ListOptions:
    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout_s: int | None = None
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    include_object: str = "Metadata"


_INTEGER = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)


def write_options(request: Request, kind: str) -> WriteOptions:
    """`kind`: CreateOptions, UpdateOptions or PatchOptions, for the words of an error."""
    problems = [
        *_dry_run_problems(request.query.get("dryRun", [])),
        *_manager_problems(request.first("fieldManager")),
    ]
    validation = request.first("fieldValidation", WARN) or WARN
    if validation not in (STRICT, WARN, IGNORE):
        problems.append(errors.not_supported("fieldValidation", validation, sorted((IGNORE, STRICT, WARN))))
    _refuse(kind, problems)
    return WriteOptions(
        dry_run="All" in request.query.get("dryRun", []),
        field_manager=request.first("fieldManager"),
        field_validation=validation,
        force=parse_flag(request.first("force", "false") or "true"),
    )


def delete_options(request: Request, body: dict[str, Any] | None) -> DeleteOptions:
    """From the body when there is one, else from the query. Raises StatusError."""
    fields = dict(body) if body is not None else _delete_fields(request)
    dry_run = fields.get("dryRun") or []
    problems = _dry_run_problems(dry_run if isinstance(dry_run, list) else [str(dry_run)])
    propagation = fields.get("propagationPolicy") or ""
    orphan = fields.get("orphanDependents")
    if propagation and orphan is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(errors.invalid_value("propagationPolicy", propagation, detail))
    if propagation not in ("", ORPHAN, BACKGROUND, FOREGROUND):
        known = (FOREGROUND, BACKGROUND, ORPHAN, "nil")
        problems.append(errors.not_supported("propagationPolicy", propagation, known))
    _refuse("DeleteOptions", problems)
    if orphan is not None:
        propagation = ORPHAN if orphan else BACKGROUND
    grace = fields.get("gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise errors.bad_request(f"invalid gracePeriodSeconds: {grace}")
    preconditions = fields.get("preconditions") or {}
    return DeleteOptions(
        dry_run="All" in dry_run,
        grace_period_s=grace,
        propagation=propagation,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        explicitly_cascading=orphan is False,
    )


def _delete_fields(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if grace := request.first("gracePeriodSeconds"):
        fields["gracePeriodSeconds"] = _integer("gracePeriodSeconds", grace)
    if propagation := request.first("propagationPolicy"):
        fields["propagationPolicy"] = propagation
    if orphan := request.first("orphanDependents"):
        fields["orphanDependents"] = parse_flag(orphan)
    if dry_run := request.query.get("dryRun"):
        fields["dryRun"] = dry_run
    return fields


def list_options(request: Request) -> ListOptions:
    initial = request.query.get("sendInitialEvents")
    timeout = request.first("timeoutSeconds")
    limit = _integer("limit", request.first("limit") or "0")
    options = ListOptions(
        label_selector=request.first("labelSelector"),
        field_selector=request.first("fieldSelector"),
        resource_version=request.first("resourceVersion"),
        resource_version_match=request.first("resourceVersionMatch"),
        limit=max(limit, 0),
        continue_token=request.first("continue"),
        timeout_s=_integer("timeoutSeconds", timeout) if timeout else None,
        allow_bookmarks=_flag(request, "allowWatchBookmarks"),
        send_initial_events=parse_flag(initial[0]) if initial else None,
        include_object=request.first("includeObject") or "Metadata",
    )
    if options.include_object not in ("None", "Metadata", "Object"):
        known = ("None", "Metadata", "Object")
        raise errors.bad_request(f"includeObject must be one of {', '.join(known)}")
    return options


def check_list(options: ListOptions, watch: bool) -> None:
    """The combinations that mean nothing (apimachinery's ValidateListOptions). Raises StatusError Invalid."""
    problems: list[FieldError] = []
    match, version = options.resource_version_match, options.resource_version
    forbidden = errors.forbidden_field
    if watch and options.send_initial_events is not None:
        if match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            problems.append(forbidden("resourceVersionMatch", why))
    elif options.send_initial_events is not None:
        problems.append(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    elif match and watch:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        problems.append(forbidden("resourceVersionMatch", why))
    elif match:
        problems.extend(_match_problems(match, version, options.continue_token))
    _refuse("ListOptions", problems)


def _match_problems(match: str, version: str, token: str) -> list[FieldError]:
    problems = []
    if token:
        why = "resourceVersionMatch is forbidden when continue is provided"
        problems.append(errors.forbidden_field("resourceVersionMatch", why))
    if not version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        problems.append(errors.forbidden_field("resourceVersionMatch", why))
    if match not in ("Exact", "NotOlderThan"):
        known = ("Exact", "NotOlderThan", "")
        problems.append(errors.not_supported("resourceVersionMatch", match, known))
    elif match == "Exact" and version == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        problems.append(errors.forbidden_field("resourceVersionMatch", why))
    return problems


def parse_resource_version(text: str) -> int:
    """0 for an unset one. Raises StatusError."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        problem = errors.invalid_value(
            "resourceVersion", text, f'strconv.ParseUint: parsing "{text}": invalid syntax'
        )
        raise errors.invalid("", "", "", [problem])
    return int(text)


def _dry_run_problems(values: list[str]) -> list[FieldError]:
    if not values or set(values) == {"All"}:
        return []
    return [errors.not_supported("dryRun", values, ("All",))]


def _manager_problems(manager: str) -> list[FieldError]:
    problems = []
    if len(manager.encode()) > MAX_FIELD_MANAGER_CHARS:
        problems.append(errors.too_long("fieldManager", MAX_FIELD_MANAGER_CHARS))
    if not manager.isprintable():
        problems.append(
            errors.invalid_value("fieldManager", manager, "should only contain printable characters")
        )
    return problems


def _refuse(kind: str, problems: list[FieldError]) -> None:
    if problems:
        raise errors.invalid(META_GROUP, kind, "", problems)


def _flag(request: Request, name: str) -> bool:
    values = request.query.get(name) or ["false"]
    return parse_flag(values[0])


def _integer(name: str, text: str) -> int:
    """What Go's ParseInt takes for 64 bits."""
    if not _INTEGER.fullmatch(text):
        raise _bad_integer(name, text)
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise errors.bad_request(f'{name}: strconv.ParseInt: parsing "{text}": value out of range')
    return number


def _bad_integer(name: str, text: str) -> StatusError:
    return errors.bad_request(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax')
