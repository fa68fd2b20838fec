"""`balsa why`: the chain of causes behind something that is not as it should be, and the next thing to do.

command   fetches what may matter (the shell)
world     those objects, with the questions that explanations ask of them
pods, scheduling, workloads, claims, namespaces, services, nodes    one explanation per kind (pure)
render    text for people, JSON for programs
"""
