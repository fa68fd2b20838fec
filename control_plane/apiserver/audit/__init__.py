"""Audit: who asked what, when, and what became of it, as far as a policy wants it recorded.

policy.py    which requests, and how much of them (audit.k8s.io/v1 Policy)
event.py     one request's record, from stage to stage
auditor.py   between the pipeline and the sinks
log_file.py  events as lines of a file that is rotated
webhook.py   events posted to a server
buffer.py    batches of them, in the background
"""
