"""Eviction: a node that runs short of something ends pods before the kernel ends anything it likes.

    machine ──measure──> signals ──Pressure (thresholds, grace, reclaim, transition)──> conditions of the node
                                          │                                             └─> what is short
                  pods' usage ──ranking───┴──> one pod a round: Failed, reason Evicted

All but `usage` and `manager` is pure. The rules, reasons and messages are kubelet's (pkg/kubelet/eviction).
"""
