"""How servers show who they are, otherwise than by dialback over TLS: trust.py FOLDER

Dialback without TLS where both sides allow it; certificates of an authority that all know
(XEP-0178), with no dialback at all; a certificate that nobody vouches for; a domain that DNS knows.
"""

import asyncio

from across import says
from names import TYPES, Names, a, srv
from peers import INSTEAD, KINDS, OTHER_PORT, PEERS, Started, address, authority, resolving_by
from people import run, step


async def people(ours, peers):
    """Somebody of each server, logged in; pairs of ours and theirs."""
    pairs = [(ours.user("romeo-" + peer.name), peer.user("juliet")) for peer in peers]
    await asyncio.gather(*(user.log_in() for pair in pairs for user in pair))
    return pairs


async def they_talk(name, started, **more):
    """Servers of one configuration, and first words in both directions."""
    ours = KINDS[INSTEAD](**more)
    peers = [KINDS[kind](**more) for kind in PEERS]
    await step(f"{name}: the servers start", started.all(ours, *peers))
    pairs = await people(ours, peers)
    for romeo, juliet in pairs:
        peer = juliet.home.name
        await step(f"{peer}: {name}, out", says(romeo, juliet, "he jests at scars"))
        await step(f"{peer}: {name}, in", says(juliet, romeo, "ay me"))
    return ours, pairs


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


async def named(started):
    """Domains that are names: DNS tells the hosts and their ports, the first of which is dead."""
    names = {kind: kind + ".test" for kind in PEERS}
    peers = [KINDS[kind](name="named-" + kind, also=names[kind]) for kind in PEERS]
    records = {}
    for kind, peer in zip(PEERS, peers):
        records["host." + names[kind], TYPES["A"]] = [a(peer.domain)]
        records["_xmpp-server._tcp." + names[kind], TYPES["SRV"]] = [
            srv(priority, 0, port, "host." + names[kind])
            for priority, port in [(20, OTHER_PORT), (10, OTHER_PORT + 1)]
        ]
    server = Names(records)
    await server.serve(address(9))
    ours = KINDS["tercet"](name="named-tercet", prefix=resolving_by(address(9)))
    await step("names: the servers start", started.all(ours, *peers))
    for peer, (kind, domain) in zip(peers, names.items()):
        romeo, juliet = ours.user("romeo-" + kind), peer.user("juliet", domain=domain)
        await asyncio.gather(romeo.log_in(), juliet.log_in())
        await step(f"{kind}: a name in DNS, out", says(romeo, juliet, "what's in a name"))
        await step(f"{kind}: a name in DNS, in", says(juliet, romeo, "that which we call a rose"))
        assert ("_xmpp-server._tcp." + domain, TYPES["SRV"]) in server.asked, server.asked

    async def nowhere():
        romeo.send_message(mto="tybalt@nowhere.test", mbody="peace", mtype="chat")
        error = await romeo.next_stanza("message", "the error", lambda m: m["type"] == "error")
        assert error["error"]["condition"] == "remote-server-not-found", error

    await step("a name that DNS does not know", nowhere())


async def main():
    if INSTEAD == "tercet":
        with Started() as started:
            await named(started)
    with Started() as started:
        await they_talk("dialback without TLS", started, tls=False)
    ca = authority()
    with Started() as started:
        more = {"trust": "certificate", "ca": ca, "signer": "authority"}
        await they_talk("certificates", started, **more)
    with Started() as started:
        await strangers(started)


run(main)
