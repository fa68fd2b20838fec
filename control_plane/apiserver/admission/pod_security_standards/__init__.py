"""The Pod Security Standards: what the levels `baseline` and `restricted` allow a pod."""
