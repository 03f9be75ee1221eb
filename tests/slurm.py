"""A Slurm of one node on this machine, in a folder of its own, without GPUs."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

__all__ = ["Slurm", "slurm"]

CONFIGURATION = """
ClusterName=dis
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports}1
SlurmdPort={ports}2
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=10
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
DAEMONS = {"munged": "munge", "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "sbatch": "slurm-wlm"}
"""What must be there, and the package of Debian that has it."""
PATIENCE = 30.0
"""Seconds until the node must be ready."""


class Slurm:
    """Commands of a running Slurm.

    Args:
        environment: in which they find it, and jobs this project.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def submit(self, script: Path, log: Path, options: list[str], arguments: list[str]) -> str:
        """Queue a script without its GPUs, and give the number of the job.

        Args:
            script: what is queued.
            log: where its words go.
            options: what a user fits, on the command line.
            arguments: what the script is given.
        """
        fitted = log.with_suffix(".sbatch")
        fitted.write_text(re.sub(r"#SBATCH --gpus.*\n", "", script.read_text()))
        own = ["--parsable", "--mem=0", f"--output={log}", *options]
        return self._ask("sbatch", *own, str(fitted), *arguments).strip()

    def states(self, job: str) -> set[str]:
        """What has become of a job, such as COMPLETED; of an array, of all its tasks."""
        return {part.split()[0] for part in self._ask("scontrol", "show", "job", job).split("JobState=")[1:]}

    def status(self, job: str) -> int:
        """The exit status of its script."""
        return int(self._ask("scontrol", "show", "job", job).split("ExitCode=")[1].split(":")[0])

    def wait(self, job: str, *states: str, seconds: float = 120.0) -> None:
        """Wait until every task of a job is in one of some states."""
        deadline = time.monotonic() + seconds
        while not (found := self.states(job)) <= set(states):
            assert time.monotonic() < deadline, f"job {job} is {found}, not {states}"
            time.sleep(0.2)

    def signal(self, job: str, name: str) -> None:
        """Send a signal to the script of a job, as at the end of its time."""
        self._ask("scancel", "--batch", f"--signal={name}", job)

    def _ask(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout


@contextmanager
def slurm(folder: Path, project: Path) -> Iterator[Slurm]:
    """Start a Slurm for as long as it is needed; one at a time on a machine.

    Args:
        folder: for all its files.
        project: where the command line is.
    """
    missing = sorted({package for name, package in DAEMONS.items() if not _found(name)})
    reason = f"without {' and '.join(missing)}" if missing else "but by root" if os.geteuid() else ""
    assert not reason, f"no Slurm can be started {reason}; install what is missing, be root, or give --no-cluster"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
    scripts = Path(sys.executable).parent
    environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{scripts}:{environment['PATH']}:/usr/sbin"}
    environment |= {"PYTHONPATH": str(project)}
    host = socket.gethostname()
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, ports=1781))
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    files = {name: str(folder / f"munge.{name}") for name in ("socket", "pid", "log", "seed")}
    munge = ["munged", "--foreground", "--force", f"--key-file={folder / 'key'}", f"--socket={files['socket']}"]
    munge += [f"--pid-file={files['pid']}", f"--log-file={files['log']}", f"--seed-file={files['seed']}"]
    started: list[subprocess.Popen[bytes]] = []
    with FileLock(Path(tempfile.gettempdir()) / "dis_lightning_slurm.lock"):
        try:
            for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
                with (folder / f"{command[0]}.said").open("wb") as said:
                    started.append(subprocess.Popen(command, env=environment, stdout=said, stderr=said, cwd=folder))
                time.sleep(1)
            found = Slurm(environment)
            deadline = time.monotonic() + PATIENCE
            while "idle" not in (told := found._ask("sinfo", "--noheader", "--format=%t")):
                logs = "".join(log.read_text()[-2000:] for log in folder.glob("*.log"))
                assert time.monotonic() < deadline, f"the node is {told.strip()}: {logs}"
                time.sleep(0.2)
            yield found
        finally:
            subprocess.run(["scancel", "--user=root"], env=environment, check=False, capture_output=True)
            for daemon in reversed(started):
                daemon.terminate()
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()


def _found(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is not None


if __name__ == "__main__":  # ends with an error where none can be started
    with tempfile.TemporaryDirectory() as place, slurm(Path(place), Path.cwd()):
        print("A Slurm can be started here.")
