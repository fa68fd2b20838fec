"""One file per verb: how any resource is created, read, listed, watched, changed and deleted."""
