"""The service proxy of a node.

rules.py          services and endpoint slices -> what to listen on and where it leads   (pure)
userspace.py      one listener: accepts, picks, copies both ways; UDP by flows
service_proxy.py  keeps the running listeners equal to the rules
host_ports.py     NodePorts on the host's 127.0.0.1, which one agent of the machine owns
"""
