"""CEL, the Common Expression Language, as Kubernetes uses it: validation rules of custom resources, admission
policies, match conditions.

    from control_plane.apiserver import cel

    program = cel.compile_expression("object.spec.replicas <= limit", {"object": cel.DYN, "limit": cel.INT})
    program.result_type                                # cel.BOOL: what is known of the result
    program.evaluate({"object": obj, "limit": 5})      # True, or EvaluationError

- `compile_expression(text, variables, functions=())` parses, checks and compiles once; a Program is immutable
  and may be kept and used from anywhere in the process. Raises `CompileError`, whose text is what a user of
  Kubernetes knows (`ERROR: <input>:1:5: undefined field 'x'` and so on, with the place).
- `variables` says what an expression may refer to, by type: BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, DURATION,
  TIMESTAMP, DYN (anything, checked when it runs), `list_of(T)`, `map_of(K, V)`, `object_of(name, fields)`. Plain
  JSON values are CEL values. An object's fields are known, so that a misspelled one does not compile; objects are
  dicts.
- `Program.evaluate(values, budget=None)` raises `EvaluationError` (no such key, division by zero …) or
  `BudgetExceeded`. A value that is a `Lazy` is computed when it is first used. A `Budget` may be shared by several
  evaluations; without one an expression may cost PER_CALL_LIMIT. Cost is counted as Kubernetes counts it: about one
  for each step, more for work on long strings and lists; so a hostile expression ends in bounded time.
- `functions` adds functions of the caller's own (an authorizer, say): see `functions.declare`. Values that are not
  CEL's own are instances of a class given to `opaque_type`.

Regular expressions are RE2's, as in Go, and take linear time. Kubernetes' libraries are in: lists, regex, url, ip,
cidr, quantity, semver, format, sets, strings, optional types, two-variable comprehensions; but for the authorizer,
which belongs to admission policies. Importing this package loads the compiler: import it where the first expression
is met.

    lexer.py  parser.py  ast.py     from text to a tree, macros unfolded
    types.py  checker: compiler.py  types, overloads, and from the tree to closures
    values.py  operators.py         what values are, and what operators do with them
    functions.py                    how functions are declared and chosen; library/ has them all
"""

from control_plane.apiserver.cel.budget import PER_CALL_LIMIT, Budget
from control_plane.apiserver.cel.compiler import Program, compile_expression
from control_plane.apiserver.cel.errors import BudgetExceeded, CELError, CompileError, EvaluationError
from control_plane.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    object_of,
    opaque_type,
)
from control_plane.apiserver.cel.values import Duration, Lazy, Timestamp, Uint

__all__ = [
    "BOOL",
    "BYTES",
    "DOUBLE",
    "DURATION",
    "DYN",
    "INT",
    "NULL",
    "PER_CALL_LIMIT",
    "STRING",
    "TIMESTAMP",
    "UINT",
    "Budget",
    "BudgetExceeded",
    "CELError",
    "CompileError",
    "Duration",
    "EvaluationError",
    "Lazy",
    "Program",
    "Timestamp",
    "Type",
    "Uint",
    "compile_expression",
    "list_of",
    "map_of",
    "object_of",
    "opaque_type",
]
