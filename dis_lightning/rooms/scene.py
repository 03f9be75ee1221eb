"""What is in a room: an axis-aligned box seen by a camera, with a bed and perhaps a window, picture, lamp and rug.

Coordinates are metres: `x` to the right of the camera, `y` above the floor, `z` in front of the camera. A point is seen
in one-point perspective at

    u = u_0 + f x / z,    v = v_0 + f (eye - y) / z,    the picture being [-1, 1]^2 with v downwards,

so `(u_0, v_0)` is the vanishing point. The camera stands above everything that lies on the floor except lamps, and all
that hangs on a wall hangs above the bed: nothing on a wall is ever hidden by the bed.
"""

from typing import NamedTuple

from dis_lightning.rooms.colours import Colour, Sky

__all__ = [
    "BACK",
    "LEFT",
    "RIGHT",
    "WALL_NAMES",
    "Bed",
    "Camera",
    "Cuboid",
    "Lamp",
    "Painting",
    "Pair",
    "Panel",
    "Rug",
    "Spot",
]
__all__ += ["Scene", "Shell", "Window"]

BACK, LEFT, RIGHT = 0, 1, 2
WALL_NAMES = ("back", "left", "right")

Pair = tuple[float, float]
"""Two numbers that belong together, such as the ends of an interval."""

Spot = tuple[float, float, float]
"""`x`, `y` and `z` in metres."""


class Camera(NamedTuple):
    """The eye: vanishing point `(u_0, v_0)`, focal length `f` in half picture widths, eye height in metres."""

    u_0: float
    v_0: float
    focal: float
    eye: float

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """The picture coordinates `(u, v)` of a point with `z > 0`."""
        return self.u_0 + self.focal * x / z, self.v_0 + self.focal * (self.eye - y) / z


class Shell(NamedTuple):
    """The empty box: `left <= x <= right`, `0 <= y <= height`, `z <= depth`, with its paints.

    Attributes:
        planks: seams between floor boards, as `x` in metres; empty for a plain floor.
        gains: brightness of the surfaces back, left, right, floor, ceiling.
    """

    left: float
    right: float
    height: float
    depth: float
    wall_name: str
    wall: Colour
    floor: Colour
    ceiling: Colour
    planks: tuple[float, ...]
    gains: tuple[float, float, float, float, float]


class Cuboid(NamedTuple):
    """An axis-aligned solid `[x0, x1] x [y0, y1] x [z0, z1]`."""

    x0: float
    x1: float
    y0: float
    y1: float
    z0: float
    z1: float


class Bed(NamedTuple):
    """A bed with its head at the wall `head`; `blanket` colours the room's class `paint`."""

    head: int
    paint: int
    headboard: Cuboid
    frame: Cuboid
    mattress: Cuboid
    pillows: tuple[Cuboid, ...]
    blanket: Cuboid
    wood: Colour
    cover: Colour

    @property
    def bounds(self) -> Cuboid:
        """The smallest solid around frame, mattress and blanket, headboard and pillows left out."""
        return Cuboid(
            min(self.frame.x0, self.blanket.x0),
            max(self.frame.x1, self.blanket.x1),
            0.0,
            self.blanket.y1,
            min(self.frame.z0, self.blanket.z0),
            max(self.frame.z1, self.blanket.z1),
        )


class Panel(NamedTuple):
    """A rectangle on a wall: along `x` on the back wall, along `z` on a side wall."""

    wall: int
    start: float
    end: float
    bottom: float
    top: float

    def part(self, start: float, end: float, bottom: float, top: float) -> "Panel":
        """The part between the given fractions of the width and of the height."""
        width, height = self.end - self.start, self.top - self.bottom
        return Panel(
            self.wall,
            self.start + start * width,
            self.start + end * width,
            self.bottom + bottom * height,
            self.bottom + top * height,
        )

    def inset(self, margin: float) -> "Panel":
        """The rectangle without a border of `margin` metres."""
        return Panel(self.wall, self.start + margin, self.end - margin, self.bottom + margin, self.top - margin)

    def corners(self, shell: Shell) -> tuple[Spot, Spot, Spot, Spot]:
        """The corners in space, around the rectangle."""
        around = (
            (self.start, self.bottom),
            (self.end, self.bottom),
            (self.end, self.top),
            (self.start, self.top),
        )
        a, b, c, d = (on_wall(shell, self.wall, along, y) for along, y in around)
        return a, b, c, d


class Window(NamedTuple):
    """A window with `columns` by `rows` panes."""

    panel: Panel
    outside: Sky
    sky: Colour
    land: Colour
    columns: int
    rows: int


class Painting(NamedTuple):
    """A framed landscape and its colours."""

    panel: Panel
    frame: Colour
    sky: Colour
    land: Colour
    sun: Colour


class Lamp(NamedTuple):
    """A lit lamp, standing on the floor or hanging from the ceiling.

    Attributes:
        hanging: whether it hangs.
        x: position to the right.
        z: position in depth.
        bottom: lower rim of the shade above the floor.
        top: upper rim of the shade above the floor.
        radius: radius of the lower rim.
        taper: radius of the upper rim, as a fraction of `radius`.
        shade: colour of the shade.
        pole: colour of pole or cord.
    """

    hanging: bool
    x: float
    z: float
    bottom: float
    top: float
    radius: float
    taper: float
    shade: Colour
    pole: Colour


class Rug(NamedTuple):
    """A rug `[x0, x1] x [z0, z1]` on the floor with a border."""

    x0: float
    x1: float
    z0: float
    z1: float
    name: str
    colour: Colour
    border: Colour


class Scene(NamedTuple):
    """Everything a room is made of; `ambient` is the colour of the light on it."""

    camera: Camera
    shell: Shell
    bed: Bed
    window: Window | None
    picture: Painting | None
    lamp: Lamp | None
    rug: Rug | None
    ambient: Colour


def on_wall(shell: Shell, wall: int, along: float, y: float) -> Spot:
    """The point in space `along` a wall at height `y`."""
    if wall == BACK:
        return along, y, shell.depth
    return (shell.left if wall == LEFT else shell.right), y, along
