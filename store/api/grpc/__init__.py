"""The gRPC door of the etcd v3 API, on the same port as the JSON gateway: TLS's ALPN tells them apart.

frames      HTTP/2 frames: numbers, and how each is written
header_block  HPACK blocks → what a gRPC call says of itself
connection  the server's side of an HTTP/2 connection, bytes in and events out     (pure)
protobuf    the wire format of messages                                            (pure)
requests, responses   etcd's messages: field numbers of what comes and what goes   (pure)
server      the asyncio protocol: one task per call
unary, watch, streams   what each method of etcd's services does
"""
