"""Admission webhooks: MutatingAdmissionWebhook and ValidatingAdmissionWebhook.

configuration.py   what the configurations say, in the order in which it applies
matching.py        whether a webhook is asked about a request, and in which version
review.py          the AdmissionReview that is sent, and what an answer must be
client.py          asking: pooled connections, by URL or by service
asking.py          one call, from request to verdict
mutating.py        one after the other, each on what the last one left
validating.py      all at once
"""
