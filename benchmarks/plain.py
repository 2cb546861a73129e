"""The reference networks as a user would write them in plain PyTorch, to compare ours with. They return logits."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def double(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU())


class CxrUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.d1, self.d2, self.d3, self.d4 = double(1, 32), double(32, 64), double(64, 64), double(64, 128)
        self.bottom = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU())
        self.u4, self.u3 = double(256, 256), double(256, 256)
        self.m4, self.m3 = nn.Conv2d(384, 256, 3, padding=1), nn.Conv2d(320, 256, 3, padding=1)
        self.m2, self.m1 = nn.Conv2d(192, 128, 3, padding=1), nn.Conv2d(96, 64, 3, padding=1)
        self.u2, self.u1 = double(256, 128), double(128, 64)
        self.out = nn.Conv2d(64, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        c = self.d3(F.max_pool2d(b, 2))
        d = self.d4(F.max_pool2d(c, 2))
        x = self.bottom(F.max_pool2d(d, 2))
        for skip, up, merge in (
            (d, self.u4, self.m4),
            (c, self.u3, self.m3),
            (b, self.u2, self.m2),
            (a, self.u1, self.m1),
        ):
            x = F.relu(merge(torch.cat([up(F.interpolate(x, scale_factor=2)), skip], 1)))
        return self.out(x)


class CtUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2, self.c3 = (nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 64), (64, 128), (128, 256)))
        self.u2, self.u1 = nn.Conv2d(256, 128, 2), nn.Conv2d(128, 64, 2)
        self.m2, self.m1 = nn.Conv2d(256, 128, 3, padding=1), nn.Conv2d(128, 64, 3, padding=1)
        self.drop, self.out = nn.Dropout(0.5), nn.Conv2d(64, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.c1(x))
        b = F.relu(self.c2(F.max_pool2d(a, 2)))
        x = F.relu(self.c3(F.max_pool2d(b, 2)))
        for skip, up, merge in ((b, self.u2, self.m2), (a, self.u1, self.m1)):
            x = F.relu(up(F.pad(F.interpolate(x, scale_factor=2), (0, 1, 0, 1))))
            x = F.relu(merge(torch.cat([x, skip], 1)))
        return self.out(self.drop(x))


class LvUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 128, 256, 512)
        self.down = nn.ModuleList(double(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(double(2 * w, w) for w in widths[-2::-1])
        self.out = nn.Conv2d(32, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in self.down[:-1]:
            x = level(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.down[-1](x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], 1))
        return self.out(x)


class NucleiUNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def pair(a: int, b: int, drop: float) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Dropout(drop), nn.Conv2d(b, b, 3, padding=1), nn.ReLU()
            )

        widths, drops = (16, 32, 64, 128, 256), (0.1, 0.1, 0.2, 0.2, 0.3)
        self.down = nn.ModuleList(pair(a, b, d) for a, b, d in zip((3, *widths), widths, drops, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(pair(2 * w, w, d) for w, d in zip(widths[-2::-1], (0.2, 0.2, 0.1, 0.1), strict=True))
        self.out = nn.Conv2d(16, 1, 1)

    forward = LvUNet.forward


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(
                layer
                for _ in range(2)
                for layer in (
                    nn.BatchNorm2d(width),
                    nn.LeakyReLU(0.0),
                    nn.Conv2d(width, width, 3, padding=1, bias=False),
                )
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResidualFcn(nn.Sequential):
    def __init__(self) -> None:
        layers: list[nn.Module] = [nn.Conv2d(1, 32, 3, padding=1, bias=False)]
        for width in (64, 128, 256, 512):
            layers += [
                nn.BatchNorm2d(width // 2),
                nn.LeakyReLU(0.0),
                nn.Conv2d(width // 2, width, 1, bias=False),
                nn.MaxPool2d(2),
                Residual(width),
                Residual(width),
            ]
        layers += [nn.BatchNorm2d(512), nn.LeakyReLU(0.0), nn.Conv2d(512, 1, 1), nn.Upsample(scale_factor=16)]
        super().__init__(*layers)
