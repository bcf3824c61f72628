"""The watcher of a spot machine: polls the provider for a preemption notice, and then drains the node.

A drained node gets no new trial, and trials that it loses do not count as failures. Run as
``python -m hsl.cluster.preemption aws`` next to the Ray process of each worker (`cluster.yaml` does).
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from hsl.errors import HslError, UnknownNameError

LOG = logging.getLogger("hsl.cluster.preemption")

POLL_SECONDS = 5.0
"""The interval that AWS recommends; its notice comes two minutes ahead, that of Google and Azure 30 seconds."""

ANSWER_SECONDS = 2.0

DEADLINE_SECONDS = 1
"""Time until the end of the node, as reported to Ray. A loss before that is a failure of the trial. It is as short as
possible, because machines often end before the announced time."""

_OPENER = build_opener(ProxyHandler({}))  # the metadata address is on this machine: never through a proxy


@dataclass(frozen=True)
class Provider:
    """The preemption notice of a provider.

    Attributes:
        address: URL of its metadata, without a slash at the end.
        is_announced: Whether there is a notice, given the address.
        notice_seconds: Time between the notice and the end.
    """

    address: str
    is_announced: Callable[[str], bool]
    notice_seconds: int


def _get(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> str | None:
    """The content at `url`; None if there is none, or no answer."""
    request = Request(url, headers=dict(headers or {}), method=method)
    try:
        with _OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
            return str(answer.read().decode())
    except (HTTPError, URLError, TimeoutError, ConnectionError):
        return None


def aws_announces(address: str) -> bool:
    """Whether EC2 has issued an interruption notice (instance metadata, version 2)."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = _get(f"{address}/latest/api/token", lifetime, "PUT")
    headers = {"X-aws-ec2-metadata-token": token} if token else {}
    notice = _get(f"{address}/latest/meta-data/spot/instance-action", headers)
    return notice is not None and _json(notice).get("action") in {"terminate", "stop", "hibernate"}


def gcp_announces(address: str) -> bool:
    """Whether Compute Engine preempts the machine."""
    answer = _get(f"{address}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    return answer is not None and answer.strip().upper() == "TRUE"


def azure_announces(address: str) -> bool:
    """Whether Azure has scheduled the eviction of the machine."""
    answer = _get(f"{address}/metadata/scheduledevents?api-version=2020-07-01", {"Metadata": "true"})
    events = _json(answer).get("Events", []) if answer else []
    return any(event.get("EventType") in {"Preempt", "Terminate"} for event in events)


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


PROVIDERS = {
    "aws": Provider("http://169.254.169.254", aws_announces, 120),
    "gcp": Provider("http://metadata.google.internal", gcp_announces, 30),
    "azure": Provider("http://169.254.169.254", azure_announces, 30),
}


def wait_for_notice(provider: Provider, poll_seconds: float = POLL_SECONDS) -> None:
    """Return once the provider announces the preemption of this machine."""
    while not provider.is_announced(provider.address):
        time.sleep(poll_seconds)


def drain(notice_seconds: int, node_id: str | None = None) -> None:
    """Drain a node: Ray places no more work there; running work continues meanwhile.

    Args:
        notice_seconds: Remaining time, for Ray's log.
        node_id: Ray's id of the node; by default the node of this machine.

    Raises:
        HslError: If Ray refuses.
    """
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "drain-node"),
        *("--reason", "DRAIN_NODE_REASON_PREEMPTION"),
        *("--reason-message", f"the provider takes the machine away in {notice_seconds} s"),
        *("--deadline-remaining-seconds", str(DEADLINE_SECONDS)),
        *(("--node-id", node_id) if node_id else ()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HslError(f"this node cannot be drained: {done.stderr.strip()[-500:]}")


def main(arguments: list[str]) -> None:
    """Wait for the notice and drain the node.

    Args:
        arguments: The name of the provider and, optionally, another metadata address, and the id of the node, if
            the machine has several.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    name = arguments[0] if arguments else ""
    if name not in PROVIDERS:
        raise UnknownNameError("provider", name, PROVIDERS)
    provider = PROVIDERS[name]
    if len(arguments) > 1:
        provider = replace(provider, address=arguments[1])
    LOG.info("watching for the end of this %s machine", name)
    wait_for_notice(provider)
    LOG.info("the machine ends in %d s: draining", provider.notice_seconds)
    drain(provider.notice_seconds, *arguments[2:3])
    LOG.info("drained")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HslError as error:
        sys.exit(f"Error: {error}")
