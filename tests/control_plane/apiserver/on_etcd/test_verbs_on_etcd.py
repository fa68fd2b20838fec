from tests.control_plane.apiserver.test_verbs import *  # noqa: F403
