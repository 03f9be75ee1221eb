"""Everything that needs a GPU, in one go: `gpu_check.sh FOLDER`; see README.md beside it.

Each section is a process of its own with a limit of time, writes what it found into the folder at once, and leaves the
others alone if it fails. What is worth most comes first.
"""

import argparse
import gc
import json
import os
import platform
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve()
CACHE = "gpu_check_inductor"

SECTIONS = {
    # name: (limit in seconds, what it is)
    "warm_fused_8": (200, "first compile, fused, batch 8"),
    "warm_fused_1": (200, "first compile, fused, batch 1"),
    "kernels": (200, "fused layers, graphs and compiled networks against plain ones"),
    "steps": (140, "guided steps of the bedroom network, nothing compiled"),
    "profile": (60, "kernels of a guided step, by kind"),
    "compiled": (120, "guided steps of the bedroom network, compiled"),
    "solvers": (120, "every solver: same bits twice, same result in every way to compute"),
    "conformance": (100, "the conformance suite on the GPU"),
    "jobs": (240, "whole jobs of the papers"),
}
BESIDE = ("warm_fused_8", "warm_fused_1")
"""Run at the same time as the next section, in which nothing is timed."""


# ---------------------------------------------------------------- running the sections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--section")
    parser.add_argument("--only", nargs="*", default=[*SECTIONS])
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--minutes", type=float, default=6.0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.section:
        _section(options)
        return
    with TemporaryDirectory() as parts:
        target, options.folder = options.folder, Path(parts)
        _run(options, target)


def _run(options: argparse.Namespace, target: Path) -> None:
    begin = gathered = time.monotonic()

    def left() -> float:
        return 60 * options.minutes - (time.monotonic() - begin)

    def wait(name: str, process: "subprocess.Popen[bytes]", seconds: float) -> None:
        nonlocal gathered
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
            if time.monotonic() - gathered > 5:  # what there is, should this process be ended
                gathered = time.monotonic()
                _gather(options.folder, target)
        _end(name, process, seconds, options.folder)

    beside: dict[str, subprocess.Popen[bytes]] = {}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name in [name for name in SECTIONS if name in options.only]:
            if name not in (*BESIDE, "kernels"):
                for other, process in beside.items():
                    wait(other, process, max(1.0, left() - 60))
                beside = {}
            if left() < 10:
                print(f"LEFT OUT, for want of time: {name}", flush=True)
                continue
            process = _start(name, options)
            started.append(process)
            if name in BESIDE:
                beside[name] = process
            else:
                wait(name, process, min(SECTIONS[name][0], left()))
            print(f"[{time.monotonic() - begin:5.0f} s] {name}", flush=True)
        for other, process in beside.items():
            wait(other, process, max(1.0, left()))
    finally:
        for process in started:
            if process.returncode is None:  # the number of one that has ended may be another's
                _stop(process)
        print(_gather(options.folder, target), flush=True)


def _gather(parts: Path, target: Path) -> str:
    """Put what the sections have written so far into a few files, and give the table."""
    table = _table(parts)
    (target / "table.txt").write_text(table)
    found = _found(parts)
    (target / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    for ending in ("log", "txt"):
        texts = [f"===== {path.name}\n{path.read_text(errors='replace')}" for path in sorted(parts.glob(f"*.{ending}"))]
        (target / {"log": "log.txt", "txt": "profiles.txt"}[ending]).write_text("\n".join(texts))
    return table


def _found(parts: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(parts.glob("*.json"))}


def _start(name: str, options: argparse.Namespace) -> "subprocess.Popen[bytes]":
    more = ["--cpu"] * options.cpu + ["--tiny"] * options.tiny
    log = (options.folder / f"{name}.log").open("wb")
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(Path(os.environ.get("TMPDIR", "/tmp")) / CACHE)}
    if options.cpu:
        environment |= {"CUDA_VISIBLE_DEVICES": ""}
        if name == "kernels":  # Triton's interpreter is slow; elsewhere the fused layers fall back to PyTorch's
            environment |= {"TRITON_INTERPRET": "1"}
    command = [sys.executable, str(HERE), str(options.folder), "--section", name, *more]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a section with all that it has started, which would be timed with the next."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end(name: str, process: "subprocess.Popen[bytes]", seconds: float, folder: Path) -> None:
    status = process.poll()
    _stop(process)
    if status is None:
        print(f"STOPPED after {seconds:.0f} s: {name}", flush=True)
    elif status:
        tail = (folder / f"{name}.log").read_text(errors="replace")[-1500:]
        print(f"FAILED: {name}\n{tail}", flush=True)


