"""Benchmarks: pytest-benchmark for the cores, drivers for the whole system.

    python -m bench                 all drivers
    python -m bench startup pods    some of them
    pytest bench                    the cores

A driver prints what it measured and writes it to bench/results/, with the command, the machine and the commit.
"""
