"""What a CustomResourceDefinition may say, worded as kube-apiserver words it. Its schemas: see `schema_rules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.api import errors, meta, names
from control_plane.api.validation.registry import Errors, immutable, on_create, on_update, one_of, spec_of
from control_plane.apiserver.crd import field_paths, jsonpath, schema_rules
from control_plane.apiserver.crd.served import ESTABLISHED

Object = Mapping[str, Any]

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
APPROVED = "api-approved.kubernetes.io"
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ["binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password"]
MAX_SELECTABLE_FIELDS = 8
MAX_DEPRECATION_CHARS = 256
REVIEW_VERSIONS = ("v1", "v1beta1")


@on_create(DEFINITIONS)
def definition(obj: Object) -> Errors:
    spec = spec_of(obj)
    declared, group = spec.get("names") or {}, spec.get("group", "")
    if meta.name_of(obj) != f"{declared.get('plural', '')}.{group}":
        why = 'must be spec.names.plural+"."+spec.group'
        yield errors.invalid_value("metadata.name", meta.name_of(obj), why)
    yield from _group(group)
    yield from one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    yield from _versions(spec.get("versions") or [])
    yield from _names(declared)
    yield from _conversion(spec.get("conversion") or {})
    yield from _stored_versions(obj)
    yield from _approval(obj)
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        why += "spec.versions[*].schema instead"
        yield errors.invalid_value("spec.preserveUnknownFields", True, why)


@on_update(DEFINITIONS)
def definition_update(new: Object, old: Object) -> Errors:
    spec, before = spec_of(new), spec_of(old)
    declared, declared_before = spec.get("names") or {}, before.get("names") or {}
    if meta.condition_is_true(old, ESTABLISHED):
        yield from immutable("spec.scope", spec.get("scope"), before.get("scope"))
        yield from immutable("spec.names.kind", declared.get("kind"), declared_before.get("kind"))
    yield from immutable("spec.group", spec.get("group"), before.get("group"))
    yield from immutable("spec.names.plural", declared.get("plural"), declared_before.get("plural"))


def _group(group: str) -> Errors:
    if not group:
        yield errors.required("spec.group")
    elif problems := list(names.dns_subdomain(group)):
        yield errors.invalid_value("spec.group", group, ",".join(problems))
    elif "." not in group:
        yield errors.invalid_value("spec.group", group, "should be a domain with at least one dot")


def _versions(versions: list[dict[str, Any]]) -> Errors:
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name", "")
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield errors.required(f"{path}.schema.openAPIV3Schema")
        if problems := list(names.dns1035_label(name)):
            yield errors.invalid_value(f"{path}.name", name, ",".join(problems))
        yield from _version(version, path)
    if len({version.get("name") for version in versions}) < len(versions):
        yield errors.invalid_value("spec.versions", versions, "must contain unique version names")
    if sum(1 for version in versions if version.get("storage")) != 1:
        why = "must have exactly one version marked as storage version"
        yield errors.invalid_value("spec.versions", versions, why)


def _version(version: dict[str, Any], path: str) -> Errors:
    yield from _deprecation(version, path)
    subresources = version.get("subresources") or {}
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema:
        status_enabled = subresources.get("status") is not None
        yield from schema_rules.validate(schema, f"{path}.schema.openAPIV3Schema", status_enabled)
    if subresources.get("scale") is not None:
        yield from _scale(subresources["scale"], f"{path}.subresources")
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _column(column, f"{path}.additionalPrinterColumns[{index}]")
    yield from _selectable(version.get("selectableFields") or [], schema or {}, f"{path}.selectableFields")


def _deprecation(version: dict[str, Any], path: str) -> Errors:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    where = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        yield errors.invalid_value(where, warning, "can only be set for deprecated versions")
        return
    if len(warning) > MAX_DEPRECATION_CHARS:
        yield errors.invalid_value(where, warning, "must be <= 256 characters long")
    if not warning:
        yield errors.invalid_value(where, warning, "must not be an empty string")
    bad = next((index for index, each in enumerate(warning) if not each.isprintable()), None)
    if bad is not None:
        why = f"must only contain printable UTF-8 characters; non-printable character found at index {bad}"
        yield errors.invalid_value(where, warning, why)


def _scale(scale: dict[str, Any], path: str) -> Errors:
    wanted = (
        ("specReplicasPath", (".spec.",), "should be a json path under .spec"),
        ("statusReplicasPath", (".status.",), "should be a json path under .status"),
        ("labelSelectorPath", (".spec.", ".status."), "should be a json path under either .spec or .status"),
    )
    for key, prefixes, why in wanted:
        given, where = scale.get(key) or "", f"{path}.scale.{key}"
        if not given:
            if key != "labelSelectorPath":
                yield errors.required(where)
        elif not given.startswith("."):
            yield errors.invalid_value(where, given, "must be a simple json path starting with .")
        elif not given.startswith(prefixes):
            yield errors.invalid_value(where, given, why)


def _column(column: dict[str, Any], path: str) -> Errors:
    if not column.get("name"):
        yield errors.required(f"{path}.name")
    kind, why = column.get("type"), f"must be one of {','.join(COLUMN_TYPES)}"
    if not kind:
        yield errors.required(f"{path}.type", why)
    elif kind not in COLUMN_TYPES:
        yield errors.invalid_value(f"{path}.type", kind, why)
    if column.get("format") and column["format"] not in COLUMN_FORMATS:
        told = f"must be one of {','.join(COLUMN_FORMATS)}"
        yield errors.invalid_value(f"{path}.format", column["format"], told)
    given = column.get("jsonPath") or ""
    if not given:
        yield errors.required(f"{path}.JSONPath")
    elif not given.startswith("."):
        yield errors.invalid_value(f"{path}.JSONPath", given, "must be a simple json path starting with .")
    else:
        try:
            jsonpath.compile_path(given)
        except jsonpath.JSONPathError as error:
            yield errors.invalid_value(f"{path}.JSONPath", given, str(error))


def _selectable(fields: list[dict[str, Any]], schema: Mapping[str, Any], path: str) -> Errors:
    seen: set[str] = set()
    for index, field in enumerate(fields):
        where, given = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not given:
            yield errors.required(where)
        elif "[" in given:
            yield errors.invalid_value(where, given, "is an invalid path: array notation is not allowed")
        elif not given.startswith("."):
            why = f"is an invalid path: expected [ or . but got: {given.partition('.')[0]}"
            yield errors.invalid_value(where, given, why)
        else:
            yield from _selectable_field(given, schema, where)
            if given in seen:
                yield errors.duplicate(where, given)
            seen.add(given)
    if len(seen) > MAX_SELECTABLE_FIELDS:
        yield errors.too_many(path, len(seen), MAX_SELECTABLE_FIELDS)


def _selectable_field(given: str, schema: Mapping[str, Any], where: str) -> Errors:
    steps = field_paths.steps(given) or []
    if steps[:1] == ["metadata"]:
        yield errors.invalid_value(where, given, "must not point to fields in metadata")
    found: Any = schema
    for step in steps:
        properties = found.get("properties") or {}
        found = properties.get(step, found.get("additionalProperties") if not properties else None)
        if not isinstance(found, Mapping):
            yield errors.invalid_value(where, given, "is an invalid path: does not refer to a valid field")
            return
    if found.get("type") not in ("string", "boolean", "integer"):
        why = "must point to a field of type string, boolean or integer. "
        why += "Enum string fields and strings with formats are allowed."
        yield errors.invalid_value(where, given, why)


def _names(declared: dict[str, Any]) -> Errors:
    for key in ("plural", "singular", "kind", "listKind"):
        if not declared.get(key):
            yield errors.required(f"spec.names.{key}")
    for key, mixed in (("plural", False), ("singular", False), ("kind", True), ("listKind", True)):
        value = declared.get(key) or ""
        problems = list(names.dns1035_label(value.lower() if mixed else value)) if value else []
        if problems:
            lead = "may have mixed case, but should otherwise match: " if mixed else ""
            yield errors.invalid_value(f"spec.names.{key}", value, lead + ",".join(problems))
    for index, short in enumerate(declared.get("shortNames") or ()):
        if problems := list(names.dns1035_label(short)):
            yield errors.invalid_value(f"spec.names.shortNames[{index}]", short, ",".join(problems))
    if declared.get("kind") and declared.get("kind") == declared.get("listKind"):
        why = "kind and listKind may not be the same"
        yield errors.invalid_value("spec.names.listKind", declared["listKind"], why)
    for index, category in enumerate(declared.get("categories") or ()):
        if problems := list(names.dns1035_label(category)):
            yield errors.invalid_value(f"spec.names.categories[{index}]", category, ",".join(problems))


def _conversion(conversion: dict[str, Any]) -> Errors:
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook")
    yield from one_of("spec.conversion.strategy", strategy, ("None", "Webhook"))
    config = (webhook or {}).get("clientConfig")
    where = "spec.conversion.webhookClientConfig"
    if strategy != "Webhook":
        if config is not None:
            why = "should not be set when strategy is not set to Webhook"
            yield errors.forbidden_field(where, why)
        return
    if config is None:
        yield errors.required(where, "required when strategy is set to Webhook")
    elif bool(config.get("url")) == bool(config.get("service")):
        yield errors.required(where, "exactly one of url or service is required")
    elif config.get("url") and not config["url"].startswith("https://"):
        why = "'https' is the only allowed URL scheme.; desired format: https://host[/path]"
        yield errors.invalid_value(f"{where}.url", config["url"], why)
    yield from _review_versions((webhook or {}).get("conversionReviewVersions") or [])


def _review_versions(versions: list[str]) -> Errors:
    where = "spec.conversion.conversionReviewVersions"
    if not versions:
        yield errors.required(where)
    elif not set(versions) & set(REVIEW_VERSIONS):
        why = f"must include at least one of {', '.join(REVIEW_VERSIONS)}"
        yield errors.invalid_value(where, versions, why)
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield errors.invalid_value(f"{where}[{index}]", version, "duplicate version")


def _stored_versions(obj: Object) -> Errors:
    stored = (obj.get("status") or {}).get("storedVersions") or []
    served = {version.get("name") for version in spec_of(obj).get("versions") or ()}
    for index, version in enumerate(stored):
        if version not in served:
            why = (
                f"missing from spec.versions; {version} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {version} and "
                f"removes {version} from status.storedVersions"
            )
            yield errors.invalid_value(f"status.storedVersions[{index}]", version, why)


def _approval(obj: Object) -> Errors:
    """Groups of the community's own need a link to the approval of the API."""
    group = spec_of(obj).get("group", "")
    if not any(group == own or group.endswith(f".{own}") for own in ("k8s.io", "kubernetes.io")):
        return
    where, approval = f"metadata.annotations[{APPROVED}]", meta.annotations(obj).get(APPROVED, "")
    why = (
        f"protected groups must have approval annotation {errors.quote(APPROVED)}, "
        "see https://github.com/kubernetes/enhancements/pull/1111"
    )
    if not approval:
        yield errors.required(where, why)
    elif not approval.startswith(("unapproved", "https://", "http://")):
        told = (
            f"protected groups must have approval annotation {errors.quote(APPROVED)} with either a URL or a "
            'reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111'
        )
        yield errors.invalid_value(where, approval, told)
