"""How far SGD can have moved W, so that W need not be compared with W0 after every step."""

import math

import torch

from lib import finite


class Reach:
    """An upper bound on the deviation ||W - W0||_{2,inf} of SGD's iterates that is much cheaper than the deviation.

    A step on n examples moves row s of W by (lr / n) ||sum_i slope_i 1[w_s . x_i > 0] a_s x_i||, at most by
    (lr / n) sum_i |slope_i| ||x_i||, whatever s. The bound adds this up since the last look at W itself. To add up
    the slopes would wait for the device at every step: a coarser sum, with 1 / sqrt(m) for each |slope_i|, comes first,
    and the slopes are added up once it is above the radius V in question.

    ball: the `LazyBall` around W0.  longest: the largest ||x_i||, to be set again when the inputs change. The bound is
    that of W0 until the first `look`.
    """

    def __init__(self, ball, lr: float, longest: float = 0.0):
        self.ball, self.lr, self.longest = ball, lr, longest
        self.bound = self.summed = 0.0
        self.waiting = []

    def add(self, slope: torch.Tensor, lengths: torch.Tensor) -> None:
        """Count a step: slope (n,) is the `LossGradient`'s, lengths (n,) the ||x_i||."""
        self.waiting.append((slope, lengths))
        self.bound += self.lr * self.longest / math.sqrt(len(self.ball.W0)) + self.ball.rounding

    def may_exceed(self, V: float) -> bool:
        """Whether a row of W may be further than V from W0; False is certain."""
        if self.bound > V >= self.summed:
            self.sum_up()
        return self.bound > V

    def sum_up(self) -> float:
        """The bound, from the slopes of all steps so far. Raises RunError where they are not finite."""
        if self.waiting:
            slopes = torch.cat([slope / len(slope) for slope, _ in self.waiting]).abs_()
            lengths = torch.cat([lengths for _, lengths in self.waiting])
            self.summed += self.lr * torch.dot(slopes, lengths).item() + len(self.waiting) * self.ball.rounding
            self.waiting.clear()
        self.bound = self.summed = finite(self.summed)
        return self.bound

    def look(self, W: torch.Tensor) -> float:
        """The deviation of W itself, from which the bound then starts again. Raises RunError where it is not finite."""
        self.waiting.clear()
        self.bound = self.summed = finite(self.ball.deviation(W).item())
        return self.bound
