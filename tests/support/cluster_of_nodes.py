"""A Ray cluster of several nodes on this machine, in a process of its own, told by lines on stdin.

Prints its address once it is up; ``kill N`` ends a node without warning (SIGKILL of its raylet), ``add`` adds one,
``watch N URL`` starts the watcher of a node with other metadata and prints what it says when it ends, ``why N`` prints
the reason that Ray knows for the end of a node, and the end of stdin shuts the cluster down. Only processes that it
started are ended.
"""

import os
import subprocess
import sys

import ray
from ray.cluster_utils import Cluster

QUICK_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 2,
}


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def watch(address: str, node: str, url: str) -> str:
    command = [sys.executable, "-m", "hsl.cluster.preemption", "aws", url, node]
    environment = {**os.environ, "RAY_ADDRESS": address}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    return f"{done.returncode} {' '.join(done.stderr.split())}"


def why(address: str, node: str) -> str:
    ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    (found,) = (each for each in ray.nodes() if each["NodeID"] == node)
    ray.shutdown()
    return f"{found['Alive']} {found['DeathReason']} {found['DeathReasonMessage']}"


def main(count: int) -> None:
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK_HEALTH_CHECKS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1) for _ in range(count)]
    say(cluster.address)
    for line in sys.stdin:
        verb, *rest = line.split()
        if verb == "kill":
            cluster.remove_node(nodes[int(rest[0])], allow_graceful=False)
        elif verb == "add":
            nodes.append(cluster.add_node(num_cpus=1))
        elif verb == "watch":
            say(watch(cluster.address, nodes[int(rest[0])].node_id, rest[1]))
        elif verb == "why":
            say(why(cluster.address, nodes[int(rest[0])].node_id))
        say("done")
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
