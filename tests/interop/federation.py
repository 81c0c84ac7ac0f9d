"""Tercet and other servers, by dialback over TLS (XEP-0220): federation.py FOLDER

Each side opens the first stream once, with nothing up; then people of both do what people do,
contacts and rooms, whichever side has them.
"""

import asyncio

import across
from across import PLUGINS, Room, says
from peers import INSTEAD, KINDS, PEERS, Started
from people import Steps, run, step


async def first_stanzas(name, romeo, juliet, again):
    """Nothing is up between the two: each begins once, and is answered."""
    await step(f"{name}: the first stanza goes out", says(romeo, juliet, "he jests at scars"))
    await step(f"{name}: and is answered", says(juliet, romeo, "ay me"))
    await again()
    await step(f"{name}: the first stanza comes in", says(juliet, romeo, "o romeo, romeo"))
    await step(f"{name}: and is answered", says(romeo, juliet, "shall i hear more"))


async def pair(ours, theirs, restarted):
    name = theirs.name
    romeo = ours.user("romeo-" + name, PLUGINS)
    juliet = theirs.user("juliet", PLUGINS)

    async def log_in():
        await romeo.log_in()
        await juliet.log_in()

    await step(f"{name}: logins", log_in())

    async def again():
        await romeo.log_out()
        await restarted()
        await romeo.log_in()

    await first_stanzas(name, romeo, juliet, again)
    if Steps.failed:
        return  # Nothing else can pass.
    await across.contacts(name, romeo, juliet)
    await across.questions(name, romeo, juliet)
    await across.blocking(name, romeo, juliet)
    await across.farewell(name, romeo, juliet)
    await Room(f"{name}: a room here", romeo, juliet).play()
    await Room(f"{name}: a room there", juliet, romeo).play()
    for user in (romeo, juliet):
        await user.log_out()


async def main():
    with Started() as started:
        ours = KINDS[INSTEAD]()
        peers = [KINDS[kind]() for kind in PEERS]
        await step("the servers start", started.all(ours, *peers))
        barrier = asyncio.Barrier(len(peers))

        async def restarted():
            """One of them does it, for all."""
            async with barrier as index:
                if index == 0:
                    await step(f"{ours.name} is started again", ours.restart())
            await barrier.wait()

        await asyncio.gather(*(pair(ours, theirs, restarted) for theirs in peers))


run(main)
