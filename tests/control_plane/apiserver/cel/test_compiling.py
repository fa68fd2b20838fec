"""What does not compile, in which words, and the types of what does."""

from __future__ import annotations

import pytest

from control_plane.apiserver import cel

TYPED = {
    "self": cel.object_of(
        "object",
        {
            "replicas": cel.INT,
            "name": cel.STRING,
            "tags": cel.list_of(cel.STRING),
            "labels": cel.map_of(cel.STRING, cel.STRING),
            "x__dash__y": cel.INT,
            "__namespace__": cel.STRING,
            "when": cel.TIMESTAMP,
        },
    )
}

REFUSED = [
    (
        "self.foo > 1",
        "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo > 1\n | ....^",
    ),
    (
        "other == 1",
        "ERROR: <input>:1:1: undeclared reference to 'other' (in container '')\n | other == 1\n | ^",
    ),
    (
        "self.replicas + 'a'",
        "ERROR: <input>:1:15: found no matching overload for '_+_' applied to '(int, string)'\n"
        " | self.replicas + 'a'\n | ..............^",
    ),
    (
        "self.replicas == 1.0",
        "ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(int, double)'\n"
        " | self.replicas == 1.0\n | ..............^",
    ),
    (
        "size(self.replicas)",
        "ERROR: <input>:1:5: found no matching overload for 'size' applied to '(int)'\n"
        " | size(self.replicas)\n | ....^",
    ),
    (
        "self.name.nope()",
        "ERROR: <input>:1:15: undeclared reference to 'nope' (in container '')\n"
        " | self.name.nope()\n | ..............^",
    ),
    (
        "self.replicas.all(x, true)",
        "ERROR: <input>:1:5: expression of type 'int' cannot be range of a comprehension "
        "(must be list, map, or dynamic)\n | self.replicas.all(x, true)\n | ....^",
    ),
    (
        "self.replicas >",
        "ERROR: <input>:1:16: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', "
        "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n"
        " | self.replicas >\n | ...............^",
    ),
    (
        "[1, 'a']",
        "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^",
    ),
    (
        "{'a': 1, 'b': 'c'}",
        "ERROR: <input>:1:15: expected type 'int' but found 'string'\n | {'a': 1, 'b': 'c'}\n | ..............^",
    ),
    (
        "{'a': 1, 2: 2}",
        "ERROR: <input>:1:10: expected type 'string' but found 'int'\n | {'a': 1, 2: 2}\n | .........^",
    ),
    (
        "self.name.matches('[')",
        "ERROR: <input>:1:19: invalid matches argument\n | self.name.matches('[')\n | ..................^",
    ),
    (
        "self.when > timestamp('now')",
        "ERROR: <input>:1:23: invalid timestamp argument\n | self.when > timestamp('now')\n"
        " | ......................^",
    ),
    (
        "duration('1x')",
        "ERROR: <input>:1:10: invalid duration argument\n | duration('1x')\n | .........^",
    ),
    (
        "self.tags.sortBy(t, [t])",
        "ERROR: <input>:1:17: found no matching overload for '@sortByAssociatedKeys' applied to "
        "'list(string).(list(list(string)))'\n | self.tags.sortBy(t, [t])\n | ................^",
    ),
    ("package == 1", "ERROR: <input>:1:1: reserved identifier: package\n | package == 1\n | ^"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text for text, _ in REFUSED])
def test_does_not_compile(text: str, message: str) -> None:
    with pytest.raises(cel.CompileError) as failure:
        cel.compile_expression(text, TYPED)
    assert str(failure.value) == message


RESULTS = [
    ("self.replicas > 1", cel.BOOL),
    ("self.name + 'a'", cel.STRING),
    ("self.tags.map(t, t.size())", cel.list_of(cel.INT)),
    ("self.labels", cel.map_of(cel.STRING, cel.STRING)),
    ("self.when.getHours()", cel.INT),
    ("self.replicas > 1 ? 'a' : 'b'", cel.STRING),
    ("[dyn(1), 'a']", cel.list_of(cel.DYN)),
    ("[self.tags].flatten()", cel.list_of(cel.STRING)),
    ("self.tags.sortBy(t, t.size())", cel.list_of(cel.STRING)),
    ("self.tags.first()", cel.types.optional_of(cel.STRING)),
    ("self.x__dash__y", cel.INT),
]


@pytest.mark.parametrize(("text", "type_"), RESULTS, ids=[text for text, _ in RESULTS])
def test_type_of_the_result(text: str, type_: cel.Type) -> None:
    assert cel.compile_expression(text, TYPED).result_type == type_


def test_escaped_names_are_those_of_the_object() -> None:
    program = cel.compile_expression("self.x__dash__y == 1 && self.__namespace__ == 'n'", TYPED)
    assert program.evaluate({"self": {"x-y": 1, "namespace": "n"}}) is True
