"""How much the steps of a fit are damped (Levenberg, Q Appl Math 2:164, 1944)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Damping:
    """Part of the diagonal that is added to the normal equations, and how it changes.

    Attributes
    ----------
    value : float
        To try first in the next step.
    raised_to : float
        Least value after a step that failed; it is ten times the last otherwise.
    off_below, least : float
        After a step that succeeded a tenth, none when it was below ``off_below``, else at least
        ``least``.

    Examples
    --------
    >>> damping = Damping(1e-3)
    >>> for tried in damping.rising(tries=6):
    ...     if tried > 0.05:  # the step lowers the cost
    ...         damping.lower()
    ...         break
    >>> damping.value
    0.01
    """

    value: float = 0.0
    raised_to: float = 0.0
    off_below: float = 0.0
    least: float = 0.0

    def rising(self, tries: int) -> Iterator[float]:
        """Yield more and more damping, until a step succeeds and the loop is left.

        Parameters
        ----------
        tries : at most

        Yields
        ------
        float
        """
        for _ in range(tries):
            yield self.value
            self.higher()

    def higher(self) -> None:
        """Damp the next step more."""
        self.value = max(10 * self.value, self.raised_to)

    def lower(self) -> None:
        """Damp the next step less."""
        self.value = 0.0 if self.value < self.off_below else max(self.value / 10, self.least)
