"""Names and connections of a machine's python3: its VPC's resolver, and the lab's network for every connection.

Copied to the machines' PATH as Python's `sitecustomize`. A process of this host reaches what listens on this host, and
beyond it the internet; a machine reaches what its rules let it. So a connection is asked of the network process first
(CONNECT over the machine's socket), and stands once somebody has answered. 127.0.0.1 is the lab's own: AWS, metadata.
"""

import os
import socket

OWN = "127.0.0.1"
LIMIT_S = 20.0
ANSWER_S = 3.0
INSTANCE, IP = os.environ.get("LAB_INSTANCE"), os.environ.get("LAB_MACHINE_IP")
_getaddrinfo, _connect, _setsockopt = socket.getaddrinfo, socket.socket.connect, socket.socket.setsockopt


def literal(host):
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
            return True
        except OSError:
            continue
    return False


def resolved(name):
    """A name's addresses, as this machine's VPC has them. Raises gaierror."""
    # Not at import: every python3 of a machine would wait for it.
    import dnslib

    question = dnslib.DNSRecord.question(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((IP, 0))
        sock.settimeout(ANSWER_S)
        try:
            sock.sendto(question.pack(), (OWN, int(os.environ["LAB_DNS_PORT"])))
            reply = dnslib.DNSRecord.parse(sock.recv(4_096))
        except OSError as error:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from error
    found = [str(one.rdata) for one in reply.rr if one.rtype == dnslib.QTYPE.A]
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return found


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name == "localhost" or literal(name):
        return _getaddrinfo(host, port, family, type, proto, flags)
    if family == socket.AF_INET6:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    every = (_getaddrinfo(one, port, socket.AF_INET, type, proto, flags) for one in resolved(name))
    return [one for some in every for one in some]


def gethostbyname(host):
    return getaddrinfo(host, None, socket.AF_INET)[0][4][0]


def connect(self, address):
    if self.family == socket.AF_INET6 and address[0] != "::1":
        raise OSError(101, "Network is unreachable")
    if self.family != socket.AF_INET or self.type != socket.SOCK_STREAM:
        return _connect(self, address)
    host = address[0] if literal(address[0]) else gethostbyname(address[0])
    if host == OWN:
        return _connect(self, address)
    limit = self.gettimeout()
    if limit == 0:
        raise OSError(95, "the lab's machines connect with sockets that block, or have a time-out")
    way = asked(host, address[1], LIMIT_S if limit is None else limit)
    # The same descriptor is that connection from now on; the way it waits is the new one's, and said anew.
    os.dup2(way.fileno(), self.fileno(), inheritable=False)
    way.close()
    self.settimeout(limit)
    return None


def setsockopt(self, level, *option):
    try:
        _setsockopt(self, level, *option)
    except OSError as error:
        # What `connect` has put there is a Unix socket, which has none of TCP's options.
        if level != socket.IPPROTO_TCP or error.errno != 95:
            raise


def asked(host, port, limit):
    """A connection through the lab's network. Raises what connect(2) would."""
    way = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        way.settimeout(limit)
        _connect(way, f"{os.environ['LAB_DIR']}/run/connect-{INSTANCE}.sock")
        way.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            # One by one: what follows is the other side's.
            one = way.recv(1)
            if not one:
                raise ConnectionResetError(104, "Connection reset by peer")
            head += one
        status = head.split(b" ", 2)[1]
        if status == b"504":
            raise TimeoutError("timed out")
        if status != b"200":
            raise ConnectionRefusedError(111, "Connection refused")
    except BaseException:
        way.close()
        raise
    return way


if INSTANCE and IP:
    socket.getaddrinfo, socket.gethostbyname = getaddrinfo, gethostbyname
    socket.socket.connect, socket.socket.setsockopt = connect, setsockopt
