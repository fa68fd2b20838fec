from tests.control_plane.apiserver.test_create import *  # noqa: F403
from tests.control_plane.apiserver.test_delete import *  # noqa: F403
from tests.control_plane.apiserver.test_methods import *  # noqa: F403
from tests.control_plane.apiserver.test_patch import *  # noqa: F403
from tests.control_plane.apiserver.test_update import *  # noqa: F403
