"""The founding promise: what is accepted goes out, even if a stream must come first: farewells.py
FOLDER

People of both servers have directed presence from a user of Tercet and sit in one of its rooms.
The other server is killed and comes back, so that no stream is up; then Tercet ends. Whoever is
back there gets the unavailable presence, and the removal from the room, through a stream that is
dialled back first. A server that never says a word makes the end late, bounded, and counted.
"""

import asyncio
import re
import socket
import time

from across import PLUGINS, says, type_of
from peers import INSTEAD, KINDS, PEERS, STOP_SECONDS, Started, Tercet, address
from people import WAIT_SECONDS, codes, run, step

ROOM = "balcony@"
# The whole of a shutdown: shutdown.total_ms.
DEADLINE_SECONDS = 15


async def remembered(romeo, nurses, room):
    """All are in the room, and have presence of romeo that nobody subscribed to."""
    await romeo.muc.join_muc_wait(room, "Romeo", timeout=WAIT_SECONDS)
    form = romeo.plugin["xep_0004"].make_form("submit")
    await romeo.muc.set_room_config(room, form, timeout=WAIT_SECONDS)
    for nurse in nurses:
        seat = f"{room}/{nurse.home.name}"
        await nurse.muc.join_muc_wait(room, nurse.home.name, timeout=WAIT_SECONDS)
        await romeo.presence("the nurse", seat)
        romeo.send_presence(pto=nurse.full)
        await type_of(nurse, "available", romeo.full)


async def comes_back(nurse):
    """The server of a nurse dies and is there again: no stream is up, and nobody has left."""
    await nurse.home.restart(crash=True)
    nurse.abort()
    nurse.got.clear()
    # ejabberd may have lost the account with its life.
    nurse.plugin["xep_0077"].create_account = True
    await nurse.log_in()
    nurse.got.clear()


async def gets_farewell(nurse, romeo, room):
    """The unavailable presence of romeo, and the removal from the room, in any order."""
    seat = f"{room}/{nurse.home.name}"
    wanted = {romeo.full, seat}
    while wanted:
        stanza = await nurse.next_stanza(
            "presence",
            f"unavailable of {wanted}",
            lambda p: p["type"] == "unavailable" and str(p["from"]) in wanted,
        )
        wanted.discard(str(stanza["from"]))
        if stanza["from"] == seat:
            assert {110, 332} <= codes(stanza), stanza


async def promise(started):
    ours = KINDS[INSTEAD]()
    peers = [KINDS[kind]() for kind in PEERS]
    await step("the servers start", started.all(ours, *peers))
    romeo = ours.user("romeo", PLUGINS)
    nurses = [peer.user("nurse", PLUGINS) for peer in peers]
    room = ROOM + ours.service

    async def log_in():
        for user in (romeo, *nurses):
            await user.log_in()
        await remembered(romeo, nurses, room)

    await step("a room and directed presence for people elsewhere", log_in())

    async def crash():
        await asyncio.gather(*(comes_back(nurse) for nurse in nurses))

    await step("their servers die and come back", crash())
    ours.process.terminate()
    for nurse in nurses:
        name = nurse.home.name
        await step(f"{name}: the end is told over a new stream", gets_farewell(nurse, romeo, room))

    async def ended():
        code = await ours.ended()
        print("#", ours.summary(), flush=True)
        assert code == 0, code

    await step("the server ends with 0", ended())
    for nurse in nurses:
        await nurse.log_out()


async def silence(started):
    """A server that takes connections and never says a word."""
    silent = started.enter_context(socket.create_server((address(9), 5269)))
    assert silent
    ours = Tercet(name="silenced")
    await step("a server starts", started.all(ours))
    romeo = ours.user("romeo")
    await romeo.log_in()

    async def ends():
        romeo.send_presence(pto="tybalt@" + address(9))
        for _ in range(3):
            romeo.send_message(mto="tybalt@" + address(9), mbody="peace", mtype="chat")
        await romeo.ping()
        began = time.monotonic()
        code = await ours.stop()
        took = time.monotonic() - began
        summary = ours.summary()
        print("#", summary, flush=True)
        assert took < DEADLINE_SECONDS < STOP_SECONDS, took
        assert code == 3, code
        dropped = int(re.search(r"(\d+) stanzas dropped", summary)[1])
        # The presence, the messages, the unavailable presence.
        assert dropped == 5, summary

    await step("a server that never answers: the end is in time, and counts what is lost", ends())


async def main():
    with Started() as started:
        await promise(started)
    with Started() as started:
        await silence(started)


run(main)
