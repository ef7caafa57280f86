"""What a peer is timed at: a prefill, and decoding over a cache."""

from __future__ import annotations

import random
import statistics
import time
from abc import ABC, abstractmethod


class TimedPeer(ABC):
    def __init__(self, n_vocab: int) -> None:
        self.n_vocab = n_vocab
        self.random = random.Random(1)

    @abstractmethod
    def reset(self) -> None:
        """Empties the cache."""

    @abstractmethod
    def eval(self, tokens: list[int]) -> None:
        """Runs tokens that follow the earlier ones, to the end."""

    def _tokens(self, n: int) -> list[int]:
        return [self.random.randrange(100, self.n_vocab - 1) for _ in range(n)]

    def prefill(self, n: int) -> float:
        """Seconds of n tokens."""
        self.reset()
        tokens = self._tokens(n)
        start = time.perf_counter()
        self.eval(tokens)
        return time.perf_counter() - start

    def decode(self, depth: int, n: int) -> float:
        """Seconds a token over a cache of `depth`, the median of n."""
        self.reset()
        self.eval(self._tokens(max(1, depth)))
        times = []
        for token in self._tokens(n + 2):
            start = time.perf_counter()
            self.eval([token])
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])
