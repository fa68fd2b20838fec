"""ResourceQuota as pure functions: what an object uses, which quotas it counts in, and the sums."""
