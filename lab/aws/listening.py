"""Listeners as AWS has them: certificates, protocols that go together, attributes by protocol.

Sources: Elastic Load Balancing API reference (CreateListener, ModifyListener, AddListenerCertificates,
DescribeListeners: "Certificates: the default certificate"), and the listeners' pages of the user guides of network and
application balancers. moto knows HTTP, HTTPS and TCP only, and takes any attribute.
"""

from __future__ import annotations

from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeAction, FakeListener
from moto.elbv2.responses import ELBV2Response

from lab.aws.hooks import Refused, define, instead, rule
from lab.aws.world import WORLD

API = "Elastic Load Balancing API reference, "
SECURE = ("TLS", "HTTPS")
# Protocols of a target group that a listener may lead to. Source: NLB user guide, Listener configuration.
GOES_TO = {
    "TCP": ("TCP", "TCP_UDP"),
    "TLS": ("TCP", "TLS"),
    "UDP": ("UDP", "TCP_UDP"),
    "TCP_UDP": ("TCP_UDP",),
    "HTTP": ("HTTP", "HTTPS"),
    "HTTPS": ("HTTP", "HTTPS"),
}
DEFAULT_POLICY = "ELBSecurityPolicy-2016-08"


def _actions(actions: list[dict[str, Any]] | None) -> list[str]:
    return [arn for action in actions or [] for arn in WORLD.elbv2._get_target_group_arns_from(action)]


def _go_together(protocol: str, groups: list[str]) -> None:
    for arn in groups:
        group = WORLD.elbv2.target_groups.get(arn)
        if group is not None and group.protocol not in GOES_TO.get(protocol, ()):
            raise Refused(
                "IncompatibleProtocols",
                f"The listener protocol '{protocol}' is not compatible with the protocol '{group.protocol}' of target"
                f" group '{arn}'",
            )


