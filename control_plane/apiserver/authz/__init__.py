"""May they: RBAC, the Node authorizer and the fixed ones, put together by `build_authorizer`."""
