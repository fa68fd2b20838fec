"""The `process` runtime: pods as plain processes in namespaces, with nothing installed.

    agent ── ProcessRuntime ──(socketpair)── spawner        one per agent, dies with it
                   │                             │ fork
                   └──(unix socket per pod)──── shim        one per pod, outlives the agent
                                                 │ clone
                                                 containers

The shim owns what must survive the agent: the processes, their logs and their exit codes.
"""
