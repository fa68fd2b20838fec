"""What every Balsa process shares: flags, structured logs, the process shell, health and metrics.

It stands at the bottom because every other package uses it; it knows nothing of the store.
"""
