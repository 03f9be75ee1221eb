"""A Slurm of the tests' own: two nodes on this machine, in a temporary folder, with ports and keys of its own."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from ports import free_ports
from small_run import ROOT

DAEMONS = ("munged", "slurmctld", "slurmd")

CONFIGURATION = """
ClusterName=dis
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is queued again waits for as long as its credentials live.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=10
GresTypes=gpu
NodeName=n[0-1] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]},{ports[2]}] CPUs=4 Gres=gpu:4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """What users have of Slurm.

    Args:
        folder: where its configuration and its logs are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PYTEST_"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**own, "PATH": path, "PYTHONPATH": str(ROOT), "SLURM_CONF": str(folder / "slurm.conf")}
        # No resolver knows the nodes, and ports by the number of a job would meet those of another worker's Slurm.
        self.environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports(1)[0])}

    def __call__(self, *words: str) -> str:
        """Call one of its commands and return what it prints."""
        done = subprocess.run(words, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words[0]}: {done.stderr}\n{self.logs()}"
        return done.stdout.strip()

    def submit(self, output: Path, *words: str) -> str:
        """Queue a script, whose words go to the file `output`, and return the number of its job."""
        return self("sbatch", "--parsable", f"--output={output}", *words)

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job (a task of an array is `JOB_TASK`)."""
        return dict(word.split("=", 1) for word in self("scontrol", "show", "job", number).split() if "=" in word)

    def ends(self, number: str, output: Path, patience: float = 300) -> tuple[str, int]:
        """Wait until a job is over, and return its state and its exit status."""
        deadline = time.monotonic() + patience
        while (job := self.job(number))["JobState"] in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED"):
            told = output.read_text() if output.exists() else "nothing"
            assert time.monotonic() < deadline, f"{job}\nit said: {told}\n{self.logs()}"
            time.sleep(0.2)
        return job["JobState"], int(job["ExitCode"].split(":")[0])

    def logs(self) -> str:
        """The last lines of its daemons, for messages."""
        return "\n".join(
            f"{file.name}:\n" + "\n".join(file.read_text(errors="replace").splitlines()[-15:])
            for file in sorted(self.folder.glob("*.log"))
        )


@contextmanager
def running_slurm() -> Iterator[Slurm]:
    """Start a Slurm and end it with all of its jobs, whatever happens; nothing of it stays, and no other meets it."""
    missing = [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=_path()) is None]
    if missing or os.geteuid() != 0:
        lacks = f"{', '.join(missing)} not installed" if missing else "not root"
        pytest.fail(
            f"no Slurm here ({lacks}): as root, `apt-get install slurm-wlm munge`, or give --no-cluster", pytrace=False
        )
    with ExitStack() as stack:
        # Not pytest's: the path of a socket has 107 characters at most.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        for name in ("state", "spool-n0", "spool-n1"):
            (folder / name).mkdir()
        text = CONFIGURATION.format(folder=folder, host=socket.gethostname().split(".")[0], ports=free_ports(3))
        (folder / "slurm.conf").write_text(text)
        # Scripts ask for GPUs; any devices will do.
        devices = ("null", "zero", "full", "random")
        (folder / "gres.conf").write_text("".join(f"Name=gpu File=/dev/{device}\n" for device in devices))
        slurm = Slurm(folder)
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        files = [f"--{name}={folder / file}" for name, file in names.items()]
        stack.enter_context(_daemon(slurm, "munged", "--foreground", "--force", *files))
        _wait(slurm, lambda: (folder / "munge.socket").exists())
        stack.enter_context(_daemon(slurm, "slurmctld", "-D"))
        for node in ("n0", "n1"):
            stack.enter_context(_daemon(slurm, "slurmd", "-D", "-N", node))
        stack.callback(_end_jobs, slurm)
        _wait(slurm, lambda: _try(slurm, "sinfo", "-h", "-o", "%T") == "idle")
        yield slurm


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"  # daemons are found there


@contextmanager
def _daemon(slurm: Slurm, *command: str) -> Iterator[None]:
    with open(slurm.folder / f"{command[0]}-{command[-1][-2:]}.said.log", "w") as said:
        process = subprocess.Popen(
            command,
            env={**slurm.environment, "PATH": f"{slurm.environment['PATH']}:/usr/sbin:/sbin"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """Let a daemon end even where pytest is killed (PR_SET_PDEATHSIG is 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _end_jobs(slurm: Slurm) -> None:
    for queued in _try(slurm, "squeue", "-h", "-o", "%A").split():
        _try(slurm, "scancel", "--full", "--signal=KILL", queued)
        _try(slurm, "scancel", queued)
    deadline = time.monotonic() + 20
    while _try(slurm, "squeue", "-h") and time.monotonic() < deadline:
        time.sleep(0.2)


def _try(slurm: Slurm, *words: str) -> str:
    """What a command prints, be it well or not."""
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(words, env=slurm.environment, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip()
    return ""


def _wait(slurm: Slurm, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not ready():
        assert time.monotonic() < deadline, f"Slurm does not start:\n{slurm.logs()}"
        time.sleep(0.1)


if __name__ == "__main__":  # ends with an error where none can be started
    with running_slurm():
        print("A Slurm can be started here.")
