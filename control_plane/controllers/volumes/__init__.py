"""Persistent volumes: claims find a volume, or get one made; what is in use is kept.

claims.py       which volume fits a claim; the parts of a binding, as objects (pure)
volumes.py      what becomes of a volume, seen from its side (pure)
local_path.py   the built-in provisioner: a directory of a node (pure)
volume_side.py  carries that out
binder.py       the loop: persistentvolume-binder, from the claim's side
attachments.py  which CSI volumes are to be attached where (pure)
attach_detach.py  the loop: VolumeAttachments, and what nodes are told of them
attributes_class.py  the finalizer of classes in use
expander.py     a bound claim that asks for more
protection.py   the finalizers of claims and volumes in use
ephemeral.py    claims of pods with ephemeral volumes
"""

from control_plane.controllers.volumes.attach_detach import AttachDetachController
from control_plane.controllers.volumes.attributes_class import VolumeAttributesClassProtectionController
from control_plane.controllers.volumes.binder import PersistentVolumeBinder
from control_plane.controllers.volumes.ephemeral import EphemeralVolumeController
from control_plane.controllers.volumes.expander import PersistentVolumeExpander
from control_plane.controllers.volumes.protection import ClaimProtectionController, VolumeProtectionController

__all__ = [
    "AttachDetachController",
    "ClaimProtectionController",
    "EphemeralVolumeController",
    "PersistentVolumeBinder",
    "PersistentVolumeExpander",
    "VolumeAttributesClassProtectionController",
    "VolumeProtectionController",
]
