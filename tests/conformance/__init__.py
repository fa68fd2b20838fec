"""What the Kubernetes conformance tests do, over HTTP, against a whole cluster: a file per file of upstream's
`test/e2e`, a test per conformance test, its name in the docstring."""
