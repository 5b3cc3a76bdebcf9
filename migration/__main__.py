"""The command line beside `pulumi up`: discover, rights, status, plan, check, roll, handover, record, recover, …"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from migration.clients import Clients
from migration.contracts.durations import Timings
from migration.discover.options import DiscoveryOptions
from migration.drain.options import arguments as drain_arguments
from migration.runtime.deadline import Permanent, Retryable
from migration.settings import ConfigurationError, Settings, load_file
from migration.settings.model import AcceptedFlows, LayoutName, Strategy
from migration.stages.moves import IllegalMove
from migration.stages.table import LAST

STACKS = Path("stacks")
PROJECT = "migration"  # Pulumi.yaml's name: with the environment it makes the record's owner
EXIT_REFUSED = 2


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _limit(text: str) -> tuple[str, int]:
    key, value = _pair(text)
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=SECONDS")
    return key, int(value)


def _flows(text: str) -> tuple[str, AcceptedFlows]:
    role, separator, rest = text.partition("=")
    count, colon, why = rest.partition(":")
    if role not in ("ingress", "api") or not separator or not colon or not count.isdecimal() or not why:
        raise argparse.ArgumentTypeError(f"{text!r} is not ingress=N:WHY or api=N:WHY")
    return role, AcceptedFlows(active=int(count), why=why)


def _discover_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--cluster", required=True, help="the cluster's name, as its tags have it (kubernetes.io/cluster/NAME)")
    add("--vpc", required=True, metavar="VPC-ID", help="the VPC the cluster is in")
    add("--terraform", type=Path, metavar="STATE", help="a Terraform state: --vpc and --zone may be its addresses")
    add("--region", help="default: the environment's")
    add("--from", dest="from_name", metavar="NAME", help="the old side's name (default: the VPC's Name)")
    add("--to", dest="to_name", default="main", metavar="NAME", help="the new side's name (default: main)")
    add("--to-cidr", metavar="CIDR", help="the new VPC's range (default: the next free /16)")
    add("--pod-cidr", metavar="CIDR", help="default: the controller manager's --cluster-cidr")
    add("--service-cidr", metavar="CIDR", help="default: the API server's --service-cluster-ip-range")
    add(
        "--operator-network",
        action="append",
        default=[],
        metavar="CIDR",
        help="where operators come from: let in to etcd",
    )
    add("--ingress-balancer", metavar="NAME", help="where several send to the workers")
    add("--ingress-service", metavar="NAMESPACE/NAME", help="where several Services have the node port")
    add("--zone", metavar="ID|NAME", help="the hosted zone, where several lead to the balancers")
    add("--etcd-certificates", metavar="PREFIX", help="SSM prefix of ca.crt, client.crt, client.key")
    add("--etcd-strategy", choices=get_args(Strategy), default="learner", help="how members' data moves at stage 7")
    add("--layout", choices=list(get_args(LayoutName)), help="the control plane's form (default: as it is recognised)")
    add("--user-data-file", metavar="FILE", help="with --layout custom: your own user data of a new member")
    add("--ask-machines", action="store_true", help="ask the members' machines what runs there, through SSM")
    add("--kubeconfig", metavar="FILE", help="default: KUBECONFIG")
    references = "rules elsewhere that name the old VPC: give them twins, or leave that to their owners"
    add("--references", choices=["apply", "list"], help=references)
    add("--nat", choices=["none", "per-zone"], help="the new VPC's way to the internet; unsaid: as the old one's")
    add("--ttl", type=int, metavar="SECONDS", help="TTL of the records from stage 2 on")
    add(
        "--accept-flows",
        action="append",
        default=[],
        type=_flows,
        metavar="ingress|api=N:WHY",
        help="open flows on an old balancer that are known to stay",
    )
    add("--limit", action="append", default=[], type=_limit, metavar="KEY=SECONDS", help="sets limits.KEY")
    add("--tag", action="append", default=[], type=_pair, metavar="KEY=VALUE", help="on everything made")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--stack", default="stage-0", help="writes stacks/Pulumi.STACK.yaml (default: stage-0)")
    where.add_argument("--output", type=Path, metavar="FILE", help="writes this file; its name names the stack")
    add("--overwrite", action="store_true", help="replace a configuration that the file holds already")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="python -m migration", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    discover = commands.add_parser("discover", help="read a running cluster, write the stack's configuration")
    _discover_arguments(discover)
    check = commands.add_parser("check", help="validate a stack's file")
    check.add_argument("file", type=Path)
    for name, text in (("status", "where the migration is"), ("record", "the record of the cluster's migration")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--file", type=Path, help="a stack's file (default: the only one in stacks/)")
        command.add_argument("--json", action="store_true", help="for machines")
        if name == "record":
            action = command.add_mutually_exclusive_group()
            action.add_argument("--show", action="store_true", help="the default")
            action.add_argument("--restore", type=int, metavar="STAGE", help="write a record that was lost")
            action.add_argument("--take-over", action="store_true", help="let this stack drive the cluster")
    plan = commands.add_parser("plan", help="what the next up would do, as far as it can be seen now; only reads")
    plan.add_argument("--file", type=Path, help="a stack's file (default: the only one in stacks/)")
    plan.add_argument("--stage", type=int, choices=range(LAST + 1), metavar="N", help="default: the stack's own")
    plan.add_argument("--json", action="store_true", help="for machines")
    plan.add_argument("--timings", type=Path, help="JSON: how long another cloud than AWS takes for things")
    rights = commands.add_parser("rights", help="IAM policies with the rights that a migration needs; asks nobody")
    rights.add_argument("--cluster", required=True, help="the cluster's name, as its tags have it")
    rights.add_argument("--region", required=True)
    rights.add_argument("--account", default="*", metavar="ID", help="default: any")
    rights.add_argument("--partition", default="aws", help="aws, aws-cn, aws-us-gov, … (default: aws)")
    rights.add_argument("--etcd-certificates", default="", metavar="PREFIX", help="as discovery takes it")
    for option, text in (("--member-role", "of the control plane's machines"), ("--machine-role", "of any machine")):
        rights.add_argument(option, action="append", default=[], metavar="NAME", help=f"{text} (default: any role)")
    rights.add_argument("--output", type=Path, metavar="FOLDER", help="default: standard output, a document a line")
    roll = commands.add_parser("roll", help="replace nodes and members' machines of another version than their group's")
    roll.add_argument("--file", type=Path, help="a stack's file (default: the only one in stacks/)")
    roll.add_argument("--plan", action="store_true", help="only say what would be replaced")
    handover = commands.add_parser("handover", help="the new side to Terraform, or the old side from it; only reads")
    handover.add_argument("--file", type=Path, help="a stack's file (default: the only one in stacks/)")
    handover.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    way = handover.add_mutually_exclusive_group(required=True)
    way.add_argument("--to", choices=["terraform"], help="import blocks and configuration of the side that is lived on")
    way.add_argument(
        "--from",
        dest="origin",
        nargs=2,
        metavar=("terraform", "STATE"),
        help="what the old side's code must forget, by its state (terraform show -json, or state pull)",
    )
    recover = commands.add_parser(
        "recover", help="after a killed pulumi up: free its lock, settle what it left half done"
    )
    recover.add_argument("--stack", metavar="NAME", help="default: the stack that is selected here")
    recover.add_argument(
        "--state-lost",
        action="store_true",
        help="the stack's state is gone for good: build it anew from what exists; nothing is made or changed",
    )
    drain = commands.add_parser("drain", help="empty some nodes under every budget; needs neither AWS nor a stack")
    drain_arguments(drain)
    commands.add_parser("watch", help="probe the cluster from outside; arguments as in proof.watch", add_help=False)
    return top


def _stack_file(given: Path | None) -> Path:
    """The file given, or the only stack's; raises `Permanent` naming those there are."""
    if given is not None:
        return given
    found = sorted(STACKS.glob("Pulumi.*.yaml"))
    staged = [path for path in found if "stage-" in path.name] or found
    if len(staged) == 1:
        return staged[0]
    names = ", ".join(map(str, found)) or "none"
    raise Permanent(f"which stack? name its file with --file; there are: {names}")


