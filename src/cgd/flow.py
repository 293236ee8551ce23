"""How many requests a server bears, found while it works: additive increase, multiplicative decrease.

A server says that it is overloaded with 429 or 503, or by getting slower without getting more done: with
continuous batching more requests in flight mean more throughput up to a knee, and only longer waits beyond it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_START = 16.0  # few enough for any server, enough to keep most of them busy
_SLOWER = 1.2  # seconds a token of a round, against those of the best round ...
_NO_FASTER = 1.05  # ... while it brings no more tokens a second: the knee is passed
_FORGET = 1.001  # by which the best pace is eased in each round that misses it: prompts and servers change
_LONGEST_PAUSE_S = 60.0


class Window:
    """Requests in flight at one server, never more than `most`.

    A round is as many replies as the window is wide. Until the first sign of overload the window doubles every
    round; after it, it grows by one a round, halves on overload (once for all requests that were in flight
    then), and shrinks by a tenth where two rounds in a row were slower than the best one and brought no more tokens a
    second: one alone may have met a hiccup of the server, the network or this machine.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a few requests, or fewer where `most` is smaller."""
        self.in_flight = 0
        self.done = 0
        self._most, self._clock = most, clock
        self._size = min(_START, float(most))
        self._doubling = True
        self._was_slower = False
        self._overloads = 0
        self._paused_until = self._last_cut = clock()
        self._begin_round()
        self._best_rate, self._best_pace = 0.0, float("inf")

    @property
    def size(self) -> int:
        """How many requests may be in flight."""
        return int(self._size)

    def has_room(self) -> bool:
        """Whether another request may be sent now."""
        return self.in_flight < self.size and self._clock() >= self._paused_until

    def pause_left(self) -> float:
        """Seconds until the server may be asked again."""
        return max(0.0, self._paused_until - self._clock())

    def succeeded(self, latency_s: float, tokens: int) -> None:
        """Count a reply; at the end of a round, widen or narrow the window."""
        self.done += 1
        self._overloads = 0
        self._round_replies += 1
        self._round_tokens += max(tokens, 1)
        self._round_latency += latency_s
        if self._round_replies >= self.size:
            self._end_round()

    def overloaded(self, sent_at: float, pause_s: float | None = None) -> None:
        """Halve the window and pause: as long as the server asked, else longer with every refusal in a row.

        Args:
            sent_at: when the request was sent; a request sent before the last cut says nothing new.
            pause_s: the server's Retry-After.
        """
        now = self._clock()
        if sent_at >= self._last_cut:
            self._size = max(1.0, self._size / 2)
            self._last_cut = now
            self._doubling = False
            self._overloads += 1
            self._begin_round()
        pause = min(2.0 ** (self._overloads - 1), _LONGEST_PAUSE_S) if pause_s is None else pause_s
        self._paused_until = max(self._paused_until, now + min(pause, _LONGEST_PAUSE_S))

    def _begin_round(self) -> None:
        self._round_started = self._clock()
        self._round_replies = self._round_tokens = 0
        self._round_latency = 0.0

    def _end_round(self) -> None:
        rate = self._round_tokens / max(self._clock() - self._round_started, 1e-9)  # tokens/s
        pace = self._round_latency / self._round_tokens  # seconds a token, as one request sees it
        slower = rate < _NO_FASTER * self._best_rate and pace > _SLOWER * self._best_pace
        if slower:
            self._best_pace *= _FORGET
        if slower and self._was_slower:
            self._size = max(1.0, 0.9 * self._size)
            self._doubling = False
        elif not slower:
            self._size = min(float(self._most), self._size * 2 if self._doubling else self._size + 1)
        if rate >= _NO_FASTER * self._best_rate:
            self._best_rate, self._best_pace = rate, pace
        self._was_slower = slower
        self._begin_round()
