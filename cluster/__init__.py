"""The launcher: one command that makes a cluster of local processes, watches it, breaks it and ends it.

It knows no more of the parts than their flags: everything it starts can be started by hand.
"""
