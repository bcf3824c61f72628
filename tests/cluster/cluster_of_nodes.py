"""A Ray cluster of several nodes on this machine, in a process of its own, told by lines on stdin.

Prints its address once it is up; ``kill N`` ends a node without warning (SIGKILL of its raylet), ``add`` adds one, and
the end of stdin shuts it down. Only processes that it started are ended.
"""

import sys

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
        say("done")
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
