"""What a job's policies may say: which failures of pods count how, which successes are enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, names
from control_plane.api.validation.registry import Errors, not_negative, problems

_MAX_RULES, _MAX_SUCCESS_RULES = 20, 20
_MAX_EXIT_CODES, _MAX_CONDITIONS, _MAX_INDEXES_BYTES = 255, 20, 64 * 1024
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_MAX_FAILED_INDEXES, _MANY_COMPLETIONS, _MANY_PARALLEL = 100_000, 100_000, 10_000
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def job_policies(path: str, spec: Mapping[str, Any]) -> Errors:
    yield from _per_index(path, spec)
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        yield from _failure_policy(f"{path}.podFailurePolicy", policy, spec)
    yield from _replacement(path, spec)
    success = spec.get("successPolicy")
    if success is not None:
        if spec.get("completionMode") != "Indexed":
            yield errors.invalid_value(f"{path}.successPolicy", success, "requires indexed completion mode")
        else:
            yield from _success_policy(f"{path}.successPolicy", success, spec)
    if managed_by := spec.get("managedBy"):
        yield from _managed_by(f"{path}.managedBy", managed_by)


def _per_index(path: str, spec: Mapping[str, Any]) -> Errors:
    limit, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if limit is not None and spec.get("completionMode") != "Indexed":
        yield errors.invalid_value(f"{path}.backoffLimitPerIndex", limit, "requires indexed completion mode")
    if failed is None:
        return
    if limit is None:
        yield errors.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    completions, parallelism = spec.get("completions"), spec.get("parallelism", 0)
    if completions is not None and failed > completions:
        yield errors.invalid_value(
            f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"
        )
    if failed > _MAX_FAILED_INDEXES:
        yield errors.invalid_value(
            f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_MAX_FAILED_INDEXES}"
        )
    if completions is not None and completions > _MANY_COMPLETIONS and parallelism > _MANY_PARALLEL:
        yield errors.invalid_value(
            f"{path}.parallelism",
            parallelism,
            f"must be less than or equal to {_MANY_PARALLEL} when completions are above {_MANY_COMPLETIONS} "
            "and used with backoff limit per index",
        )


def _failure_policy(path: str, policy: Mapping[str, Any], spec: Mapping[str, Any]) -> Errors:
    pod = (spec.get("template") or {}).get("spec") or {}
    if pod.get("restartPolicy") != "Never":
        yield errors.invalid_value(
            f"{path.removesuffix('.podFailurePolicy')}.template.spec.restartPolicy",
            pod.get("restartPolicy", ""),
            'only "Never" is supported when podFailurePolicy is specified',
        )
    rules = policy.get("rules") or []
    if len(rules) > _MAX_RULES:
        yield errors.too_many(f"{path}.rules", len(rules), _MAX_RULES)
    containers = {each.get("name") for key in ("containers", "initContainers") for each in pod.get(key) or ()}
    for index, rule in enumerate(rules):
        yield from _failure_rule(f"{path}.rules[{index}]", rule, spec, containers)


def _failure_rule(
    path: str, rule: Mapping[str, Any], spec: Mapping[str, Any], containers: set[str | None]
) -> Errors:
    action, codes = rule.get("action", ""), rule.get("onExitCodes")
    conditions = rule.get("onPodConditions") or []
    if not action:
        yield errors.required(f"{path}.action", f"valid values: {_quoted(_ACTIONS)}")
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield errors.invalid_value(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    elif action not in _ACTIONS:
        yield errors.not_supported(f"{path}.action", action, _ACTIONS)
    if codes is not None:
        yield from _exit_codes(f"{path}.onExitCodes", codes, containers)
    if len(conditions) > _MAX_CONDITIONS:
        yield errors.too_many(f"{path}.onPodConditions", len(conditions), _MAX_CONDITIONS)
    for index, pattern in enumerate(conditions):
        where, kind, status = (
            f"{path}.onPodConditions[{index}]",
            pattern.get("type", ""),
            pattern.get("status", ""),
        )
        yield from problems(f"{where}.type", kind, names.label_key(kind))
        if not status:
            yield errors.required(f"{where}.status", f"valid values: {_quoted(_STATUSES)}")
        elif status not in _STATUSES:
            yield errors.not_supported(f"{where}.status", status, _STATUSES)
    if codes is not None and conditions:
        yield errors.invalid_value(
            path, "", "specifying both OnExitCodes and OnPodConditions is not supported"
        )
    if codes is None and not conditions:
        yield errors.invalid_value(path, "", "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(path: str, codes: Mapping[str, Any], containers: set[str | None]) -> Errors:
    operator, values, name = codes.get("operator", ""), codes.get("values") or [], codes.get("containerName")
    if not operator:
        yield errors.required(f"{path}.operator", f"valid values: {_quoted(_OPERATORS)}")
    elif operator not in _OPERATORS:
        yield errors.not_supported(f"{path}.operator", operator, _OPERATORS)
    if name is not None and name not in containers:
        yield errors.invalid_value(
            f"{path}.containerName",
            name,
            "must be one of the container or initContainer names in the pod template",
        )
    if not values:
        yield errors.invalid_value(f"{path}.values", values, "at least one value is required")
    elif len(values) > _MAX_EXIT_CODES:
        yield errors.too_many(f"{path}.values", len(values), _MAX_EXIT_CODES)
    taken: set[int] = set()
    for index, value in enumerate(values):
        where = f"{path}.values[{index}]"
        if operator == "In" and value == 0:
            yield errors.invalid_value(where, value, "must not be 0 for the In operator")
        if value in taken:
            yield errors.duplicate(where, value)
        taken.add(value)
    if values != sorted(values):
        yield errors.invalid_value(f"{path}.values", values, "must be ordered")


def _replacement(path: str, spec: Mapping[str, Any]) -> Errors:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return
    if spec.get("podFailurePolicy") is not None:
        if policy != "Failed":
            yield errors.not_supported(f"{path}.podReplacementPolicy", policy, ("Failed",))
    elif policy not in _REPLACEMENTS:
        yield errors.not_supported(f"{path}.podReplacementPolicy", policy, _REPLACEMENTS)


def _success_policy(path: str, policy: Mapping[str, Any], spec: Mapping[str, Any]) -> Errors:
    rules, completions = policy.get("rules") or [], spec.get("completions")
    if not rules:
        yield errors.required(
            f"{path}.rules", "at least one rules must be specified when the successPolicy is specified"
        )
    if len(rules) > _MAX_SUCCESS_RULES:
        yield errors.too_many(f"{path}.rules", len(rules), _MAX_SUCCESS_RULES)
    for index, rule in enumerate(rules):
        where, count, indexes = (
            f"{path}.rules[{index}]",
            rule.get("succeededCount"),
            rule.get("succeededIndexes"),
        )
        if count is None and indexes is None:
            yield errors.required(
                where, "at least one of succeededCount or succeededIndexes must be specified"
            )
        listed = None
        if indexes is not None:
            listed = _indexes(indexes, completions or 0)
            if len(indexes) > _MAX_INDEXES_BYTES:
                yield errors.too_long(f"{where}.succeededIndexes", _MAX_INDEXES_BYTES)
            if isinstance(listed, str):
                yield errors.invalid_value(
                    f"{where}.succeededIndexes", indexes, f"error parsing succeededIndexes: {listed}"
                )
        if count is None:
            continue
        yield from not_negative(f"{where}.succeededCount", count)
        if completions is not None and count > completions:
            yield errors.invalid_value(
                f"{where}.succeededCount",
                count,
                f"must be less than or equal to {completions} (the number of specified completions)",
            )
        if isinstance(listed, int) and count > listed:
            yield errors.invalid_value(
                f"{where}.succeededCount",
                count,
                f"must be less than or equal to {listed} (the number of indexes in the specified succeededIndexes field)",
            )


def _indexes(text: str, completions: int) -> int | str:
    """How many indexes `1,3-5` names; what is wrong with it otherwise."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        match = _RANGE.fullmatch(part)
        if match is None:
            return f"cannot convert string to integer for index: {errors.quote(part)}"
        low, high = int(match[1]), int(match[2] or match[1])
        if low >= completions or high >= completions:
            return "too large index: " + errors.quote(
                match[1] if low >= completions else match[2] or match[1]
            )
        if low <= last:
            return f"non-increasing order, previous: {last}, current: {low}"
        if match[2] and high <= low:
            return f"non-increasing order, previous: {low}, current: {high}"
        total, last = total + high - low + 1, high
    return total


def _managed_by(path: str, value: str) -> Errors:
    prefix, slash, rest = value.partition("/")
    if not slash or not prefix or not rest:
        yield errors.invalid_value(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from problems(path, prefix, names.dns_subdomain(prefix))
    if len(value) > 63:
        yield errors.too_long(path, 63)


def _quoted(values: tuple[str, ...]) -> str:
    """As Go prints a list of strings."""
    return f"[{' '.join(errors.quote(value) for value in values)}]"
