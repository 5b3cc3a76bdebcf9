"""Gates of the control plane's own state: its versions, its database's room, its certificates.

Asked before anything begins, when etcd is asked on its machines since its ports aren't open yet, and again before the
swaps, weeks later maybe. Each tells all that is wrong at once; what can't be read is never taken for well.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from migration.clients.aws import Instance
from migration.clients.etcd import Etcd, Member
from migration.contracts.gates import CertificatesLast, DatabaseFits, EtcdQuestion, VersionsFit
from migration.etcd import certificates, quota
from migration.etcd.certificates import CA_TIMES, Asked, judged
from migration.etcd.match import Addresses, hosts, told
from migration.etcd.preflight import endpoint, versions
from migration.etcd.quota import REFUSE_PERCENT, WARN_PERCENT, Unreadable
from migration.etcd.returning import note_of
from migration.etcd.served import Served
from migration.etcd.versions import judge
from migration.gates.live import Live
from migration.gates.members import ask
from migration.names import ticket_parameter
from migration.runtime.deadline import Permanent, Refused, Retryable


def versions_fit(q: VersionsFit, live: Live) -> str:
    """All voters run one safe version of etcd, all API servers one minor version of Kubernetes that fits it."""

    def question(etcd: Etcd) -> tuple[list[Member], dict[str, str]]:
        voters = _voters(etcd)
        return voters, versions(etcd, voters)

    voters, etcds = ask(q, live, question)
    served, at = _served(q, live), _machines(q, live, voters)
    servers: dict[str, str] = {}
    unread: list[str] = []
    for name, machine in (_servers(q, live) or {one.name: at[one.id] for one in voters}).items():
        try:
            servers[name] = served.version(machine, q.api_port)
        except Retryable as reason:
            unread.append(str(reason))
    try:
        warnings = judge(etcds, servers)
    except Permanent as reason:
        raise Permanent("; ".join([str(reason), *unread])) from reason
    if unread:
        raise Retryable("; ".join(unread))
    for warning in warnings:
        live.context.log(f"warning: {warning}")
    return f"etcd {', '.join(sorted(set(etcds.values())))}, Kubernetes {', '.join(sorted(set(servers.values())))}"


def database_fits(q: DatabaseFits, live: Live) -> str:
    """Every voter's database is below a share of its quota; past the quota etcd takes no writes, swap or not."""

    def question(etcd: Etcd) -> str:
        seen: list[str] = []
        full: list[str] = []
        unread: list[str] = []
        for member in _voters(etcd):
            url = endpoint(member)
            try:
                found = quota.parsed([line for name in quota.NAMES for line in etcd.metrics(url, name)])
            except Unreadable as reason:
                full.append(
                    f"how near {member.name}'s database is to its quota can't be told: {url}/metrics {reason}; let "
                    f"etcd serve its own metrics at its client port"
                )
                continue
            except Retryable as reason:
                unread.append(f"how near {member.name}'s database is to its quota can't be asked: {reason}")
                continue
            said = f"{member.name}: {quota.told(found)}"
            seen.append(said)
            if found.percent >= REFUSE_PERCENT:
                full.append(f"{said}; {REFUSE_PERCENT} % is too near: {quota.advice(found, url)}")
            elif found.percent >= WARN_PERCENT:
                live.context.log(f"warning: {said}; {quota.advice(found, url)}")
        if full:
            raise Refused([*full, *unread])
        if unread:
            raise Retryable("; ".join(unread))
        return "; ".join(seen)

    return ask(q, live, question)


def certificates_last(q: CertificatesLast, live: Live) -> str:
    """Serving certificates of etcd and of the API, their CAs, and the operator's own: names, and how long they last."""
    voters = ask(q, live, _voters)
    served, at = _served(q, live), _machines(q, live, voters)
    asked = [*_authorities(q, live)]
    unread: list[str] = []
    looks: list[_Look] = []
    for member in voters:
        name, machine = member.name, at[member.id]
        clients = (machine.ip, *_hosts(member.client_urls))
        looks += [
            (name, machine, "etcd's client port", "etcd/server.crt", q.etcd.client_port, machine.ip, clients),
            (name, machine, "etcd's peer port", "etcd/peer.crt", q.peer_port, machine.ip, hosts(member)),
        ]
    for name, machine in (_servers(q, live) or {one.name: at[one.id] for one in voters}).items():
        looks.append((name, machine, "the API server", "apiserver.crt", q.api_port, q.api_names[0], q.api_names))
    for name, machine, what, file, port, host, names in looks:
        try:
            pem = served.certificate(machine, port, host)
        except Retryable as reason:
            unread.append(f"{what} of {name}: {reason}")
            continue
        asked.append(
            Asked(
                what=f"{what} of {name} at {machine.ip}:{port}",
                pem=pem,
                names=tuple(dict.fromkeys(names)),
                cure=f"renew it there (kubeadm has it in /etc/kubernetes/pki/{file})",
            )
        )
    now = datetime.now(UTC)
    wrong = [sentence for one in asked for sentence in judged(one, now, q.days)]
    if wrong:
        raise Refused([*wrong, *unread])
    if unread:
        raise Retryable("; ".join(unread))
    first = certificates.day(certificates.end_of(one.pem for one in asked))
    beside = "" if any(one.what.startswith("the API's CA") for one in asked) else "; the kubeconfig names no CA"
    return f"{len(asked)} certificates and CAs, the first to end on {first}{beside}"