def _read(path: Path | None) -> Settings:
    file = _stack_file(path)
    if not file.exists():
        raise Permanent(f"there is no file {file}")
    return load_file(file)


def _loaded(path: Path | None) -> tuple[Settings, Clients]:
    """Raises `Permanent` where only Pulumi could say which cluster is meant, rather than take any that is at hand."""
    settings = _read(path)
    if settings.kubeconfig_encrypted and not os.environ.get("KUBECONFIG"):
        raise Permanent(
            "migration:kubeconfig is encrypted in the stack's file and only Pulumi can read it: set KUBECONFIG to a "
            "kubeconfig of the same cluster for this command"
        )
    return settings, Clients(region=settings.region, kubeconfig=settings.configuration.kubeconfig)


def _by_address(state: Path | None, given: str | None) -> str | None:
    """What is meant by `given`: the id that a Terraform state has at that address, or itself where it is no address."""
    if state is None or given is None or not given.startswith(("aws_", "module.")):
        return given
    from migration.handover.forget import ids_by_address
    from migration.handover.state import read, without_module

    known = ids_by_address(read(state))
    if given not in known:
        kind = without_module(given).partition(".")[0]
        alike = ", ".join(sorted(address for address in known if without_module(address).startswith(f"{kind}.")))
        raise Permanent(f"{state} has nothing at {given}; of {kind} it has {alike or 'nothing'}")
    return known[given]


