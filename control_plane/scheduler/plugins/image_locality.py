"""Prefers nodes that have the pod's images already, those of its volumes included; an image that is on few nodes
counts less, so that one node does not draw all pods of that image. The ceiling is that of the containers alone."""

from __future__ import annotations

from collections.abc import Hashable

from control_plane.scheduler.framework.interface import MAX_NODE_SCORE, CycleState, ScorePlugin
from control_plane.scheduler.framework.node_info import NodeInfo
from control_plane.scheduler.framework.pod_info import PodInfo

MEGABYTE = 1024 * 1024
MIN_THRESHOLD_BYTES = 23 * MEGABYTE  # less is not worth it
MAX_CONTAINER_THRESHOLD_BYTES = 1000 * MEGABYTE  # per container, more makes no difference


class ImageLocality(ScorePlugin):
    name = "ImageLocality"

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        if not node.images:
            return 0
        nodes = self.handle.nodes
        total = len(nodes.all())
        held = 0
        for image in (*pod.images, *pod.volume_images):
            name = normalized(image)
            if size := node.images.get(name):
                held += int(size * (nodes.image_spread(name) / total))
        return priority(held, len(pod.images))

    def sign_score(self, pod: PodInfo) -> Hashable:
        return (pod.images, pod.volume_images)

    def stamp(self, pod: PodInfo) -> Hashable:
        """On how many nodes its images are. (When the number of nodes changes, everything is computed
        anew.)"""
        images = (*pod.images, *pod.volume_images)
        return tuple([self.handle.nodes.image_spread(normalized(image)) for image in images])


def priority(held_bytes: int, containers: int) -> int:
    most_bytes = MAX_CONTAINER_THRESHOLD_BYTES * containers
    held_bytes = max(MIN_THRESHOLD_BYTES, min(held_bytes, most_bytes))
    return MAX_NODE_SCORE * (held_bytes - MIN_THRESHOLD_BYTES) // (most_bytes - MIN_THRESHOLD_BYTES)


def normalized(image: str) -> str:
    """With its tag: `:latest` when there is none."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
