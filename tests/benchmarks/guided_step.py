"""How fast is a guided step on this machine? `python tests/benchmarks/guided_step.py`; see README.md beside it.

fraction of the floor = FLOP(forward + gradient to the image) / seconds per step and image / rate of matrix products
"""

from collections.abc import Sequence
from statistics import median
from typing import Any, get_args

import torch
from clock import interleave
from jsonargparse import auto_cli
from networks import NetworkName, arguments_of, floor
from profiles import shares, spent
from report import Report, Result, machine, write
from rich import print as show
from settings import Setting, settings
from work import Start, matrix_products, peak_memory, product_cost, start

from dis_lightning.priors.networks.computing import Compile
from dis_lightning.progress import counted

__all__ = ["guided_step"]


def guided_step(
    networks: list[NetworkName] | None = None,
    batches: Sequence[int] = (1, 4, 8, 16),
    device: str | None = None,
    compile: Sequence[Compile] | None = None,
    fused: bool | None = None,
    cudnn_benchmark: bool = False,
    steps: int = 3,
    repetitions: int = 20,
    save: str | None = None,
) -> None:
    """Time a guided step of DPS in several settings and say which is best.

    Args:
        networks: "small", of the rooms at 32 px, "bedroom", at 256 px, or "tiny", to try this script; by default the
            first two on a GPU, else the small one.
        batches: batch sizes; 1 is always among them.
        device: by default "cuda" where there is one, else "cpu".
        compile: the values of a prior's `compile` to try too; by default all on a GPU, none elsewhere.
        fused: whether to try fused layers too; by default on a GPU only.
        cudnn_benchmark: whether cuDNN tries its algorithms and keeps the fastest, as with `Trainer(benchmark=True)`.
        steps: guided steps in a row under the clock.
        repetitions: how often the clock goes round.
        save: name of a file in `results/`, without its ending, to keep all numbers in.

    Raises:
        ValueError: if a number is below 1, or CUDA graphs are wanted without a GPU.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = place.type == "cuda"
    if {"cuda_graphs", "both"} & set(compile or ()) and not on_gpu:
        raise ValueError(f"CUDA graphs need a GPU, but the device is {place}: leave them out of --compile.")
    if min(*batches, steps, repetitions) < 1:
        raise ValueError(f"Needed: all >= 1; but got {batches=}, {steps=} and {repetitions=}.")
    _configure(on_gpu, cudnn_benchmark)
    ways = settings(
        batches,
        (get_args(Compile) if on_gpu else ()) if compile is None else compile,
        on_gpu if fused is None else fused,
    )
    chosen: list[NetworkName] = networks or (["small", "bedroom"] if on_gpu else ["small"])
    reports = []
    for name in chosen:
        reports.append(_measure(name, ways, place, steps, repetitions))
        show(reports[-1].table(), *reports[-1].profile_tables())
    facts = machine(place)
    show(facts, *(report.verdict() for report in reports), sep="\n")
    if save:
        show(f"Written: {write(save, facts, reports)}")


def _configure(on_gpu: bool, cudnn_benchmark: bool) -> None:
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = cudnn_benchmark
    if on_gpu:
        torch.cuda.init()  # or there are no memory statistics to reset
        # Convolutions in float32 use TF32 by default, so the products that they are held against have to as well.
        torch.set_float32_matmul_precision("high")
    # One graph per setting; all are of the same code, whose graphs are limited to 8 by default.
    torch._dynamo.config.recompile_limit = 100


def _measure(name: NetworkName, ways: list[Setting], device: torch.device, steps: int, repetitions: int) -> Report:
    arguments = arguments_of(name)
    begun, memory = _start(ways, arguments, device)
    work = {way: start.steps for way, start in begun.items()}
    products = {dtype: matrix_products(dtype, device) for dtype in dict.fromkeys(way.dtype for way in work)}
    for product in products.values():
        next(product)
    seconds = interleave({**work, **products}, repetitions, steps, device)
    cost = floor(arguments)

    def result(way: Setting) -> Result:
        plain, own = seconds[ways[0]], [each / way.batch for each in seconds[way]]
        rates = [product_cost(device) / each for each in seconds[way.dtype]]
        speedup = median(a / b for a, b in zip(plain, own, strict=True))
        fraction = median(cost.guided / a / rate for a, rate in zip(own, rates, strict=True))
        return Result(way, own, speedup, fraction, memory[way], begun[way].seconds)

    precisions = {way.precision: way.dtype for way in work}
    rates = {precision: product_cost(device) / median(seconds[dtype]) for precision, dtype in precisions.items()}
    report = Report(name, cost, rates, [result(way) for way in work])
    for way in dict.fromkeys((ways[0], report.best.setting)):
        title = f"{way.label}, batch {way.batch}"
        report.profiles[title] = shares(spent(work[way], steps, device))
    return report


def _start(
    ways: list[Setting], arguments: dict[str, Any], device: torch.device
) -> tuple[dict[Setting, Start], dict[Setting, float]]:
    # On a CPU the memory is asked for first: see `peak_memory`.
    asked = counted(ways, "Measuring memory") if device.type == "cpu" else ()
    alone = {way: peak_memory(way, arguments) for way in asked}
    work, memory = {}, {}
    for way in counted(ways, "Taking the first steps"):
        try:
            work[way] = start(way, arguments, device)
        except torch.OutOfMemoryError:
            show(f"Left out, for want of memory: {way.label} at batch {way.batch}.")
            continue
        memory[way] = alone.get(way, work[way].memory)
    return work, memory


if __name__ == "__main__":
    auto_cli(guided_step, as_positional=False)
