"""How an image comes to be: the moving image and the estimate of the clean one, step by step."""

import io
from fractions import Fraction
from importlib.util import find_spec
from typing import Any, Literal

import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from dis_lightning.callbacks.loggers import log_picture
from dis_lightning.callbacks.writer import Writer
from dis_lightning.errors import InvalidValueError, MissingPackageError, require_whole
from dis_lightning.files import write_atomically
from dis_lightning.images import quantise
from dis_lightning.metrics.base import callbacks_of
from dis_lightning.solvers.base import Solver
from dis_lightning.streams import say
from dis_lightning.types import State

__all__ = ["Trajectory"]

LAST = 10  # frame times for which the last frame stands
LONGEST = 6553  # the last frame of a GIF stands for at most 65535 hundredths of a second
BT709 = 1  # the number of ITU-R BT.709 among the matrices, the primaries and the transfer functions of H.264
SIDE = 256  # pixels of the shorter side of an MP4, at least


class Trajectory(Callback):
    """Write `trajectories/00017.gif` for the first images: left the moving image, right the estimate of the clean one.

    Or `trajectories/00017.mp4`: all colours where a GIF has 256, in a file that every browser plays. Its codec keeps
    colours at half the resolution, so it shows small images enlarged: every pixel as a square of the same size.

    The moving image is shown as it is, clamped to [-1, 1]; under much noise that is mere noise, and in a solver that
    moves the latent of a generator it is the latent. Loggers that take pictures get the frames side by side, of the
    images that the first process samples. Images that an earlier run has finished are not sampled again and get no
    film. It changes nothing in the samples.

    Args:
        every: number of steps from one frame to the next, >= 1; the last step is always a frame.
        images: number of images, the first ones of the data set, >= 1.
        milliseconds: how long a frame is shown, in 1, ..., 6553; the last one ten times as long. A GIF counts in
            hundredths of a second and rounds down.
        film: the kind of file; "mp4" is H.264 and needs PyAV.

    Raises:
        ValueError: if an argument is out of range or, at the start of a run, if there is no run folder.
        ModuleNotFoundError: if an MP4 is wanted and PyAV is not installed.
    """

    def __init__(
        self, every: int = 1, images: int = 4, milliseconds: int = 100, film: Literal["gif", "mp4"] = "gif"
    ) -> None:
        require_whole(self, 1, every=every, images=images)
        require_whole(self, 1, LONGEST, milliseconds=milliseconds)
        if film not in ("gif", "mp4"):
            raise InvalidValueError(f'Trajectory writes a film as "gif" or "mp4", but got {film!r}.')
        if film == "mp4" and find_spec("av") is None:
            raise MissingPackageError(
                "An MP4 needs another package: pip install 'dis-lightning[film]'; or write the film as a GIF."
            )
        self.every = every
        self.images = images
        self.milliseconds = milliseconds
        self.film = film
        self._rows: dict[int, int] = {}
        self._frames: list[Tensor] = []
        self._missed: list[int] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run folder."""
        writers = callbacks_of(trainer, Writer)
        if not writers:
            raise InvalidValueError("Trajectory writes into the run folder; add a Writer to the callbacks.")
        self._folder = writers[0].folder
        self._missed = []

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Look on, if an image of the batch is wanted."""
        assert isinstance(pl_module, Solver)
        # The first sample of each image; there is one row per sample or per chain.
        rows = {index: row * pl_module.rows_per_image for row, index in enumerate(batch["index"].tolist())}
        self._rows = {index: row for index, row in rows.items() if index < self.images}
        self._frames = []
        if self._rows:
            pl_module.observers.append(self._on_step)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the films."""
        self._look_away(pl_module)
        if not self._frames:  # it was finished before
            self._missed += [index for index in self._rows if not self._folder.trajectory(index, self.film).exists()]
            return
        for index, film in zip(self._rows, torch.stack(self._frames, dim=1), strict=True):
            content = _mp4(film, self.milliseconds) if self.film == "mp4" else _gif(film, self.milliseconds)
            write_atomically(self._folder.trajectory(index, self.film), content)
            for logger in trainer.loggers:
                log_picture(logger, f"trajectory/{index:05d}", torch.cat(list(film), dim=2))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell of films that could not be made."""
        if self._missed:
            say(
                f"no films of {len(self._missed)} images, which were finished before; to have them, choose another "
                "folder (--writer.folder)"
            )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let go of the solver."""
        self._look_away(pl_module)

    def _on_step(self, state: State) -> None:
        if state.step % self.every == 0 or state.step == state.steps:
            rows = list(self._rows.values())
            self._frames.append(quantise(torch.cat([state.x_t[rows], state.x_0[rows]], dim=3)).cpu())

    def _look_away(self, solver: LightningModule) -> None:
        assert isinstance(solver, Solver)
        if self._on_step in solver.observers:
            solver.observers.remove(self._on_step)


def _gif(film: Tensor, milliseconds: int) -> bytes:
    """8-bit frames `(T, 3, H, W)` as a GIF that repeats."""
    first, *rest = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in film.expand(-1, 3, -1, -1)]
    buffer = io.BytesIO()
    durations = [milliseconds] * len(rest) + [LAST * milliseconds]
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0)
    return buffer.getvalue()


def _mp4(film: Tensor, milliseconds: int) -> bytes:
    """8-bit frames `(T, 3, H, W)` as an MP4, H.264 in yuv420p."""
    import av  # only for those who ask for an MP4

    height, width = film.shape[2:]
    scale = -(-SIDE // min(height, width))
    scale += scale % 2 * (height % 2 or width % 2)  # yuv420p has one colour for 2 x 2 pixels, so the sides are even
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", Fraction(1000, milliseconds), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = scale * width, scale * height, "yuv420p"
        # Without these marks each player makes its own guess at the matrix from RGB to YUV.
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        # Players disagree about a last frame of another duration, so it is repeated.
        for frame in [*film.expand(-1, 3, -1, -1), *[film[-1].expand(3, -1, -1)] * (LAST - 1)]:
            pixels = frame.permute(1, 2, 0).repeat_interleave(scale, 0).repeat_interleave(scale, 1)
            picture = av.VideoFrame.from_ndarray(pixels.numpy(), format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode())
    return buffer.getvalue()
