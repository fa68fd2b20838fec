"""Admission policies: CEL expressions in the API that refuse or change what is written.

authorizer.py      `authorizer` in expressions: may the user do something else?
environment.py     what else expressions may speak of, and its values for a request
expressions.py     one expression: compiled once, evaluated within a budget
conditions.py      matchConditions, which webhooks have too
configuration.py   policies and their bindings, compiled once per change
matching.py        which requests a policy and a binding are about
params.py          the objects that parametrise a policy
validating.py      ValidatingAdmissionPolicy: deny, warn, audit
mutating.py        MutatingAdmissionPolicy: patches that expressions make (patches.py)
checking.py        expressions that do not compile are refused when they are written
"""
