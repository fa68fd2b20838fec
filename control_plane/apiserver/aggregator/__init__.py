"""API groups that other servers serve, as part of this API (APIService).

priorities.py     the order of groups and versions in discovery
registration.py   a local APIService for every group version that is served here
remote.py         one APIService that is served elsewhere: where, and how it is trusted
availability.py   whether it can be: what its Service says, and what it answers
documents.py      its discovery and OpenAPI, merged with ours
proxy.py          requests handed on, in the name of the front proxy
controller.py     what keeps all of it current
"""
