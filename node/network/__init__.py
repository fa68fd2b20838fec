"""The cluster's network: namespaces of its own on a bridge (`netns`), or the host's loopback (`loopback`).

launcher ── fabric.py ──┐
node agent ── netns.py ─┼─ links.py        what is configured inside a namespace (pyroute2)
                        └─ namespaces.py   entering one from a thread; the client of the holder
holder.py               one process per cluster whose descriptors keep all of them alive
"""
