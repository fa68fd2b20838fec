"""Which objects of a collection a request means: namespace, name, label and field selectors.

Which fields can be selected by is the strategy's to say. A selection of one name in one namespace is recognised, so
that it is a lookup and no scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from control_plane.api import errors, selectors
from control_plane.api.registry import Resource
from control_plane.api.selectors import FieldRequirement, FieldSelector, LabelSelector
from control_plane.api.strategy import field_values, unsupported_field
from control_plane.apiserver.core import Context
from control_plane.apiserver.watch_cache.entry import Entry, FieldsOf

# events.k8s.io names the fields otherwise than core, in whose form events are stored.
_STORED_NAMES = {"reportingController": "reportingComponent"}


def fields_of(stored: Resource) -> FieldsOf:
    """The function from an object, as stored, to its selectable fields; the same one each time."""
    known = _extractors.get(stored.gvr)
    if known is None or known.args[0] is not stored:  # a definition has changed
        known = _extractors[stored.gvr] = partial(field_values, stored)
    return known


_extractors: dict[tuple[str, str, str], partial[dict[str, str]]] = {}


@dataclass(frozen=True, slots=True)
class Selection:
    prefix: str  # of the items: the namespace
    item: str  # the one item, when the request is for a single object
    labels: LabelSelector
    fields: FieldSelector  # without metadata.name and metadata.namespace where `item` and `prefix` say it
    fields_of: FieldsOf

    @property
    def all(self) -> bool:
        """Whether there is nothing to look at inside the objects."""
        return self.labels.empty and self.fields.empty

    def covers(self, item: str) -> bool:
        return item == self.item if self.item else item.startswith(self.prefix)

    def matches(self, entry: Entry) -> bool:
        if self.labels.empty and self.fields.empty:
            return True
        labels, fields = entry.selectable(self.fields_of)
        return self.labels.matches(labels) and self.fields.matches(fields)


def selection(ctx: Context, label_selector: str, field_selector: str) -> Selection:
    """Raises StatusError BadRequest for a selector that cannot be parsed or names an unknown field."""
    resource, namespace, name = ctx.resource, ctx.namespace, ctx.info.name
    try:
        labels = selectors.parse_labels(label_selector)
        fields = selectors.parse_fields(field_selector)
    except selectors.SelectorError as error:
        raise errors.bad_request(str(error)) from error
    if complaint := unsupported_field(resource, fields.fields):
        raise errors.bad_request(complaint)
    if not resource.is_storage_version and not resource.custom:
        fields = FieldSelector(tuple(_stored_form(each) for each in fields.requirements))
    if name and fields.required_value("metadata.name") != name:
        fields = FieldSelector((*fields.requirements, FieldRequirement("metadata.name", "=", name)))
    prefix = f"{namespace}/" if namespace else ""
    named = fields.required_value("metadata.name") or ""
    single = prefix + named if named and (prefix or not resource.namespaced) else ""
    if single:
        fields = FieldSelector(tuple(each for each in fields.requirements if each != _named(named)))
    return Selection(prefix, single, labels, fields, fields_of(ctx.stored_resource))


def _named(name: str) -> FieldRequirement:
    return FieldRequirement("metadata.name", "=", name)


def _stored_form(requirement: FieldRequirement) -> FieldRequirement:
    field = requirement.field
    if field.startswith("regarding."):
        field = "involvedObject." + field.removeprefix("regarding.")
    return replace(requirement, field=_STORED_NAMES.get(field, field))
