"""Gains: how far the jaw, the lips and the upper face move and how often the eyes blink, with p, b, m still closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .channels import CHANNELS, LOWER_FACE
from .errors import PTalkerError

if TYPE_CHECKING:
    from torch import Tensor

    from .model.contact import Contact

MOST = 3.0
# mouthClose undoes what jawOpen does to the lips, so it goes with the jaw: a closure stays one.
JAW = tuple(i for i in LOWER_FACE if CHANNELS[i].startswith("jaw") or CHANNELS[i] == "mouthClose")
LIPS = tuple(i for i in LOWER_FACE if i not in JAW and CHANNELS[i] != "tongueOut")


@dataclass(frozen=True)
class Gains:
    """1 is as the model says, 0 is none. ``blink`` is how often, not how far: half a blink is no blink."""

    jaw: float = 1.0
    lips: float = 1.0
    upper_face: float = 1.0
    blink: float = 1.0

    def checked(self) -> Gains:
        """Itself. Raises PTalkerError("option_invalid")."""
        for name, value in vars(self).items():
            if not 0.0 <= value <= MOST:
                sentence = f"The gain of the {name.replace('_', ' ')} must be from 0 to {MOST:g}, not {value:g}."
                raise PTalkerError("option_invalid", sentence)
        return self

    def __call__(self, z: Tensor, contact: Contact | None) -> Tensor:
        """Finished weights z [..., K] -> with the lower face's gains; lips that met meet. The upper face's gains are
        upper_face.Habits.gained."""
        if self.jaw == 1.0 and self.lips == 1.0:
            return z
        factor = z.new_ones(len(CHANNELS))
        factor[list(JAW)], factor[list(LIPS)] = self.jaw, self.lips
        more = (z * factor).clamp(0, 1)
        return more if contact is None else contact.kept(more, z)


EVEN = Gains()