@rule(ELBv2Backend, "create_listener", source=API + "CreateListener: IncompatibleProtocols")
def listener_and_group_of_different_protocols(_backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    _go_together(str(arguments["protocol"]), _actions(arguments["actions"]))


def _certified(backend: ELBv2Backend, protocol: str, certificates: list[str]) -> None:
    if protocol not in SECURE:
        if certificates:
            raise Refused("ValidationError", f"A certificate cannot be specified for {protocol} listeners")
        return
    if not certificates:
        raise Refused("ValidationError", f"A certificate must be specified for {protocol} listeners")
    _known(backend, certificates)


def _known(backend: ELBv2Backend, certificates: list[str]) -> None:
    for arn in certificates:
        if not backend._certificate_exists(arn):
            raise Refused("CertificateNotFound", f"Certificate '{arn}' not found")


@rule(
    ELBv2Backend,
    "create_listener",
    source=API + "CreateListener, Certificates: exactly one for a secure listener; CertificateNotFound",
)
def listener_certificate(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    _certified(backend, str(arguments["protocol"]), [one for one in [arguments["certificate"]] if one])


def _attributes(protocol: str) -> dict[str, str]:
    if protocol in ("TCP", "TLS", "TCP_UDP"):
        return {"tcp.idle_timeout.seconds": "350"}
    return {"routing.http.response.server.enabled": "true"} if protocol in ("HTTP", "HTTPS") else {}


@instead(ELBv2Backend, "create_listener")
def create(original: Any, backend: ELBv2Backend, *arguments: Any, **named: Any) -> FakeListener:
    """CreateListener: a secure one without a policy gets the default one; attributes are its protocol's."""
    listener: FakeListener = original(backend, *arguments, **named)
    if listener.protocol in SECURE and not listener.ssl_policy:
        listener.ssl_policy = DEFAULT_POLICY
    listener.attributes = _attributes(listener.protocol)
    return listener


@rule(ELBv2Backend, "modify_listener_attributes", source=API + "ListenerAttribute: which listeners support which key")
def listener_attribute_unknown(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    listener = backend.describe_listeners(None, [arguments["listener_arn"]])[0]
    for pair in arguments["attrs"]:
        key = pair["Key"]
        http = listener.protocol in ("HTTP", "HTTPS")
        if not (key.startswith("routing.http.") if http else key in _attributes(listener.protocol)):
            raise Refused("ValidationError", f"Listener attribute key '{key}' is not recognized")


@instead(ELBv2Backend, "modify_listener")
def modify(
    _original: Any,
    backend: ELBv2Backend,
    arn: str,
    port: Any = None,
    protocol: str | None = None,
    ssl_policy: str | None = None,
    certificates: list[dict[str, Any]] | None = None,
    actions: list[dict[str, Any]] | None = None,
) -> FakeListener:
    """ModifyListener: "any properties that you do not specify remain unchanged", but for what goes with TLS.

    "If you change the protocol from HTTPS to HTTP, or from TLS to TCP, the security policy and default certificate
    properties are deleted."
    """
    listener = backend.describe_listeners(None, [arn])[0]
    balancer = backend.load_balancers[listener.load_balancer_arn]
    if port is not None and any(
        one is not listener and int(one.port) == int(port) for one in balancer.listeners.values()
    ):
        raise Refused("DuplicateListener", "A listener already exists on this port for this load balancer")
    wanted = protocol or listener.protocol
    if protocol is not None:
        backend._validate_port_and_protocol(balancer.type, str(port or listener.port), protocol)
    given = [one["CertificateArn"] for one in certificates or []]
    kept = listener.certificates if wanted in SECURE else []
    _certified(backend, wanted, given or kept[:1])
    fake: list[Any] = [FakeAction(one) for one in actions or []]
    backend._validate_actions(fake)
    _go_together(wanted, _actions(actions) or _actions([one.data for one in listener.default_actions]))
    if wanted != listener.protocol:
        listener.attributes = _attributes(wanted)
    listener.protocol, listener.port = wanted, port or listener.port
    listener.certificates = [*given, *(one for one in kept[1:] if one not in given)] if given else kept
    listener.certificate = listener.certificates[0] if listener.certificates else None
    if wanted in SECURE:
        listener.ssl_policy = ssl_policy or listener.ssl_policy or DEFAULT_POLICY
    else:
        listener.ssl_policy = ssl_policy or ""
    if fake:
        listener.default_actions = fake
        listener._default_rule[0].actions = fake
    return listener


@rule(
    ELBv2Backend,
    "add_listener_certificates",
    source=API + "AddListenerCertificates: of HTTPS or TLS listeners; CertificateNotFound",
)
def certificate_of_a_plain_listener(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    listener = backend.describe_listeners(None, [arguments["arn"]])[0]
    if listener.protocol not in SECURE:
        raise Refused("ValidationError", f"A certificate cannot be specified for {listener.protocol} listeners")
    _known(backend, [one["CertificateArn"] for one in arguments["certificates"]])


@instead(ELBv2Backend, "add_listener_certificates")
def add_certificates(original: Any, backend: ELBv2Backend, arn: str, certificates: list[dict[str, Any]]) -> Any:
    """AddListenerCertificates: "if the certificate is already in the list, the call is successful" and adds none."""
    listener = backend.describe_listeners(None, [arn])[0]
    fresh = [one for one in certificates if one["CertificateArn"] not in listener.certificates]
    return original(backend, arn, fresh) if fresh else listener.certificates


@rule(
    ELBv2Backend,
    "remove_listener_certificates",
    source=API + "RemoveListenerCertificates: OperationNotPermitted for the default certificate",
)
def default_certificate_taken_away(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    listener = backend.describe_listeners(None, [arguments["arn"]])[0]
    if any(one["CertificateArn"] == listener.certificate for one in arguments["certificates"]):
        raise Refused("OperationNotPermitted", "Default certificate cannot be removed")


@rule(ELBv2Backend, "modify_rule", source=API + "ModifyRule: TargetGroupAssociationLimit, one balancer a group")
def target_group_of_a_changed_rule(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    listener_arn = arguments["rule_arn"].replace(":listener-rule/", ":listener/").rpartition("/")[0]
    listener = backend.describe_listeners(None, [listener_arn])[0]
    for arn in _actions(arguments["actions"]):
        group = backend.target_groups.get(arn)
        if group is not None and any(used != listener.load_balancer_arn for used in group.load_balancer_arns):
            raise Refused(
                "TargetGroupAssociationLimit",
                f"The following target groups cannot be associated with more than one load balancer: {arn}",
            )


def _default_only(certificates: list[str]) -> list[dict[str, str]] | None:
    return [{"CertificateArn": one} for one in certificates[:1]] or None


# What DescribeListeners answers is the default certificate; the others are DescribeListenerCertificates'.
_TRANSFORMERS = {
    **ELBV2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER,
    **{
        f"{call}Output.Listeners.Listener.Certificates": _default_only
        for call in ("CreateListener", "DescribeListeners", "ModifyListener")
    },
}
define(ELBV2Response, "RESPONSE_KEY_PATH_TO_TRANSFORMER", _TRANSFORMERS)
