"""Expressions and what they come to: the language, its macros, and Kubernetes' libraries."""

from __future__ import annotations

import math
from typing import Any

import pytest

from control_plane.apiserver import cel

OBJECT = {
    "name": "web",
    "replicas": 3,
    "ratio": 0.5,
    "labels": {"app": "web", "tier": "front"},
    "items": [1, 2, 3],
    "names": ["a", "b"],
    "nothing": None,
    "nested": [{"name": "x", "on": True}, {"name": "y", "on": False}],
}

TRUE = [
    # the language
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "7 / 2 == 3 && -7 / 2 == -3 && -7 % 3 == -1",
    "2u + 3u == 5u",
    "1.5 + 1.5 == 3.0",
    "1 < 2 && 1u <= 1u && 2.5 > 1.5 && 'a' < 'b'",
    "1 < 1.5",
    "'a' + 'b' == \"ab\"",
    "b'abc' == bytes('abc')",
    r"r'\d' == '\\d'",
    r"'\u00e9' == 'é' && '\x41' == 'A' && '\n'.size() == 1",
    "'''a'b''' == \"a'b\"",
    "true ? true : 1 / 0 == 1",
    "!false && !!true",
    "--1 == 1",
    "-object.replicas == -3",
    "[1, 2] + [3] == [1, 2, 3]",
    "2 in [1, 2] && !(4 in [1, 2])",
    "'app' in object.labels",
    "{'a': 1}['a'] == 1 && {'a': 1}.a == 1",
    "[10, 20][1] == 20",
    "object.labels['app'] == 'web'",
    "has(object.name) && !has(object.missing)",
    "object.replicas == 3",
    "object.nothing == null",
    "0x10 == 16",
    "1e3 == 1000.0",
    "dyn(1) == dyn(1.0)",
    "type(1) == int && type('a') == string && type([1]) == list && type({}) == map && type(null) == null_type",
    "type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp",
    "// a comment\n true",
    # errors that are absorbed
    "true || 1 / 0 == 1",
    "1 / 0 == 1 || true",
    "!(false && 1 / 0 == 1)",
    "!(1 / 0 == 1 && false)",
    "[1, 0].exists(x, 1 / x == 1)",
    "![0, 2].all(x, 1 / x == 1)",
    # macros
    "object.items.all(i, i > 0)",
    "object.items.exists(i, i == 2)",
    "object.items.exists_one(i, i > 2)",
    "object.items.map(i, i * 2) == [2, 4, 6]",
    "object.items.map(i, i > 1, i * 2) == [4, 6]",
    "object.items.filter(i, i % 2 == 1) == [1, 3]",
    "object.labels.all(k, object.labels[k].size() > 2)",
    "object.labels.exists(k, v, k == 'app' && v == 'web')",
    "['a', 'b'].all(i, v, i < 2)",
    "object.labels.transformMap(k, v, v + '!')['app'] == 'web!'",
    "['a', 'b'].transformList(i, v, v + string(i)) == ['a0', 'b1']",
    "['a', 'b'].transformMapEntry(i, v, {v: i}) == {'a': 0, 'b': 1}",
    "object.nested.exists(n, n.on && n.name == 'x')",
    "object.nested.map(n, n.name).join(',') == 'x,y'",
    "cel.bind(x, 3, x * x) == 9",
    "[[1, 2], [3]].all(l, l.all(i, i > 0))",
    # conversions
    "int('42') == 42 && int(3.9) == 3 && int(-3.9) == -3 && int(5u) == 5",
    "double('1.5') == 1.5 && double(2) == 2.0",
    "string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(b'a') == 'a'",
    "uint(7) == 7u",
    "bool('true') && !bool('false')",
    "int(timestamp('1970-01-01T00:01:00Z')) == 60",
    # times
    "duration('1h30m') == duration('90m')",
    "duration('1h').getMinutes() == 60 && duration('90s').getSeconds() == 90",
    "string(duration('1m30s')) == '90s'",
    "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
    "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
    "timestamp('2024-02-29T12:30:45.5Z').getMonth() == 1",
    "timestamp('2024-02-29T12:30:45Z').getDate() == 29 && timestamp('2024-02-29T12:30:45Z').getDayOfMonth() == 28",
    "timestamp('2024-02-29T23:30:45Z').getHours('+01:00') == 0",
    "timestamp('2024-07-01T12:00:00Z').getHours('America/New_York') == 8",
    # strings
    "size('né') == 2 && 'abc'.size() == 3",
    "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')",
    "'abc'.matches('^a.c$') && matches('abc', 'b')",
    "'hello'.charAt(1) == 'e'",
    "'hello'.indexOf('l') == 2 && 'hello'.indexOf('l', 3) == 3 && 'hello'.lastIndexOf('l') == 3",
    "'AbC'.lowerAscii() == 'abc' && 'AbC'.upperAscii() == 'ABC'",
    "'aaa'.replace('a', 'b', 2) == 'bba' && 'aaa'.replace('a', 'b') == 'bbb'",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
    "'hello'.substring(1) == 'ello' && 'hello'.substring(1, 3) == 'el'",
    "'  a '.trim() == 'a'",
    "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b'",
    "'%s is %d, %.2f and %x'.format(['a', 5, 1.5, 255]) == 'a is 5, 1.50 and ff'",
    "'%s'.format([[1, 'a', null]]) == '[1, a, null]'",
    # lists and sets
    "[1, 2, 3].isSorted() && !['b', 'a'].isSorted()",
    "[1, 2, 3].sum() == 6 && [1.5, 1.5].sum() == 3.0",
    "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])",
    "[3, 1, 2].sort() == [1, 2, 3] && ['b', 'a'].sort() == ['a', 'b'] && [].sort() == []",
    "['ccc', 'a', 'bb'].sortBy(e, e.size()) == ['a', 'bb', 'ccc'] && [3, 1, 2].sortBy(e, -e) == [3, 2, 1]",
    "object.nested.sortBy(e, !e.on).map(e, e.name) == ['x', 'y']",
    "[[1, 7], [0, 8], [1, 9]].sortBy(e, e[0]).map(e, e[1]) == [8, 7, 9]",
    "[[1, 2], [3]].flatten() == [1, 2, 3] && [[[1]], [[2]]].flatten(2) == [1, 2] && [[1]].flatten(0) == [[1]]",
    "[1, 2, 2, 1].distinct() == [1, 2] && [1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2]",
    "[1, 2, 3].slice(1, 3) == [2, 3] && [1].slice(0, 0) == []",
    "[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && !object.items.slice(0, 0).first().hasValue()",
    # regex
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'1 22 3'.findAll('[0-9]+') == ['1', '22', '3'] && '1 22 3'.findAll('[0-9]+', 1) == ['1']",
    # url
    "isURL('https://user@example.com:80/path?k=a&k=b') && !isURL('../relative')",
    "url('https://example.com:80/p/').getHost() == 'example.com:80'",
    "url('https://example.com:80/').getHostname() == 'example.com'",
    "url('https://[::1]:80/').getHostname() == '::1'",
    "url('https://example.com:80/').getPort() == '80' && url('https://example.com/').getPort() == ''",
    "url('https://example.com/a%20b').getEscapedPath() == '/a%20b'",
    "url('https://example.com/?k=a&k=b').getQuery() == {'k': ['a', 'b']}",
    "url('/path').getScheme() == ''",
    # ip and cidr
    "isIP('127.0.0.1') && isIP('::1') && !isIP('999.0.0.1')",
    "ip('192.168.0.1').family() == 4 && ip('::1').family() == 6",
    "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('169.254.0.1').isLinkLocalUnicast()",
    "ip('8.8.8.8').isGlobalUnicast() && ip('224.0.0.1').isLinkLocalMulticast()",
    "ip.isCanonical('::1') && !ip.isCanonical('0:0:0:0:0:0:0:1')",
    "string(ip('::1')) == '::1'",
    "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0')",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8",
    "cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
    # quantity
    "isQuantity('1.3Gi') && !isQuantity('1.3 GB')",
    "quantity('1k') == quantity('1000') && quantity('2').isGreaterThan(quantity('1500m'))",
    "quantity('50k').add('20k' == '' ? quantity('0') : quantity('20k')) == quantity('70k')",
    "quantity('5').sub(2).asInteger() == 3 && quantity('1500m').asApproximateFloat() == 1.5",
    "quantity('1').compareTo(quantity('2')) == -1 && quantity('-1').sign() == -1 && quantity('2').isInteger()",
    # semver
    "isSemver('1.2.3') && !isSemver('v1.2') && isSemver('v1.2', true)",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-alpha').isLessThan(semver('1.0.0'))",
    "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
    "semver('1.2.3').compareTo(semver('1.2.3')) == 0",
    # formats
    "!format.dns1123Label().validate('my-name').hasValue()",
    "format.dns1123Label().validate('My_Name').hasValue()",
    "format.named('dns1123Label').hasValue() && !format.named('nope').hasValue()",
    # optionals
    "object.?missing.orValue('x') == 'x' && object.?name.orValue('x') == 'web'",
    "object.labels[?'app'].value() == 'web' && !object.labels[?'zz'].hasValue()",
    "object.?labels.?app.orValue('') == 'web'",
    "optional.of(1).or(optional.of(2)).value() == 1 && optional.none().orValue(3) == 3",
    "object.?name.optMap(n, n + '!').value() == 'web!'",
    "[?object.?name, ?object.?missing] == ['web']",
    "{?'a': object.?missing, 'b': 1} == {'b': 1}",
    "!has(object.?labels.zz)",
]


