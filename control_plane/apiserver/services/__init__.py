"""Addresses and node ports of Services: unique in the cluster, whatever the number of apiservers."""
