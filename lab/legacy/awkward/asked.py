"""What clients of shape `awkward` ask for, beside ingress and API: each listener by a name that can be moved. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab import shapes
from lab.legacy.awkward.balancers import CHECKOUT, INTRANET, PATHS, WEB, WEB_SHOP
from lab.settings import LabSettings

INGRESS_POD, INTRANET_POD, CHECKOUT_POD = ('{"pod": "ingress-', '{"pod": "intranet-', '{"pod": "checkout-')
"""How the lab's pods begin to say who they are (`lab/network/pods.py`)."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question: `url` as clients have it (`dns://` is a TXT record of that name, by UDP), and how who should answer
    begins. `secure`: the lab's own authority is to be trusted (`lab/network/certificates.py`)."""

    name: str
    url: str
    answers: str
    secure: bool = False


def asked(settings: LabSettings) -> tuple[Asked, ...]:
    """Every listener that this shape and seed have; none for another shape."""
    zone, ingress = settings.zone_name, settings.ingress_name
    path = shapes.draw_for("application_balancer", settings.seed).choice(PATHS).replace("*", "x")
    by_oddity = {
        "several_listeners": (
            Asked(name="ingress-80", url=f"http://{ingress}:80/", answers=INGRESS_POD),
            Asked(name="ingress-443", url=f"https://{ingress}:443/", answers=INGRESS_POD, secure=True),
        ),
        "second_ingress": (
            Asked(name="intranet-8081", url=f"http://{INTRANET}.{zone}:8081/", answers=INTRANET_POD),
            Asked(name="intranet-53", url=f"dns://{INTRANET}.{zone}:53", answers=INTRANET_POD),
        ),
        "application_balancer": (
            Asked(name="web-default", url=f"http://{WEB}.{zone}:8000/", answers=INGRESS_POD),
            Asked(name="web-host", url=f"http://{WEB_SHOP}.{zone}:8000/", answers=INGRESS_POD),
            Asked(name="web-path", url=f"http://{WEB}.{zone}:8000{path}", answers=INGRESS_POD),
        ),
        "service_balancer": (Asked(name="checkout-9000", url=f"http://{CHECKOUT}.{zone}:9000/", answers=CHECKOUT_POD),),
    }
    chosen = shapes.oddities(settings.shape, settings.seed)
    return tuple(one for oddity, those in by_oddity.items() if oddity in chosen for one in those)
