"""Streams through an HTTP connection that was upgraded: what exec, attach and port-forward travel on.

    duplex.py     a connection as two directions of bytes, and the tunnel that joins two of them
    takeover.py   the server's side of an upgrade, over aiohttp
    handshake.py  the words of an upgrade: which protocols are offered, which one is answered
    spdy/         SPDY/3.1: frames and connection without I/O, and the session that does the I/O
    channels.py   the *.channel.k8s.io protocols: how streams share one WebSocket

Shared by the apiserver, which passes these streams on, and the node agent, where they end.
"""