def _discover(args: argparse.Namespace) -> None:
    import boto3

    from migration.discover.run import discover
    from migration.discover.write import write

    region = args.region or boto3.Session().region_name
    if not region:
        raise Permanent("no region: give --region or set AWS_REGION")
    vpc, zone = _by_address(args.terraform, args.vpc), _by_address(args.terraform, args.zone)
    options = DiscoveryOptions(
        cluster=args.cluster,
        vpc=vpc or args.vpc,
        from_name=args.from_name,
        to_name=args.to_name,
        to_cidr=args.to_cidr,
        pod_cidr=args.pod_cidr,
        service_cidr=args.service_cidr,
        operator_networks=tuple(args.operator_network),
        ingress_balancer=args.ingress_balancer,
        ingress_service=args.ingress_service,
        zone=zone,
        etcd_certificates=args.etcd_certificates,
        etcd_strategy=args.etcd_strategy,
        kubeconfig=args.kubeconfig,
        references=args.references,
        nat=args.nat,
        ttl=args.ttl,
        accepted_flows=dict(args.accept_flows),
        limits=dict(args.limit),
        tags=dict(args.tag),
        layout=args.layout,
        user_data_file=args.user_data_file,
        ask_machines=args.ask_machines,
        log=print,
    )
    found = discover(Clients(region=region, kubeconfig=args.kubeconfig), options)
    path = args.output or STACKS / f"Pulumi.{args.stack}.yaml"
    unsaid = write(path, region, found, overwrite=args.overwrite)
    print(
        f"{path}: cluster {found['cluster']} in {args.vpc}: {len(found['pools'])} worker groups, "
        f"{len(found['members'])} members, {len(found['traffic']['records'])} names, "
        f"{len(found['connectedNetworks'])} connected networks; {len(found['retire'])} objects to retire, "
        f"{len(found['keep'])} to keep; from {found['from']} {found['sides'][found['from']]['cidr']} "
        f"to {found['to']} {found['sides'][found['to']]['cidr']}"
    )
    for problem in unsaid:
        print(f"no stage begins before this is said: {problem}")
    if unsaid:
        print("or discover again, with --operator-network CIDR --overwrite")


def _check(args: argparse.Namespace) -> None:
    settings = _read(args.file)
    print(
        f"{args.file}: valid; stage {settings.stage.number} ({settings.stage.name}) of {settings.configuration.cluster}"
    )


def _status(args: argparse.Namespace) -> None:
    from migration.status import lines, observe

    settings, clients = _loaded(args.file)
    seen = observe(settings, clients)
    print(seen.model_dump_json(indent=1, by_alias=True) if args.json else "\n".join(lines(seen)))


def _plan(args: argparse.Namespace) -> None:
    from migration.plan import at_stage, lines, plan

    settings, _ = _loaded(args.file)
    if args.stage is not None:
        settings = at_stage(settings, args.stage)
    told = plan(settings, f"{PROJECT}/{settings.environment}", timings=_timings(args.timings))
    print(told.model_dump_json(indent=1, by_alias=True) if args.json else "\n".join(lines(told)))


def _timings(path: Path | None) -> Timings | None:
    """A file's timings; raises `Permanent` with each key that can't be, or where it isn't JSON."""
    if path is None:
        return None
    try:
        return Timings.model_validate_json(path.read_text())
    except ValidationError as error:
        found = (f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors())
        raise Permanent(f"--timings {path}: {'; '.join(found)}") from None


def _rights(args: argparse.Namespace) -> None:
    from migration.rights.policy import Scope, documents

    scope = Scope(
        cluster=args.cluster,
        region=args.region,
        account=args.account,
        partition=args.partition,
        certificates=args.etcd_certificates,
        roles=tuple(args.member_role),
        passed=tuple(args.machine_role),
    )
    for number, document in enumerate(documents(scope), 1):
        if args.output is None:
            print(document)
            continue
        args.output.mkdir(parents=True, exist_ok=True)
        path = args.output / f"{args.cluster}-migration-{number}.json"
        path.write_text(document + "\n")
        print(f"{path}: {len(document)} characters")


