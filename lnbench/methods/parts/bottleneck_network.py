"""The network of a bottleneck adapter."""

import math

from torch import nn
from transformers.activations import ACT2FN


class Bottleneck(nn.Sequential):
    """W_up f(W_down x + b_down) + b_up, from (..., in_features) to (..., in_features), zero at first."""

    def __init__(self, in_features: int, bottleneck: int, activation: str) -> None:
        down, up = nn.Linear(in_features, bottleneck), nn.Linear(bottleneck, in_features)
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        for zero in (down.bias, up.weight, up.bias):
            nn.init.zeros_(zero)
        super().__init__(down, ACT2FN[activation], up)
        self.in_features = in_features
