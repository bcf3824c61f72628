"""The watcher on a spot machine: asks the provider whether the machine is to be taken away, and then drains it.

A drained node gets no new trial, and trials that it loses do not count as failures. Run as
``python -m hsl.cluster.preemption aws`` beside the Ray process of each worker (`cluster.yaml` does).
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from hsl.errors import HslError, UnknownNameError

LOG = logging.getLogger("hsl.cluster.preemption")

POLL_SECONDS = 5.0
"""As often as AWS recommends; its notice comes two minutes ahead, that of Google and Azure 30 seconds."""

ANSWER_SECONDS = 2.0

DEADLINE_SECONDS = 1
"""When the node ends, as reported to Ray. A loss after that is none of the trial's failures; one before it is. Machines
end when it suits the provider, often before the time that was announced, so it has to be as near as can be."""

_OPENER = build_opener(ProxyHandler({}))  # the metadata address is on this machine: never through a proxy


@dataclass(frozen=True)
class Provider:
    """How a provider announces that it takes a machine away.

    Attributes:
        address: Where its metadata are served, without a slash at the end.
        is_announced: Asks there, given the address.
        notice_seconds: Time between the announcement and the end.
    """

    address: str
    is_announced: Callable[[str], bool]
    notice_seconds: int


def _get(url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> str | None:
    """What is served at `url`; None where there is nothing, or no answer."""
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
    """Return once the provider announces that this machine is to be taken away."""
    while not provider.is_announced(provider.address):
        time.sleep(poll_seconds)


def drain(notice_seconds: int, node_id: str | None = None) -> None:
    """Tell Ray that a node is to end, so that it places nothing more there; what runs there goes on meanwhile.

    Args:
        notice_seconds: Time that is left, for Ray's log.
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
        arguments: The name of the provider and, optionally, another metadata address, and the id of the node where
            a machine has several.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    name = arguments[0] if arguments else ""
    if name not in PROVIDERS:
        raise UnknownNameError("provider", name, PROVIDERS)
    provider = PROVIDERS[name]
    if len(arguments) > 1:
        provider = Provider(arguments[1], provider.is_announced, provider.notice_seconds)
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
