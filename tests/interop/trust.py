"""How servers show who they are, otherwise than by dialback over TLS: trust.py FOLDER

Dialback without TLS where both sides allow it; certificates of an authority that all know
(XEP-0178), with no dialback at all; a certificate that nobody vouches for; a domain that DNS knows.
"""

import asyncio

from across import says
from peers import INSTEAD, KINDS, PEERS, Started, authority
from people import WAIT_SECONDS, run, step


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
    """What one says to the other comes back, since the servers do not trust each other."""
    user.send_message(mto=other.full, mbody="who is there?", mtype="chat")
    error = await user.next_stanza("message", "the error", lambda m: m["type"] == "error")
    assert error["from"] == other.full, error
    return error["error"]["condition"]


async def strangers(started):
    """Our certificate is good, theirs are not: nothing passes, and both sides are told why."""
    ca = authority()
    ours = KINDS[INSTEAD](trust="certificate", ca=ca, signer="authority")
    # What they ask of us is of no matter: they are those who cannot show who they are.
    peers = [KINDS[kind]() for kind in PEERS]
    await step("bad certificates: the servers start", started.all(ours, *peers))
    for romeo, juliet in await people(ours, peers):
        peer = juliet.home.name

        async def out():
            condition = await comes_back(romeo, juliet)
            assert condition == "remote-server-not-found", condition

        async def comes_in():
            condition = await comes_back(juliet, romeo)
            assert condition.startswith("remote-server-"), condition

        await step(f"{peer}: a bad certificate, out", out())
        await step(f"{peer}: a bad certificate, in", comes_in())


async def main():
    with Started() as started:
        await they_talk("dialback without TLS", started, tls=False)
    ca = authority()
    with Started() as started:
        more = {"trust": "certificate", "ca": ca, "signer": "authority"}
        await they_talk("certificates", started, **more)
    with Started() as started:
        await strangers(started)


run(main)
