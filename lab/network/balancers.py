"""Load balancers: their listeners, the health of targets, and the target of each new flow or request."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from lab.network.certificates import Certificates, NoCertificate
from lab.network.datagrams import DatagramFlows
from lab.network.fabric import Choice, Fabric, Refused
from lab.network.health import HEALTHY, UNHEALTHY, Health, check
from lab.network.listeners import DatagramHandler, Datagrams, Handler, Listeners, Place
from lab.network.relay import Hop
from lab.network.requests import Front as RequestFront
from lab.network.requests import Requests
from lab.network.state import TCP, UDP, BalancerListener, Forward, LoadBalancer, State, Target, TargetGroup
from lab.network.terminator import Terminator
from lab.settings import LabSettings
from lab.timings import drawn

log = logging.getLogger(__name__)

OWNER = "balancers"
ANY_ZONE = "all"
CHECKS_A_SECOND = 60
"""What is spent on targets that serve, and again on idle ones, however many there are: all that a small lab's get."""

TargetKey = tuple[str, str]
"""Target group's ARN, and the target's id:port."""
Report = dict[str, dict[str, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class _Front:
    balancer: LoadBalancer
    listener: BalancerListener
    zone: str


class Balancers:
    """Owns the listeners on balancers' addresses, the health of their targets, and the choice per new flow."""

    def __init__(
        self,
        fabric: Fabric,
        listeners: Listeners,
        datagrams: Datagrams,
        settings: LabSettings,
        certificates: Certificates,
        moved_to: Callable[[str], bool] = lambda ip: True,
    ) -> None:
        self._fabric = fabric
        self._listeners = listeners
        self._datagrams = datagrams
        self._settings = settings
        self._certificates = certificates
        self._moved_to = moved_to
        self._terminator = Terminator(fabric)
        self.requests = Requests(fabric, self._choose_for_request)
        self.datagram_flows = DatagramFlows(asyncio.get_running_loop(), fabric, settings.udp_idle_s)
        self._state = State()
        self._fronts: dict[tuple[str, int, str], _Front] = {}
        """By address, port and transport."""
        self._owner_of: dict[str, LoadBalancer] = {}  # target group's ARN → its balancer
        self._health: dict[TargetKey, Health] = {}
        self._checked: dict[TargetKey, tuple[TargetGroup, Target]] = {}
        """By what its checks are called; looked for among hundreds at each check, it would be the most of a check."""
        self._checks: dict[TargetKey, asyncio.Task[None]] = {}
        self._idle = 0
        """How many targets are unhealthy, and nothing has come of it yet."""
        self._since: dict[TargetKey, float] = {}
        self._turns: dict[str, itertools.count[int]] = {}
        self._candidates: dict[tuple[str, str], tuple[Target, ...]] = {}
        self._kept: dict[tuple[str, str], str] = {}
        """Target of a group to which a client's address sticks, by group's ARN and address."""
        self._leaving: set[TargetKey] = set()  # draining, and to be cut off when the delay is over
        self._reported: Report = {}
        self.changed = asyncio.Event()
        """Set when a target's state differs from what was last taken by `report`."""
        fabric.chooser = self

    def apply(self, state: State) -> None:
        """A new revision: listeners, health checks and what drains follow it."""
        self._state = state
        self._candidates.clear()
        self._fronts = {
            (address.ip, listener.port, transport): _Front(balancer, listener, address.zone)
            for balancer in state.load_balancers.values()
            for listener in balancer.listeners
            for transport in listener.transports
            for address in balancer.addresses
        }
        self._owner_of = {arn: f.balancer for f in self._fronts.values() for arn in f.listener.target_groups}
        self._kept = {key: target for key, target in self._kept.items() if key[0] in state.target_groups}
        self._listen()
        self._end_flows_of_deleted(state)
        self._follow_draining(state)
        self._follow_targets(state)
        self.changed.set()

    def _listen(self) -> None:
        handlers: dict[Place, Handler] = {}
        of_datagrams: dict[Place, DatagramHandler] = {}
        for (ip, port, transport), front in self._fronts.items():
            if transport == UDP:
                of_datagrams[ip, port] = self.datagram_flows.receive
            else:
                handler = self._handler(front, (ip, port))
                if handler is not None:
                    handlers[ip, port] = handler
        self._listeners.sync(OWNER, handlers)
        self._datagrams.sync(OWNER, of_datagrams)

    def _handler(self, front: _Front, place: Place) -> Handler | None:
        """What accepts there; None where TLS is to be spoken and there is no certificate: nothing listens."""
        listener, tls = front.listener, None
        if listener.secure:
            try:
                tls = self._certificates.context(listener)
            except (NoCertificate, OSError) as error:
                log.warning("%s: %s", front.balancer.name, error)
                return None
        if listener.protocol in ("HTTP", "HTTPS"):
            known = RequestFront(balancer=front.balancer, listener=listener, place=place)
            return partial(self.requests.accept, known, tls)
        return self._fabric.accept if tls is None else partial(self._terminator.accept, tls)

    def _end_flows_of_deleted(self, state: State) -> None:
        self._fabric.flows.abort_where(
            lambda hops: any(h.balancer is not None and h.balancer not in state.load_balancers for h in hops)
        )

    def _follow_targets(self, state: State) -> None:
        wanted = {
            (group.arn, target.key): (group, target)
            for arn in self._owner_of
            if (group := state.target_groups.get(arn)) is not None
            for target in group.targets
            if not target.draining
        }
        self._checked = wanted
        for key in self._checks.keys() - wanted.keys():
            self._checks.pop(key).cancel()
            self._health.pop(key, None)
        for key, (_, target) in wanted.items():
            if self._since.get(key, target.since) != target.since:  # back again: it starts as a new one
                self._health[key] = Health()
                self._reported.get(key[0], {}).pop(key[1], None)
        self._since = {key: target.since for key, (_, target) in wanted.items()}
        for position, key in enumerate(sorted(wanted.keys() - self._checks.keys())):
            self._health[key] = Health()
            self._checks[key] = asyncio.create_task(self._check_for_ever(key, position))
        self._count_idle()

    def _follow_draining(self, state: State) -> None:
        """Open flows outlive the deregistration delay for as long as their target does; only a group that asks for
        connection termination (off by default but for UDP) has them cut when the delay is over."""
        present = {(group.arn, target.key) for group in state.target_groups.values() for target in group.targets}
        for key in self._leaving - present:
            self._fabric.flows.abort_where(lambda hops, key=key: _serve(hops, key))
        self._leaving = {
            (group.arn, target.key)
            for group in state.target_groups.values()
            if group.cuts_when_drained
            for target in group.targets
            if target.draining
        }

    # --- health

    async def _check_for_ever(self, key: TargetKey, position: int) -> None:
        interval = self._settings.health_interval_s
        await asyncio.sleep(interval * (position % 16) / 16)  # not all at the same moment
        await asyncio.sleep(self._registration_s(key))
        while True:
            started = asyncio.get_running_loop().time()
            ok = await self._check_once(key)
            if ok is not None:
                self._record(key, ok)
            spent = asyncio.get_running_loop().time() - started
            alike = self._idle if self._health.get(key, Health()).idle else len(self._health) - self._idle
            await asyncio.sleep(max(0.0, pause_s(interval, alike) - spent))

    def _count_idle(self) -> None:
        self._idle = sum(health.idle for health in self._health.values())

    def _registration_s(self, key: TargetKey) -> float:
        """How long AWS takes until it looks at a new target; none for balancers of the first cluster's VPC."""
        balancer = self._owner_of.get(key[0])
        if balancer is None or not any(self._moved_to(address.ip) for address in balancer.addresses):
            return 0.0
        settings, group = self._settings, self._state.target_groups.get(key[0])
        # Ids of instances are random, addresses of the lab's machines are not.
        target = next((one for one in group.targets if one.key == key[1]), None) if group else None
        where = self._address(group, target) if group and target else None
        return drawn(settings.target_registration_s, settings.seed, "target", group.name if group else "", where)

    async def _check_once(self, key: TargetKey) -> bool | None:
        group, target = self._checked.get(key, (None, None))
        balancer = self._owner_of.get(key[0])
        if group is None or balancer is None or target is None or not balancer.addresses:
            return None
        host = self._address(group, target)
        if host is None:
            return False
        port = target.port if group.health.port == "traffic-port" else int(group.health.port)
        source = self._source(balancer, self._zone(group, target))
        return await check(
            self._fabric,
            source,
            host,
            port,
            group.health,
            self._settings.health_timeout_s,
            proxy_protocol=group.proxy_protocol,
        )

    def _record(self, key: TargetKey, ok: bool) -> None:
        before = self._health.get(key)
        if before is None:
            return
        settings = self._settings
        after = before.after(ok, healthy=settings.healthy_threshold, unhealthy=settings.unhealthy_threshold)
        self._health[key] = after
        if after.state == before.state:
            return
        log.info("target %s of %s is %s", key[1], key[0].rpartition(":")[2], after.state)
        self._candidates.clear()
        self._count_idle()
        self.changed.set()
        group = self._state.target_groups.get(key[0])
        terminates = group and group.attributes.get("target_health_state.unhealthy.connection_termination.enabled")
        # An application balancer lets requests under way end.
        requests = group is not None and group.protocol in ("HTTP", "HTTPS")
        if after.state == UNHEALTHY and terminates != "false" and not requests:
            self._fabric.flows.abort_where(lambda hops: _serve(hops, key))

    def healthy_hosts(self, group_arn: str) -> int:
        return sum(h.state == HEALTHY for (arn, _), h in self._health.items() if arn == group_arn)

    def report(self, *, everything: bool = False) -> Report:
        """The targets whose state changed since the last report, as the backplane takes it."""
        current: Report = {}
        for group in self._state.target_groups.values():
            current[group.arn] = {t.key: self._describe(group, t) for t in group.targets}
        if everything:
            self._reported = {}
        changes: Report = {}
        for arn, targets in current.items():
            known = self._reported.get(arn, {})
            different = {k: v for k, v in targets.items() if known.get(k) != v}
            if different:
                changes[arn] = different
        self._reported = current
        self.changed.clear()
        return changes

    def _describe(self, group: TargetGroup, target: Target) -> dict[str, str]:
        if target.draining:
            return {"state": "draining", "reason": "Target.DeregistrationInProgress"}
        if group.arn not in self._owner_of:
            return {"state": "unused", "reason": "Target.NotInUse"}
        health = self._health.get((group.arn, target.key), Health())
        return {"state": health.state, "reason": health.reason} if health.reason else {"state": health.state}

    # --- choosing

    def choose(self, address: str, port: int, client: str, transport: str = TCP) -> Choice | None:
        """Round robin over healthy targets; over all registered ones if none is (as the service itself fails open)."""
        front = self._fronts.get((address, port, transport))
        if front is None:
            return None
        group, target, host = self._target(front, front.listener.forwards, client)
        # Of datagrams the client's address is always kept.
        preserved = group.attributes.get("preserve_client_ip.enabled") == "true" or transport == UDP
        return Choice(
            client if preserved else address,
            host,
            target.port,
            front.balancer.arn,
            group.arn,
            target.key,
            group.proxy_protocol and transport == TCP,
        )

    def _choose_for_request(self, front: RequestFront, forwards: tuple[Forward, ...], client: str) -> Choice:
        """The same for one request: targets see the balancer's own address. Raises Refused."""
        address = front.place[0]
        known = self._fronts.get((*front.place, TCP))
        if known is None:
            raise Refused(f"{front.balancer.name}:{front.place[1]} is gone")
        group, target, host = self._target(known, forwards, client)
        return Choice(address, host, target.port, front.balancer.arn, group.arn, target.key)

    def _target(self, front: _Front, forwards: tuple[Forward, ...], client: str) -> tuple[TargetGroup, Target, str]:
        """A target, its group and its address. Raises Refused."""
        group = self._state.target_groups.get(self._group(front, forwards))
        candidates = self._usable(group, front) if group else ()
        if group is None or not candidates:
            raise Refused(f"{front.balancer.name}:{front.listener.port} has no target")
        kept = self._kept.get((group.arn, client)) if group.sticky_by_source else None
        target = next((one for one in candidates if one.key == kept), None)
        if target is None:
            turn = next(self._turns.setdefault(group.arn, itertools.count()))
            target = candidates[turn % len(candidates)]
            if group.sticky_by_source:
                self._kept[group.arn, client] = target.key
        host = self._address(group, target)
        if host is None:
            raise Refused(f"{target.id} has no address")
        return group, target, host

    def _group(self, front: _Front, forwards: tuple[Forward, ...]) -> str:
        """One of several groups by their weights, in turn. Raises Refused where none has any."""
        total = sum(one.weight for one in forwards)
        if not total:
            raise Refused(f"{front.balancer.name}:{front.listener.port} forwards to no group")
        if len(forwards) == 1:
            return forwards[0].target_group
        name = " ".join(one.target_group for one in forwards)
        turn = next(self._turns.setdefault(name, itertools.count())) % total
        return _weighted(forwards, turn)

    def _usable(self, group: TargetGroup, front: _Front) -> tuple[Target, ...]:
        zone = ANY_ZONE if front.balancer.cross_zone else front.zone
        known = self._candidates.get((group.arn, zone))
        if known is not None:
            return known
        registered = tuple(t for t in group.targets if not t.draining)
        healthy = tuple(t for t in registered if self._is_healthy(group, t))
        # Without cross-zone a zone with no healthy target leaves the name; who still comes is served by the others.
        local = tuple(t for t in healthy if self._zone(group, t) in (zone, ANY_ZONE))
        usable = (healthy if zone == ANY_ZONE else local or healthy) or registered
        self._candidates[group.arn, zone] = usable
        return usable

    def _is_healthy(self, group: TargetGroup, target: Target) -> bool:
        return self._health.get((group.arn, target.key), Health()).state == HEALTHY

    def _address(self, group: TargetGroup, target: Target) -> str | None:
        if group.target_type == "ip":
            return target.id
        instance = self._state.instances.get(target.id)
        return instance.ip if instance is not None and instance.alive else None

    def _zone(self, group: TargetGroup, target: Target) -> str:
        if group.target_type == "instance" and target.id in self._state.instances:
            return self._state.instances[target.id].zone
        if target.zone:
            return target.zone
        subnet = self._state.subnet_of(target.id) if group.target_type == "ip" else None
        return subnet.zone if subnet else ANY_ZONE

    @staticmethod
    def _source(balancer: LoadBalancer, zone: str) -> str:
        return next((a.ip for a in balancer.addresses if a.zone == zone), balancer.addresses[0].ip)

    def addresses_in_dns(self, balancer: LoadBalancer) -> tuple[str, ...]:
        """What the balancer's name resolves to: zones with a healthy target, or all of them if there is none."""
        everywhere = tuple(a.ip for a in balancer.addresses)
        groups = [
            group
            for listener in balancer.listeners
            for arn in listener.target_groups
            if (group := self._state.target_groups.get(arn)) is not None
        ]
        healthy = {self._zone(g, t) for g in groups for t in g.targets if self._is_healthy(g, t)}
        if balancer.cross_zone or ANY_ZONE in healthy:
            return everywhere
        return tuple(a.ip for a in balancer.addresses if a.zone in healthy) or everywhere

    def close(self) -> None:
        for task in self._checks.values():
            task.cancel()
        self._terminator.close()
        self.requests.close()
        self.datagram_flows.close()


def pause_s(interval_s: float, alike: int) -> float:
    """How long after a target's check its next one comes, given how many there are that serve as it does, or don't.

    In a large lab hundreds of nodes have no pod of an ingress, or all of them serve (externalTrafficPolicy Cluster):
    400 then wait 7 s, where AWS's quickest is 5 s.
    """
    return max(interval_s, alike / CHECKS_A_SECOND)


def _weighted(forwards: Iterable[Forward], turn: int) -> str:
    """The group whose share of the weights a turn, less than their sum, falls into."""
    for one in forwards:
        if turn < one.weight:
            return one.target_group
        turn -= one.weight
    raise ValueError(f"turn {turn} is beyond the weights")


def _serve(hops: tuple[Hop, ...], key: TargetKey) -> bool:
    return any((hop.target_group, hop.target_key) == key for hop in hops)