def _authorities(q: CertificatesLast, live: Live) -> Iterable[Asked]:
    """etcd's CA and the operator's certificate, from where this program has them, and the API's from the kubeconfig."""
    prefix = q.etcd.certificates
    weeks = f"every certificate that it issued ends with it, and a CA must last {CA_TIMES} times as long"
    for name, what, cure in (
        ("ca.crt", "etcd's CA", f"replace the CA first ({weeks})"),
        ("client.crt", "the operator's etcd certificate", "put a new one there, with its key"),
    ):
        try:
            found = live.aws.ssm.get_parameter(Name=f"{prefix}/{name}", WithDecryption=True)["Parameter"].get(
                "Value", ""
            )
        except live.aws.ssm.exceptions.ParameterNotFound:
            raise Permanent(
                f"the SSM parameter {prefix}/{name} doesn't exist; correct migration:etcd.certificates"
            ) from None
        yield Asked(what=f"{what} in {prefix}/{name}", pem=found, authority=name == "ca.crt", cure=cure)
    bundle = live.kubernetes.authority()
    if bundle is not None:
        yield Asked(
            what="the API's CA in the kubeconfig", pem=bundle, authority=True, cure=f"replace the CA first ({weeks})"
        )


def _served(q: VersionsFit | CertificatesLast, live: Live) -> Served:
    return Served(
        aws=live.aws,
        kubernetes=live.kubernetes,
        deadline=live.context.deadline,
        alive=live.context.alive,
        direct=q.etcd.access.by_port,
        files=q.etcd.on_machine,
    )


_Look = tuple[str, Instance, str, str, int, str, tuple[str, ...]]
"""Of whom, on which machine, what, its file, its port, the host that is asked for, the names it must have."""


def _servers(q: VersionsFit | CertificatesLast, live: Live) -> dict[str, Instance]:
    """Machines of the API servers by name, where they aren't on the voters'; empty where they are.

    Those of this program's that nobody has told of etcd's members wait, and serve nobody yet. Raises `Retryable` where
    there should be some, and none runs.
    """
    every = {**q.old_servers, **q.new_servers}
    if not every:
        return {}
    running = [one for one in live.aws.instances_of_groups([*every]) if one.state == "running"]
    serving = {every[one.group]: one for one in running if not _waits(q, one.group, live)}
    if not serving:
        raise Retryable(f"no machine of {', '.join(every)} runs: no API server can be asked")
    return serving


def _waits(q: VersionsFit | CertificatesLast, group: str, live: Live) -> bool:
    if group in q.old_servers and note_of(live.aws, group) is None:
        return False
    name = {**q.old_servers, **q.new_servers}[group]
    try:
        live.aws.ssm.get_parameter(Name=ticket_parameter(live.cluster, name), WithDecryption=True)
    except live.aws.ssm.exceptions.ParameterNotFound:
        return True
    return False


def _voters(etcd: Etcd) -> list[Member]:
    return [member for member in etcd.members() if not member.learner]


def _hosts(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(host for url in urls if (host := urlsplit(url).hostname))


def _machines(q: EtcdQuestion, live: Live, voters: Iterable[Member]) -> dict[str, Instance]:
    """Each voter's machine, by the member's id. Raises `Retryable` for voters that no running machine is found for."""
    running = [one for one in live.aws.instances_of_groups([*q.old_groups, *q.new_groups]) if one.state == "running"]
    addresses = Addresses(running)
    found: dict[str, Instance] = {}
    lost: list[Member] = []
    for member in voters:
        here = addresses.of(member)
        machine = next((one for one in running if one.ip in here), None)
        if machine is None:
            lost.append(member)
        else:
            found[member.id] = machine
    if lost:
        raise Retryable(f"no running machine of the members' groups is at the address of {told(lost)}")
    return found