def _roll(args: argparse.Namespace) -> None:
    from migration.plan.reading import ReadingClients
    from migration.rolling import due, run
    from migration.runtime.context import Context
    from migration.runtime.deadline import Deadline

    settings, clients = _loaded(args.file)
    if not args.plan:
        run(settings, clients, f"{PROJECT}/{settings.environment}", lambda text: print(text, flush=True))
        return
    reading = ReadingClients(region=settings.region, kubeconfig=settings.configuration.kubeconfig)
    found = due(settings, reading, Context(log=print, deadline=Deadline(60.0), clients=reading))
    print("\n".join(found) or "nothing: every machine is of its group's version, and every group is wanted")


def _handover(args: argparse.Namespace) -> None:
    from migration.handover import forget, objects, state
    from migration.plan.reading import ReadingClients
    from migration.rolling import lived_on

    if args.to:
        settings, _ = _loaded(args.file)
        c = settings.configuration
        side = lived_on(settings)
        if side is None:
            raise Permanent(
                f"at stage {settings.stage.number} ({settings.stage.name}) cluster {c.cluster} lives on no side that "
                f"this program made for good; hand over at stage 8"
            )
        text = objects.terraform(settings, ReadingClients(region=settings.region, kubeconfig=c.kubeconfig).aws, side)
    else:
        kind, path = args.origin
        if kind != "terraform":
            raise Permanent(f"--from {kind}: only terraform is known: --from terraform STATE")
        found = forget.forgotten(_read(args.file).configuration, state.read(Path(path)))
        text = forget.text(found)
        if not found.removed and not found.instances:
            raise Permanent(
                f"nothing in {path} is retired or moved by this migration: the state is of something else, or the "
                f"code forgot it already"
            )
    if args.output is None:
        print(text, end="")
        return
    args.output.write_text(text)
    print(f"{args.output}: written; terraform plan must change nothing")


def _record(args: argparse.Namespace) -> None:
    from migration.stages.record import read_record, restore, take_over
    from migration.stages.table import LAST

    settings, clients = _loaded(args.file)
    cluster, owner = settings.configuration.cluster, f"{PROJECT}/{settings.environment}"
    if args.take_over:
        found = take_over(clients.aws, cluster, owner)
    elif args.restore is not None:
        if not 0 <= args.restore <= LAST:
            raise Permanent(f"--restore {args.restore}: stages are 0 to {LAST}")
        c = settings.configuration
        found = restore(clients.aws, cluster, args.restore, owner=owner, from_side=c.from_, to_side=c.to)
    else:
        found = read_record(clients.aws, cluster)
    if args.json:
        print(found.model_dump_json(by_alias=True) if found else "null")
    elif found is None:
        print(f"cluster {cluster} has no record: no migration was begun")
    else:
        print(
            f"cluster {cluster}: driven by {found.owner}, from {found.from_side} to {found.to_side}, "
            f"reached stage {found.reached}, tried stage {found.tried}"
        )


def _recover(args: argparse.Namespace) -> None:
    import boto3

    from migration.clients.aws import Aws
    from migration.recover.run import place, recover

    def aws(region: str) -> Aws:
        known = region or boto3.Session().region_name
        if not known:
            raise Permanent("the state doesn't say which region its objects are in: set AWS_REGION")
        return Aws(region=known)

    def say(text: str) -> None:
        print(text, flush=True)

    where = place(args.stack, aws)
    if not args.state_lost:
        recover(where, say)
        return
    from migration.recover.lost import rebuild

    settings = _read(where.folder / STACKS / f"Pulumi.{where.engine.stack.rpartition('/')[2]}.yaml")
    rebuild(where, settings, aws(settings.region), f"{PROJECT}/{settings.environment}", say)


def _drain(args: argparse.Namespace) -> int:
    from migration.drain.command import run

    return run(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status 0, or 2 with a sentence on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["watch"]:
        from proof.watch import main as watch

        return watch(arguments[1:])
    args = parser().parse_args(arguments)
    run = {
        "discover": _discover,
        "check": _check,
        "status": _status,
        "plan": _plan,
        "rights": _rights,
        "roll": _roll,
        "handover": _handover,
        "record": _record,
        "recover": _recover,
        "drain": _drain,
    }[args.command]
    try:
        return run(args) or 0
    except (Permanent, Retryable, ConfigurationError, IllegalMove) as refusal:
        print(f"{args.command}: {refusal}", file=sys.stderr)
        return EXIT_REFUSED
    except ClientError as error:
        print(f"{args.command}: AWS refused: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except BotoCoreError as error:
        print(f"{args.command}: AWS can't be asked: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except OSError as error:
        print(f"{args.command}: {error}", file=sys.stderr)
        return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
