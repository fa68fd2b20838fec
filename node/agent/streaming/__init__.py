"""exec, attach and port-forward of the kubelet API: streams of pods over WebSocket and SPDY/3.1.

server.py        the endpoints: which container is meant, which protocol is spoken
command.py       what exec and attach have in common: options, outcome, terminal sizes
over_spdy.py     their streams as streams of a SPDY connection
over_websocket.py  their streams as channels of a WebSocket
port_forward.py  connections into a pod, over either
"""
