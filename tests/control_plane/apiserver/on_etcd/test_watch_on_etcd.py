from tests.control_plane.apiserver.test_watch import *  # noqa: F403
