"""Certificates, keys and kubeconfig files: everything that says who a process is."""
