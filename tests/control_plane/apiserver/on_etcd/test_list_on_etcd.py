from tests.control_plane.apiserver.test_list import *  # noqa: F403
