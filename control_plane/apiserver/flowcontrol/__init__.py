"""Priority and fairness: who is served next when more is asked than can be served at once.

A FlowSchema says which priority level a request belongs to and which flow within it; a PriorityLevelConfiguration
says how many seats the level has, what it lends and borrows, and whether who finds no seat waits in a queue or is
told to come again. Flows are dealt hands of queues (shuffle sharding), and the queues of a level are served in
virtual time, so that a flow that asks for much delays itself and few others.
"""
