"""One question to a DNS server that is probed, by UDP, from a place."""

from __future__ import annotations

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rdata
import dns.rdatatype
from dns.rdtypes.txtbase import TXTBase

from proof.connection import ProbeFailed, describe
from proof.resolver import REPEAT_AFTER_S


async def ask_text(name: str, ip: str, port: int, source: str | None) -> bytes:
    """The TXT record of `name` as this server has it.

    A lost datagram is sent again, as resolvers do, for as long as the probe has time. Raises ProbeFailed for what is
    refused or isn't an answer.
    """
    while True:
        query = dns.message.make_query(name, dns.rdatatype.TXT, use_edns=0)
        try:
            message = await dns.asyncquery.udp(query, ip, timeout=REPEAT_AFTER_S, port=port, source=source)
        except dns.exception.Timeout:
            continue
        except OSError as error:
            raise ProbeFailed("answer", f"{ip}:{port}: {describe(error)}") from None
        except dns.exception.DNSException as error:
            raise ProbeFailed("answer", f"malformed: {type(error).__name__}") from None
        break
    if message.rcode() != dns.rcode.NOERROR:
        raise ProbeFailed("answer", dns.rcode.to_text(message.rcode()))
    text = b""
    for rrset in message.answer:
        records: list[dns.rdata.Rdata] = list(rrset)
        text += b"".join(piece for record in records if isinstance(record, TXTBase) for piece in record.strings)
    return text
