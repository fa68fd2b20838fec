"""What runs on the pod's side of the `process` runtime. Standard library only: these processes are many, so
they are forked from one small interpreter that never sees site-packages."""
