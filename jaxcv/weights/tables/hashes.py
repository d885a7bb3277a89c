"""The SHA-256 of published files.

A file's name ends with the first 8 digits, by PyTorch's convention. The whole is published by none of the sources: the
ones below are the digits that several public projects recorded for the file independently, and that begin with the 8.
"""

import re

WHOLE = (
    '0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a',  # resnet50.imagenet1k_v1
    '11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca',  # resnet50.imagenet1k_v2
    '258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384',  # fasterrcnn_resnet50_fpn.coco_v1
    '397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0',  # vgg16.imagenet1k_v1
    '7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934',  # efficientnet_b0.imagenet1k_v1
    'b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889',  # mobilenet_v2.imagenet1k_v1
    'b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f',  # resnet34.imagenet1k_v1
    'f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec',  # resnet18.imagenet1k_v1
)


def sha256_of(url: str) -> str | None:
    """Return what is known of the SHA-256 of a file: all 64 digits, the first 8, or None.

    Args:
        url: of the file.

    Returns:
        The digits, in lower case.

    Example:
        >>> sha256_of('https://download.pytorch.org/models/vgg11-8a719046.pth')
        '8a719046'
        >>> len(sha256_of('https://download.pytorch.org/models/resnet18-f37072fd.pth'))
        64
    """
    found = re.search(r'-([0-9a-f]{8})\.pth$', url)
    if found is None:
        return None
    return next((whole for whole in WHOLE if whole.startswith(found[1])), found[1])
