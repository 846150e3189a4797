"""VGG-16 (Simonyan and Zisserman, ICLR 2015), under the names of torchvision's and Charades' weights."""

from __future__ import annotations

from torch import Tensor, nn

DIM = 4096
_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0 is a pool


class VGG16(nn.Module):
    """Pictures to fc7 after its ReLU.

    Args:
        classes: Those of the class layer, of which features make no use: 1000 of ImageNet, 157 of Charades.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            channels = width or channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, DIM), nn.ReLU(), nn.Dropout(), nn.Linear(DIM, DIM), nn.ReLU(), nn.Dropout(),
            nn.Linear(DIM, classes),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """fc7 (B, 4096) of pictures (B, 3, 224, 224): RGB in [0, 1], less ImageNet's mean, by its deviation."""
        return self.classifier[:5](self.features(pictures).flatten(1))
