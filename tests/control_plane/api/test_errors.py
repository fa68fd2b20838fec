"""Status objects and field errors, word for word."""

from __future__ import annotations

import pytest

from control_plane.api import errors


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        pytest.param(
            errors.not_found("", "pods", "x"), 404, "NotFound", 'pods "x" not found', id="not found"
        ),
        pytest.param(
            errors.not_found("apps", "deployments", "x"),
            404,
            "NotFound",
            'deployments.apps "x" not found',
            id="group",
        ),
        pytest.param(
            errors.already_exists("", "pods", "x"),
            409,
            "AlreadyExists",
            'pods "x" already exists',
            id="exists",
        ),
        pytest.param(
            errors.conflict("", "pods", "x"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on pods "x": the object has been modified; please apply your changes '
            "to the latest version and try again",
            id="conflict",
        ),
        pytest.param(
            errors.forbidden("", "pods", "", "no"),
            403,
            "Forbidden",
            "pods is forbidden: no",
            id="forbidden, no name",
        ),
        pytest.param(
            errors.forbidden("", "", "", "no"), 403, "Forbidden", "forbidden: no", id="forbidden, no kind"
        ),
        pytest.param(errors.unauthorized(), 401, "Unauthorized", "Unauthorized", id="unauthorized"),
        pytest.param(errors.internal("x"), 500, "InternalError", "Internal error occurred: x", id="internal"),
        pytest.param(
            errors.method_not_allowed(),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
            id="method",
        ),
    ],
)
def test_statuses(error: errors.StatusError, code: int, reason: str, message: str) -> None:
    status = error.status()
    assert (status["code"], status["reason"], status["message"]) == (code, reason, message)
    assert status["kind"] == "Status"
    again = errors.StatusError.from_status(status)
    assert again.status() == status


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(errors.required("a"), "a: Required value", id="required"),
        pytest.param(errors.required("a", "b"), "a: Required value: b", id="required with detail"),
        pytest.param(errors.invalid_value("a", "x", "bad"), 'a: Invalid value: "x": bad', id="string"),
        pytest.param(errors.invalid_value("a", 3, "bad"), "a: Invalid value: 3: bad", id="number"),
        pytest.param(errors.invalid_value("a", True, "bad"), "a: Invalid value: true: bad", id="bool"),
        pytest.param(errors.invalid_value("a", None, "bad"), "a: Invalid value: null: bad", id="null"),
        pytest.param(
            errors.invalid_value("a", {"b": [1]}, "bad"), 'a: Invalid value: {"b":[1]}: bad', id="object"
        ),
        pytest.param(errors.duplicate("a", "x"), 'a: Duplicate value: "x"', id="duplicate"),
        pytest.param(
            errors.not_supported("a", "x", ["B", "C"]),
            'a: Unsupported value: "x": supported values: "B", "C"',
            id="not supported",
        ),
        pytest.param(errors.forbidden_field("a", "no"), "a: Forbidden: no", id="forbidden"),
        pytest.param(errors.too_long("a", 10), "a: Too long: may not be more than 10 bytes", id="too long"),
        pytest.param(errors.too_many("a", 2, 1), "a: Too many: 2: must have at most 1 item", id="too many"),
    ],
)
def test_field_errors(error: errors.FieldError, text: str) -> None:
    assert str(error) == text


def test_one_finding_is_bare_and_several_stand_in_brackets() -> None:
    one, two = errors.required("a"), errors.required("b")
    assert errors.invalid("", "Pod", "x", [one]).message == 'Pod "x" is invalid: a: Required value'
    both = errors.invalid("apps", "Deployment", "x", [one, two, one])
    assert both.message == 'Deployment.apps "x" is invalid: [a: Required value, b: Required value]'
    assert both.status()["details"]["causes"][1] == {
        "reason": "FieldValueRequired",
        "message": "Required value",
        "field": "b",
    }


def test_retry_after_is_in_the_details() -> None:
    assert errors.too_many_requests(retry_after_s=7).status()["details"] == {"retryAfterSeconds": 7}


def test_predicates_take_any_exception() -> None:
    assert errors.is_not_found(errors.not_found("", "pods", "x"))
    assert not errors.is_not_found(ValueError())
    assert errors.is_gone(errors.expired())
