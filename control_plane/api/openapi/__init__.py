"""OpenAPI as kubectl and client generators read it: v2 (JSON and protobuf) and v3, one document per group
version.

    paths.py      the operations of a resource, in both dialects
    documents.py  whole documents from definitions and resources; what the build writes
    gnostic.py    the protobuf form of a v2 document
    served.py     what a running server answers, from the built files
"""
