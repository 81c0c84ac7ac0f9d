"""How servers show who they are, otherwise than by dialback over TLS: trust.py FOLDER

Dialback without TLS where both sides allow it; certificates of an authority that all know
(XEP-0178), with no dialback at all; a certificate that nobody vouches for; a domain that DNS knows.
"""

import asyncio
import os

from across import says
from names import TYPES, Names, a, srv
from peers import INSTEAD, KINDS, OTHER_PORT, PEERS, TLS_PORT, Started
from peers import address, authority, resolving_by
from people import run, step


async def people(ours, peers):
    """Somebody of each server, logged in; pairs of ours and theirs."""
    pairs = [(ours.user("romeo-" + peer.name), peer.user("juliet")) for peer in peers]
    await asyncio.gather(*(user.log_in() for pair in pairs for user in pair))
    return pairs


async def they_talk(name, started, theirs=None, **more):
    """Servers of one configuration, or two, and first words in both directions."""
    ours = KINDS[INSTEAD](**more)
    peers = [KINDS[kind](**(theirs or more)) for kind in PEERS]
    await step(f"{name}: the servers start", started.all(ours, *peers))
    pairs = await people(ours, peers)
    for romeo, juliet in pairs:
        peer = juliet.home.name
        await step(f"{peer}: {name}, out", says(romeo, juliet, "he jests at scars"))
        await step(f"{peer}: {name}, in", says(juliet, romeo, "ay me"))


async def comes_back(user, other):
    """What one says to the other comes back, since the servers do not trust each other (RFC 6120
    §8.3.3.16: "stream negotiation fails because of problems with TLS, SASL, Server Dialback")."""
    user.send_message(mto=other.full, mbody="who is there?", mtype="chat")
    error = await user.next_stanza("message", "the error", lambda m: m["type"] == "error")
    assert error["from"] == other.full, error
    assert error["error"]["condition"] == "remote-server-timeout", error


async def strangers(started):
    """Our certificate is good, theirs are not: nothing passes, and both sides are told why."""
    ca = authority()
    ours = KINDS[INSTEAD](trust="certificate", ca=ca, signer="authority")
    # What they ask of us is of no matter: they are those who cannot show who they are.
    peers = [KINDS[kind]() for kind in PEERS]
    await step("bad certificates: the servers start", started.all(ours, *peers))
    for romeo, juliet in await people(ours, peers):
        peer = juliet.home.name

        await step(f"{peer}: a bad certificate, out", comes_back(romeo, juliet))
        await step(f"{peer}: a bad certificate, in", comes_back(juliet, romeo))


def services(records, domain, host, services):
    """What DNS says of a domain: services with priorities and ports, and the address."""
    records["host." + domain, TYPES["A"]] = [a(host)]
    for service, places in services.items():
        records[f"_{service}._tcp.{domain}", TYPES["SRV"]] = [
            srv(priority, 0, port, "host." + domain) for priority, port in places
        ]


async def named(started):
    """Domains that are names: DNS tells the hosts and their ports. What comes first is dead; some
    have TLS from the first byte (XEP-0368). libunbound, which Prosody asks, knows that there is
    nothing under test."""
    starttls = {"xmpp-server": [(20, OTHER_PORT), (10, OTHER_PORT + 10)]}
    with_tls = {"xmpps-server": [(5, TLS_PORT), (1, TLS_PORT + 10)], **starttls}
    names = Names({})
    resolving = resolving_by(address(9))
    ours = KINDS["tercet"](name="named-tercet", also="tercet.example", prefix=resolving)
    services(names.records, "tercet.example", ours.domain, with_tls)
    peers = []
    for kind in PEERS:
        domain = kind + ".example"
        peer = KINDS[kind](name="named-" + kind, also=domain, prefix=resolving)
        services(names.records, domain, peer.domain, with_tls if kind == "prosody" else starttls)
        peers.append(peer)
    await names.serve(address(9))
    await step("names: the servers start", started.all(ours, *peers))
    for peer in peers:
        domain = peer.kind + ".example"
        romeo = ours.user("romeo-" + peer.kind, domain="tercet.example")
        juliet = peer.user("juliet", domain=domain)
        await asyncio.gather(romeo.log_in(), juliet.log_in())

        async def out():
            await says(romeo, juliet, "what's in a name")
            port = TLS_PORT if peer.kind == "prosody" else OTHER_PORT
            await ours.logs(f"connecting to a server: domain={domain} address={peer.domain}:{port}")

        await step(f"{peer.kind}: a name in DNS, out", out())
        comes_in = says(juliet, romeo, "that which we call a rose")
        await step(f"{peer.kind}: a name in DNS, in", comes_in)

    async def nowhere():
        romeo.send_message(mto="tybalt@nowhere.example", mbody="peace", mtype="chat")
        error = await romeo.next_stanza("message", "the error", lambda m: m["type"] == "error")
        assert error["error"]["condition"] == "remote-server-not-found", error

    await step("a name that DNS does not know", nowhere())


async def main():
    if os.getuid() != 0:
        print("# names in DNS: not tried, only root may serve them at port 53", flush=True)
    elif INSTEAD == "tercet":
        with Started() as started:
            await named(started)
    with Started() as started:
        await they_talk("dialback without TLS", started, tls=False)
    ca = authority()
    with Started() as started:
        more = {"trust": "certificate", "ca": ca, "signer": "authority"}
        await they_talk("certificates", started, **more)
    if INSTEAD == "tercet":
        with Started() as started:
            theirs = {"trust": "dialback", "ca": ca, "signer": "authority"}
            more = {**theirs, "trust": "both"}
            await they_talk("certificates and dialback", started, theirs, **more)
    with Started() as started:
        await strangers(started)


run(main)