def _table(folder: Path) -> str:
    found = _found(folder)
    lines = ["", "=" * 118]
    checks = [check for name in found for check in found[name].get("checks", [])]
    wrong = [check for check in checks if not check["ok"]]
    lines.append(f"checks: {len(checks)}, failed: {len(wrong)}")
    lines += [f"  FAILED {check['name']}: {check['says']}" for check in wrong]
    lines += [f"  {check['name']}: {check['says']}" for check in checks if check["ok"] and check.get("show")]
    steps = [step for name in found for step in found[name].get("steps", [])]
    lines.append(f"{'guided step':58}{'batch':>6}{'ms/step/image':>15}{'spread':>8}{'first step s':>14}{'GiB':>8}")
    for step in steps:
        lines.append(
            f"{step['name']:58}{step['batch']:>6}{step['ms']:>15.2f}{step['spread']:>8.2f}"
            f"{step['first']:>14.1f}{step['memory']:>8.2f}"
        )
    for name in found:
        for title, rows in found[name].get("profiles", {}).items():
            lines.append(f"profile of {title}: share of the GPU's time")
            lines += [f"  {label:60}{share:>8.1%}{ms:>10.3f} ms" for label, share, ms in rows]
    for name in found:
        lines += [f"{name}: {note}" for note in found[name].get("notes", [])]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- what a section may use


class Findings:
    """What a section found; written after each finding."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: dict[str, Any] = {"checks": [], "steps": [], "profiles": {}, "notes": []}

    def check(self, name: str, ok: bool, says: object = "", show: bool = False) -> None:
        self._add("checks", {"name": name, "ok": bool(ok), "says": str(says), "show": show})

    def step(self, **facts: Any) -> None:
        self._add("steps", facts)

    def note(self, words: str) -> None:
        self._add("notes", words)

    def profile(self, title: str, rows: list[tuple[str, float, float]]) -> None:
        self.all["profiles"][title] = rows
        self._write()

    def _add(self, kind: str, what: Any) -> None:
        print(kind, what, flush=True)
        self.all[kind].append(what)
        self._write()

    def _write(self) -> None:
        partial = self.path.with_suffix(".partial")  # another process reads what is here
        partial.write_text(json.dumps(self.all, indent=1))
        partial.replace(self.path)


def _section(options: argparse.Namespace) -> None:
    from stand_ins import stand_in

    missing = stand_in()
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = 100
    findings = Findings(options.folder / f"{options.section}.json")
    if options.section == "kernels":
        gpu = torch.cuda.get_device_name() if not options.cpu else "no GPU"
        findings.note(f"{gpu}, torch {torch.__version__}, Python {platform.python_version()}, stand-ins: {missing}")
    device = torch.device("cpu" if options.cpu else "cuda")
    if not options.cpu:
        torch.cuda.init()
        # cuDNN's search for its fastest kernels took 20 s for each batch size on an H100, and gained nothing.
        if options.section not in ("kernels", "solvers"):
            torch.set_float32_matmul_precision("high")
    name, _, rest = options.section.partition("_")
    work: dict[str, Callable[..., None]] = {
        "kernels": kernels,
        "steps": steps,
        "profile": profile,
        "solvers": solvers,
        "compiled": compiled,
        "conformance": conformance,
        "jobs": jobs,
    }
    if name == "warm":
        fused, batch = rest.split("_")
        warm(findings, device, options.tiny, fused == "fused", int(batch))
    else:
        work[name](findings, device, options.tiny)


def guarded(findings: Findings, name: str, work: Callable[[], None]) -> None:
    """Do one part of a section, and go on if it fails."""
    try:
        work()
    except Exception as error:
        traceback.print_exc()
        findings.check(name, False, f"{type(error).__name__}: {str(error)[:300]}")
    import torch

    gc.collect()  # recordings refer to themselves
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def off(a: Any, b: Any) -> float:
    """How far `a` is from `b`, relative to `b`; not finite where either is not."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-30))


