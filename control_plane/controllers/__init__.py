"""The control loops of kube-controller-manager: one file each, listed in `registry.py`.

A file holds a pure plan (what to write, given what the informers show and the time) and a thin loop around it.
"""
