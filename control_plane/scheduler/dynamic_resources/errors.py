"""What is wrong with dynamic resources, as far as a pod has to hear of it.

DynamicResourceError
├── ClaimError    a pod's claim is not there, or is not one that it may use: the pod has to wait
└── RequestError  a claim, or the class it names, cannot be understood, on any node
    └── NodeError the same, on this node only
"""


class DynamicResourceError(Exception):
    pass


class ClaimError(DynamicResourceError):
    pass


class RequestError(DynamicResourceError):
    pass


class NodeError(RequestError):
    pass