@pytest.mark.parametrize("text", TRUE, ids=lambda text: text[:70])
def test_holds(text: str) -> None:
    assert run(text) is True


VALUES: list[tuple[str, Any]] = [
    ("object.items.size()", 3),
    ("9223372036854775807", 9223372036854775807),
    ("-9223372036854775808", -9223372036854775808),
    ("1.0 / 0.0", math.inf),
    ("[dyn(1), 'a', null]", [1, "a", None]),
    ("{'a': [1u]}", {"a": [1]}),
    ("object.labels.map(k, k)", ["app", "tier"]),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=lambda each: str(each)[:40])
def test_value(text: str, value: Any) -> None:
    assert run(text) == value


FAILS = [
    ("1 / 0", "division by zero"),
    ("1 % 0", "modulus by zero"),
    ("9223372036854775807 + 1", "integer overflow"),
    ("2u - 3u", "unsigned integer overflow"),
    ("object.missing", "no such key: missing"),
    ("object.labels['zz']", "no such key: zz"),
    ("[1][5]", "index out of bounds: 5"),
    ("object.name + 1", "no such overload"),
    ("object.name && true", "no such overload"),
    ("duration(string('nonsense'))", 'time: invalid duration "nonsense"'),
    ("optional.none().value()", "optional.none() dereference"),
    ("[].min()", "min called on empty list"),
    ("object.items.all(i, object.zz == i)", "no such key: zz"),
    ("'abc'.substring(5)", "index out of range: 5"),
    ("[1].slice(0, 2)", "cannot slice(0, 2), list is length 1"),
    ("[1].slice(-1, 1)", "cannot slice(-1, 1), negative indexes not supported"),
    ("[1].slice(1, 0)", "cannot slice(1, 0), start index must be less than or equal to end index"),
    ("[[1]].flatten(-1)", "level must be non-negative"),
    ("lists.range(-1)", "lists.range: size must be non-negative, got -1"),
    ("[dyn(1), 'a'].sortBy(e, e)", "list elements must have the same type"),
    ("[1].sortBy(e, object.labels)", "list elements must be comparable"),
    ("ip('::ffff:1.2.3.4')", "IPv4-mapped IPv6 address '::ffff:1.2.3.4' is not allowed"),
]


@pytest.mark.parametrize(("text", "message"), FAILS, ids=[text for text, _ in FAILS])
def test_has_no_value(text: str, message: str) -> None:
    with pytest.raises(cel.EvaluationError) as failure:
        run(text)
    assert str(failure.value) == message


def test_a_lazy_variable_is_computed_once_and_only_when_needed() -> None:
    asked = []
    value = cel.Lazy(lambda: asked.append(1) or 5)
    program = cel.compile_expression("b && a + a == 10", {"a": cel.INT, "b": cel.BOOL})
    assert program.evaluate({"a": value, "b": False}) is False
    assert asked == []
    assert program.evaluate({"a": value, "b": True}) is True
    assert asked == [1]


def test_a_pattern_cannot_be_made_slow() -> None:
    program = cel.compile_expression("text.matches('^(a+)+$')", {"text": cel.STRING})
    assert program.evaluate({"text": "a" * 5000 + "b"}) is False


def run(text: str) -> Any:
    return cel.compile_expression(text, {"object": cel.DYN}).evaluate({"object": OBJECT})
