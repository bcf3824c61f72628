"""The node types of cluster.yaml under Ray's fake provider on this machine: no worker until there is work.

Its file lies where Ray's launcher puts it on a head, in the home folder, which the test chooses.

Prints its address once it is up, and then a line ``NODES GPUS`` whenever the number of workers changes. The end of
stdin shuts it down, and ends only processes that it started.
"""

import copy
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import ray

from hsl.cluster.fleet import BOOTSTRAP
from hsl.cluster.launcher import read_cluster

PORT = 6379  # the fake provider knows no other
LIMIT_SECONDS = 600
EMPTY_LISTS = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
EMPTY = {"auth": {}, "docker": {}, "file_mounts": {}, "file_mounts_sync_continuously": False}
PROVIDER = {
    "type": "fake_multinode",
    "use_node_id_as_ip": True,
    "disable_node_updaters": True,
    "disable_launch_config_check": True,
}


def scaled_down(path: str) -> dict:
    """The cluster of the file with its own node types, each small enough for this machine."""
    made = copy.deepcopy(read_cluster(path))
    for node in made["available_node_types"].values():
        cpus = min(1, node["resources"]["CPU"])
        memory = {"object_store_memory": 100 * 1024 * 1024}
        node.update(node_config={}, resources={**node["resources"], "CPU": cpus, **memory})
        node["max_workers"] = min(2, node.get("max_workers", 0))
    lists = {name: [] for name in (*EMPTY_LISTS, "head_start_ray_commands", "worker_start_ray_commands")}
    more = {"cluster_synced_files": [], "rsync_exclude": [], "rsync_filter": []}
    return {
        **made,
        **EMPTY,
        **lists,
        **more,
        "provider": PROVIDER,
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
    }


def start(config: dict) -> subprocess.Popen:
    file = Path(BOOTSTRAP).expanduser()
    file.write_text(json.dumps(config))
    tools = Path(sys.executable).parent
    environment = {**os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"}
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    options = [f"--port={PORT}", "--include-dashboard=false", "--num-cpus=0"]
    return subprocess.Popen(
        [str(tools / "ray"), "start", "--head", "--block", *options, f"--autoscaling-config={file}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def connect(address: str) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            ray.init(address=address, logging_level="ERROR", log_to_driver=False)
            return
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def watch() -> None:
    """Tell how many workers there are, until stdin ends."""
    told = None
    while not (select.select([sys.stdin], [], [], 0.2)[0] and not sys.stdin.readline()):
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        now = f"{len(alive) - 1} {sum(node.get('GPU', 0) for node in alive):g}"
        if now != told:
            sys.stdout.write(now + "\n")
            sys.stdout.flush()
            told = now


def end(process: subprocess.Popen) -> None:
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=15)
    for one in alive:
        one.kill()


def main() -> None:
    process = start(scaled_down(sys.argv[1]))
    address = f"127.0.0.1:{PORT}"
    try:
        connect(address)
        sys.stdout.write(address + "\n")
        sys.stdout.flush()
        watch()
        ray.shutdown()
    finally:
        end(process)


if __name__ == "__main__":
    main()
