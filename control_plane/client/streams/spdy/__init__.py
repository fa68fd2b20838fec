"""SPDY/3.1 (https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/), as far as Kubernetes uses it.

frames.py      frames as values, to and from bytes; nothing is trusted, nothing grows without bound
headers.py     header blocks: names and values, compressed with the draft's dictionary (dictionary.bin)
connection.py  the state of one connection, without I/O: bytes in, events out
session.py     a connection over a Duplex: streams to read and write
"""