def arguments(tiny: bool) -> dict[str, Any]:
    from networks import arguments_of

    return arguments_of("tiny" if tiny else "bedroom")


# ---------------------------------------------------------------- correctness


def kernels(findings: Findings, device: Any, tiny: bool) -> None:
    """The fused layers against PyTorch in float64, and small networks in all ways to compute."""
    import torch
    from fused_cases import added, case, forked, resized
    from torch.nn import functional as F

    from dis_lightning.priors.networks.fused import conv2d

    shapes = [(2, 32, 3, 2)] if tiny else [(2, 96, 5, 7), (2, 256, 64, 64), (1, 1024, 8, 8), (1, 512, 256, 256)]
    # Of rounding: float32 itself, then to 8 and 11 bits.
    limits = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}

    def compare(name: str, limit: float, errors: Callable[[], list[float]]) -> None:
        def work() -> None:
            found, again = errors(), errors()
            findings.check(name, max(found) < limit and found == again, f"{max(found):.1e}")

        guarded(findings, name, work)

    for shape, memory in product(shapes, (torch.contiguous_format, torch.channels_last)):
        where = f"{shape} {str(memory)[6:]}"
        for dtype, way in product(limits, ("plain", "push", "steer")):
            if way == "push" or (shape == shapes[0] and dtype == torch.float32):
                name, a = f"group norm {where} {str(dtype)[6:]} {way}", (shape, 32, memory, dtype, way, device)
                compare(name, limits[dtype], lambda a=a: case(*a)[1:3])
        for first in (shape[1], shape[1] // 2):
            a = (shape, 32, memory, first, True, device)
            compare(f"fork {where} {first}", 1e-5, lambda a=a: forked(*a))
        for dtype, shifts in zip(limits, (2, 1, 2), strict=True):
            limit, a = 2 if tiny else 1.001, (shape, memory, dtype, shifts, device)
            compare(f"sum {where} {str(dtype)[6:]}", limit, lambda a=a: [added(*a)])
    for memory, dtype in product((torch.contiguous_format, torch.channels_last), limits):
        name = f"sizes {str(memory)[6:]} {str(dtype)[6:]}"
        compare(name, limits[dtype], lambda a=(memory, dtype, device): resized(*a))

    def convolution() -> None:
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(2, 64, 16, 16, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
            weight = torch.randn(96, 64, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
            x.requires_grad_()
            y, plain = conv2d(x, weight, None, (1, 1)), F.conv2d(x, weight, padding=1)
            slope = torch.randn_like(plain)
            ours, theirs = (torch.autograd.grad(each, x, slope)[0] for each in (y, plain))
            worst = max(off(y, plain), off(ours, theirs))
            findings.check(f"convolution {dtype}", worst < 1e-2, f"{worst:.1e}")

    guarded(findings, "convolution", convolution)
    _networks(findings, device, tiny)


def _networks(findings: Findings, device: Any, tiny: bool) -> None:
    import torch
    from networks import build

    from dis_lightning.priors import EDM

    fewer = {"image_size": 4, "channel_mult": [1], "attention_resolutions": []}  # for the interpreter
    more = {"image_size": 32, "model_channels": 64, "attention_resolutions": [16]}
    small = arguments(True) | (fewer if tiny else more)

    def prior(dtype: Any, precision: Any = None, **ways: Any) -> EDM:
        """The weights of one `dtype`, which another would draw otherwise; computed in it, or all in one precision."""
        torch.manual_seed(1)
        network = build(small, dtype, device)  # parts of which are in float32 whatever the others are in
        return EDM(network if precision is None else network.to(precision), **ways)

    def results(denoiser: EDM) -> list[Any]:
        torch.manual_seed(2)
        found = []
        for sigma in (5.0,) if tiny else (5.0, 0.3):
            x = torch.randn(3, *denoiser.shape, device=device).mul(sigma).requires_grad_()
            # Two evaluations that are alive at the same time.
            x_0 = denoiser(denoiser(x, sigma) + x, sigma / 2)
            found += [x_0.detach(), torch.autograd.grad(x_0.square().sum(), x)[0]]
            with torch.no_grad():
                found.append(denoiser(x, sigma))
        return found

    def elsewhere(denoiser: EDM, writes: bool) -> None:
        """What a recording must not remember: other sizes of a batch, and weights that were there."""
        if not writes:  # another compile takes half a minute
            x = torch.randn(2, *denoiser.shape, device=device).requires_grad_()
            torch.autograd.grad(denoiser(x, 1.0).sum(), x)
        old = [weight.data for weight in denoiser.parameters()]  # or the new ones could come to lie where they lay
        denoiser.to("cpu").to(device)
        del old

    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.allow_tf32 = False
    for dtype in (torch.float32, torch.bfloat16):
        plain, exact = results(prior(dtype)), results(prior(dtype, torch.float32))
        # A random network may amplify rounding; that of the plain one is what others are allowed.
        rounding = max(off(a, b) for a, b in zip(plain, exact, strict=True))
        limit = max(5e-5, 2 * rounding)
        for ways in (
            {"fused": True},
            {"compile": "cuda_graphs"},
            {"compile": "cuda_graphs", "fused": True},
            {"compile": "both", "fused": True},
            {"compile": "default", "fused": True},
            {"compile": "default"},
        ):
            writes = ways.get("compile") in ("default", "both")
            if writes and (tiny or dtype == torch.float32):
                continue  # for want of time
            if tiny and (dtype == torch.bfloat16 or len(ways) > 1):
                continue  # slow on a CPU

            def compare(
                ways: Any = ways,
                dtype: Any = dtype,
                plain: Any = plain,
                exact: Any = exact,
                limit: float = limit,
                writes: bool = writes,
            ) -> None:
                denoiser = prior(dtype, **ways)
                found = results(denoiser)
                elsewhere(denoiser, writes)
                again = results(denoiser)
                worst = max(off(a, b) for a, b in zip(found, exact, strict=True))
                equal = all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
                same = all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
                says = f"off by {worst:.1e}, to itself {'equal' if equal else 'NOT equal'}, to the plain one {same}"
                findings.check(f"network {str(dtype)[6:]} {ways}", worst < limit, says, show=True)

            guarded(findings, f"network {dtype} {ways}", compare)


def solvers(findings: Findings, device: Any, tiny: bool) -> None:
    """Every solver of the conformance suite: the same bits twice, and the same result in every way to compute."""
    import torch
    from catalogue import SOLVERS, build_solver
    from networks import build

    from dis_lightning.noise import NoiseSource
    from dis_lightning.operators import AveragePool
    from dis_lightning.priors import EDM, ConsistencyModel

    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.allow_tf32 = False  # to which solvers' loops would add more than the limits
    torch.manual_seed(0)
    network = build(arguments(True), torch.float32, device)

    def samples(name: str, place: Any = device, even: bool = False, **ways: Any) -> Any:
        import copy

        kind = EDM if SOLVERS[name].strict else ConsistencyModel
        prior = kind(copy.deepcopy(network), **ways)
        more = {"consistency": ConsistencyModel(copy.deepcopy(network), **ways)} if SOLVERS[name].consistency else {}
        # A last bit would choose other particles, were they not all worth the same.
        operator = AveragePool(2, noise_std=1e3 if even and SOLVERS[name].particles else 0.1)
        solver = build_solver(name, operator=operator, denoiser=prior, num_samples=2, **more)
        solver.to(place)
        noise = NoiseSource(0, [4, 0, 7], place)
        y = solver.operator.measure(torch.zeros(3, *prior.shape, device=place), noise)
        return solver.solve(y, noise)

    def compare(name: str) -> None:
        plain, again = samples(name), samples(name)
        findings.check(f"{name}: the same bits twice", torch.equal(plain, again))
        os.environ["DIS_LIGHTNING_NOISE_AHEAD"] = "1"
        try:
            findings.check(f"{name}: the same bits with noise drawn ahead", torch.equal(samples(name), plain))
        finally:
            del os.environ["DIS_LIGHTNING_NOISE_AHEAD"]
        on_cpu, plain = samples(name, torch.device("cpu"), even=True).to(device), samples(name, even=True)
        findings.check(f"{name}: as on the CPU", off(plain, on_cpu) < 1e-2, f"{off(plain, on_cpu):.1e}")
        for ways in ({"compile": "cuda_graphs"}, {"compile": "cuda_graphs", "fused": True}):
            found, twice = samples(name, even=True, **ways), samples(name, even=True, **ways)
            findings.check(f"{name} {ways}: the same bits twice", torch.equal(found, twice))
            findings.check(f"{name} {ways}", off(found, plain) < 1e-2, f"off by {off(found, plain):.1e}")

    for name in SOLVERS:
        guarded(findings, name, lambda name=name: compare(name))


def conformance(findings: Findings, device: Any, tiny: bool) -> None:
    """The suite itself, pointed at the GPU."""
    from stand_ins import stand_in

    suite = HERE.parents[1] / "conformance"
    files = ["solvers", "predict_step", "operators", "every_prior", "every_kernel"]
    lacking = {"deepinv": "DeepInv", "diffusers": "Diffusers", "open_clip": "CLIPText"}
    left_out = ["works_with_every_operator", *(lacking[name] for name in stand_in() if name in lacking)]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "1" if tiny else "8", *["-x"] * tiny]
    command += ["-W", "default"]  # other versions of libraries warn of other things
    command += [str(suite / f"test_{file}.py") for file in files]
    command += ["--device", str(device), "-p", "stand_ins_plugin"]
    few = ["(gradient_stays or bits_and)"] * tiny
    command += ["-k", " and ".join([*few, *(f"not {name}" for name in left_out)])]
    lines = []
    with subprocess.Popen(
        command, cwd=HERE.parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as suite_run:
        for line in suite_run.stdout or ():  # said at once, for the suite may be stopped
            print(line, end="", flush=True)
            lines.append(line.strip())
    last = [line for line in lines if line][-12:]
    findings.check(f"conformance suite on {device}", suite_run.returncode == 0, " | ".join(last[-1:]), show=True)
    for line in last if suite_run.returncode else []:
        findings.note(line[:200])


# ---------------------------------------------------------------- speed


def guided(denoiser: Any, batch: int, device: Any, consistency: Any = None) -> Iterator[Any]:
    """Guided steps through the package's own loop: DPS, or Proposed I where there is a consistency model."""
    import torch

    from dis_lightning.levels import KarrasLevels
    from dis_lightning.noise import NoiseSource
    from dis_lightning.operators import AveragePool
    from dis_lightning.solvers import DPS, ConsistencyDPS

    operator, levels = AveragePool(factor=4, noise_std=0.1), KarrasLevels(steps=100_000)
    more = {} if consistency is None else {"consistency": consistency}
    solver = (ConsistencyDPS if more else DPS)(operator, denoiser, levels, scale=0.1, **more).to(device)
    noise = NoiseSource(0, range(batch), device)
    y = operator.measure(torch.zeros(batch, *denoiser.shape, device=device), noise)
    return solver.iterate(y, noise)


def timed(findings: Findings, name: str, states: Iterator[Any], batch: int, device: Any, rounds: int = 4) -> None:
    """Time guided steps: the first, then rounds of several."""
    import torch

    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    next(states)
    wait()
    first = time.perf_counter() - begin
    for _ in range(2):
        next(states)
    count = max(2, min(10, 16 // batch))
    seconds = []
    for _ in range(rounds):
        wait()
        begin = time.perf_counter()
        for _ in range(count):
            next(states)
        wait()
        seconds.append((time.perf_counter() - begin) / count)
    each = sorted(1e3 * one / batch for one in seconds)
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    reserved = torch.cuda.memory_reserved() if device.type == "cuda" else 0
    findings.step(
        name=name,
        batch=batch,
        ms=median(each),
        spread=each[-1] - each[0],
        first=first,
        memory=memory / 2**30,
        reserved=reserved / 2**30,
    )


def steps(findings: Findings, device: Any, tiny: bool) -> None:
    """All that needs no compiler."""
    import copy

    import torch
    from networks import build

    from dis_lightning.priors import EDM, ConsistencyModel

    half = torch.bfloat16
    batches = (1, 2) if tiny else (1, 8, 4, 16)
    network = build(arguments(tiny), half, device)

    def dps(name: str, batch: int, **ways: Any) -> None:
        timed(findings, name, guided(EDM(network, **ways), batch, device), batch, device)

    def deterministic(name: str, batch: int, **ways: Any) -> None:
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        try:
            dps(name, batch, **ways)
        finally:
            torch.use_deterministic_algorithms(False)

    def ahead(batch: int, **ways: Any) -> None:
        os.environ["DIS_LIGHTNING_NOISE_AHEAD"] = "1"
        try:
            dps(f"DPS bfloat16 {words(ways)}, noise drawn ahead", batch, **ways)
        finally:
            del os.environ["DIS_LIGHTNING_NOISE_AHEAD"]

    def authors() -> None:
        old = build(arguments(tiny), torch.float16, device)
        timed(findings, "DPS float16 eager (stands for the authors' loop)", guided(EDM(old), 1, device), 1, device)

    def proposed(batch: int, **ways: Any) -> None:
        two = EDM(network, **ways), ConsistencyModel(copy.deepcopy(network), **ways)
        timed(findings, f"Proposed I bfloat16 {words(ways)}", guided(two[0], batch, device, two[1]), batch, device)

    plain, fast = {}, {"fused": True, "compile": "cuda_graphs"}
    for batch in batches[:2]:
        guarded(findings, f"plain {batch}", lambda b=batch: dps("DPS bfloat16 eager", b))
    guarded(findings, "graphs 1", lambda: dps("DPS bfloat16 cuda_graphs", 1, compile="cuda_graphs"))
    guarded(findings, "deterministic", lambda: deterministic("DPS bfloat16 eager, deterministic", batches[1], **plain))
    guarded(findings, "authors", authors)
    # From here on the network is fused, in place.
    for batch in batches:
        guarded(findings, f"fast {batch}", lambda b=batch: dps(f"DPS bfloat16 {words(fast)}", b, **fast))
    for batch in batches[:2]:
        guarded(findings, f"ahead {batch}", lambda b=batch: ahead(b, **fast))
    for batch in batches[:2]:
        guarded(findings, f"fused {batch}", lambda b=batch: dps("DPS bfloat16 fused", b, fused=True))
    for batch in batches[:2]:
        guarded(findings, f"proposed {batch}", lambda b=batch: proposed(b, **fast))
    for batch in batches[:2]:
        name = f"DPS bfloat16 {words(fast)}, deterministic"
        guarded(findings, name, lambda b=batch, name=name: deterministic(name, b, **fast))


def words(ways: dict[str, Any]) -> str:
    """A way to compute in words."""
    compile = [str(ways["compile"])] if ways.get("compile") else ["eager"]
    return " ".join(compile + ["fused"] * bool(ways.get("fused")))


def warm(findings: Findings, device: Any, tiny: bool, fused: bool, batch: int) -> None:
    """Compile for the first time, which fills the cache."""
    import torch
    from networks import build

    from dis_lightning.priors import EDM

    network = build(arguments(tiny), torch.bfloat16, device)
    states = guided(EDM(network, fused=fused, compile="default"), batch, device)
    begin = time.perf_counter()
    next(states)
    findings.note(f"fused={fused}, batch {batch}: first step after {time.perf_counter() - begin:.1f} s, beside others")


def compiled(findings: Findings, device: Any, tiny: bool) -> None:
    """What the compiler makes, from the cache, each network fresh."""
    import torch
    from networks import build

    from dis_lightning.priors import EDM

    def dps(batch: int, **ways: Any) -> None:
        torch._dynamo.reset()
        network = build(arguments(tiny), torch.bfloat16, device)
        timed(findings, f"DPS bfloat16 {words(ways)}", guided(EDM(network, **ways), batch, device), batch, device)

    def looked_at(batch: int) -> None:
        torch._dynamo.reset()
        network = build(arguments(tiny), torch.bfloat16, device)
        look(findings, network, batch, device, compile="both", fused=True)

    for batch in (8, 1):
        for way in ("both", "default"):
            guarded(findings, f"{way} {batch}", lambda w=way, b=batch: dps(b, compile=w, fused=True))
    for batch in (8, 1):
        guarded(findings, f"profile both {batch}", lambda b=batch: looked_at(b))


def jobs(findings: Findings, device: Any, tiny: bool) -> None:
    """What the papers tell the cost of, whole."""
    from dataclasses import replace
    from importlib.util import find_spec

    import torch

    if find_spec("jsonargparse") is None:
        findings.note("whole jobs LEFT OUT: they are built from configurations, for which jsonargparse is needed")
        return
    from jobs import FIGURE_2, TABLE_5, Job, cost_of, prepare

    def look(job: Job) -> None:
        found = cost_of(prepare(job, "tiny" if tiny else "bedroom", torch.bfloat16, "cuda_graphs", True), device)
        reported = "" if job.reported is None else f", {job.reported:g} s in the paper on an A100"
        findings.note(
            f"{job.name}, {job.num_samples or 1} samples: {found.seconds:.1f} s, {found.memory:.1f} GiB, "
            f"{found.evaluations:.0f} evaluations{reported}"
        )

    several = [replace(job, num_samples=number) for number in (1, 5, 25) for job in FIGURE_2]
    for job in several[:1] if tiny else TABLE_5 + several:
        guarded(findings, f"{job.name} {job.num_samples}", lambda job=job: look(job))


def profile(findings: Findings, device: Any, tiny: bool) -> None:
    """Which kernels take the time, plain and fused."""
    import torch
    from networks import build

    network = build(arguments(tiny), torch.bfloat16, device)
    many = 2 if tiny else 8
    fast = {"fused": True, "compile": "cuda_graphs"}
    guarded(findings, "profile plain", lambda: look(findings, network, many, device))
    for batch in (many, 1):
        guarded(findings, f"profile fused {batch}", lambda b=batch: look(findings, network, b, device, **fast))


def look(findings: Findings, network: Any, batch: int, device: Any, **ways: Any) -> None:
    """Profile guided steps of a network in one way to compute."""
    from profiles import shares, spent

    from dis_lightning.priors import EDM

    title = f"bfloat16 {words(ways)}"
    states = guided(EDM(network, **ways), batch, device)
    for _ in range(4):
        next(states)
    times = spent(states, 3, device)
    findings.profile(f"{title}, batch {batch}", shares(times))
    total = sum(times.values())
    text = "\n".join(f"{one / total:7.2%} {one:9.3f} ms  {key}" for key, one in times.items())
    (findings.path.parent / f"profile_{title.replace(' ', '_')}_{batch}.txt").write_text(text + "\n")


if __name__ == "__main__":
    main()
