"""Streams that break and come back: streams.py HOST PORT [CA-FILE]

Stream management with a cut connection (XEP-0198) and client state (XEP-0352). Peter's connection
goes through a wire that can lose what is sent and then be cut. Needs the accounts nurse and peter
with the password `secret`.
"""

import asyncio

from people import HOST, PORT, SERVICE, WAIT_SECONDS, User, bodies, run, step

ROOM = "wire@" + SERVICE


class Wire:
    """A way to the server that loses everything while it is bad, and that can be cut."""

    def __init__(self):
        self.bad = False
        self.ends = []
        self.lost_bytes = 0
        self.down_bytes = 0
        self.news = asyncio.Event()

    async def open(self):
        self.server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def connected(self, reader, writer):
        self.bad = False
        self.far_reader, far_writer = await asyncio.open_connection(HOST, PORT)
        self.ends = [writer, far_writer]
        await asyncio.gather(
            self.carry(reader, far_writer),
            self.carry(self.far_reader, writer),
            return_exceptions=True,
        )

    async def carry(self, reader, writer):
        while data := await reader.read(65536):
            if reader is self.far_reader:
                self.down_bytes += len(data)
            if self.bad:
                self.lost_bytes += len(data)
                self.news.set()
            else:
                writer.write(data)
        writer.close()

    async def loses_more(self, seen_bytes):
        """Waits until more than so many bytes are lost."""

        async def lost():
            while self.lost_bytes <= seen_bytes:
                self.news.clear()
                await self.news.wait()

        await asyncio.wait_for(lost(), WAIT_SECONDS)

    def cut(self):
        for end in self.ends:
            end.transport.abort()


def is_acked(body):
    return lambda event, stanza: (
        event == "acked" and stanza.name == "message" and stanza["body"] == body
    )


async def main():
    nurse = User("nurse")
    peter = User("peter", plugins=["0198", "0203", "0352"])
    managed, csi = peter.plugin["xep_0198"], peter.plugin["xep_0352"]
    full = "peter@localhost/interop"
    wire = Wire()

    async def begin():
        await nurse.log_in(roster=True)
        await peter.log_in(port=await wire.open(), roster=True)
        assert managed.enabled_in and managed.sm_id, "no stream management"
        nurse.send_presence(pto="peter@localhost", ptype="subscribe")
        await peter.next_stanza("presence", "the request", lambda p: p["type"] == "subscribe")
        peter.send_presence(pto="nurse@localhost", ptype="subscribed")
        await nurse.next_stanza("presence", "peter's presence", lambda p: p["from"] == full)
        await nurse.muc.join_muc_wait(ROOM, "Nurse", timeout=WAIT_SECONDS)
        submit = nurse.plugin["xep_0004"].make_form("submit")
        await nurse.muc.set_room_config(ROOM, submit, timeout=WAIT_SECONDS)
        await peter.muc.join_muc_wait(ROOM, "Peter", timeout=WAIT_SECONDS)
        await nurse.presence("peter's seat", f"{ROOM}/Peter")

    await step("stream management is on", begin())

    async def acked():
        peter.add_event_handler("stanza_acked", lambda stanza: peter.note("acked", stanza))
        peter.send_message(mto="nurse@localhost", mbody="count me", mtype="chat")
        assert bodies(await nurse.got_until(peter)) == ["count me"]
        managed.request_ack()
        await peter.wait_for("the ack", is_acked("count me"))
        assert not managed.unacked_queue, managed.unacked_queue

    await step("what was handled is acknowledged", acked())

    async def cut():
        before = managed.sm_id
        await peter.got_until(nurse)
        wire.bad = True
        lost = wire.lost_bytes
        peter.send_message(mto="nurse@localhost", mbody="lost by peter", mtype="chat")
        peter.send_message(mto=ROOM, mbody="lost in the room", mtype="groupchat")
        await wire.loses_more(lost)
        lost = wire.lost_bytes
        nurse.send_message(mto=full, mbody="one", mtype="chat")
        nurse.send_message(mto=ROOM, mbody="two", mtype="groupchat")
        await nurse.ping()
        await wire.loses_more(lost)
        wire.cut()
        await peter.wait_for("the cut", lambda event, _: event == "disconnected")
        # Nobody is there: the session waits.
        nurse.send_message(mto="peter@localhost", mbody="three", mtype="chat")
        nurse.send_message(mto=ROOM, mbody="four", mtype="groupchat")
        got = await nurse.got_until()
        assert not [p for e, p in got if e == "any_presence"], got
        assert bodies(got) == ["two", "four"], got

        peter.connect(HOST, wire.server.sockets[0].getsockname()[1])
        await peter.wait_for("the session", lambda event, _: event == "session_resumed")
        assert managed.sm_id == before, "another session"
        got = await peter.got_until(nurse)
        room = [m["body"] for e, m in got if e == "any_message" and m["type"] == "groupchat"]
        assert room == ["two", "four", "lost in the room"], room
        chat = [m["body"] for e, m in got if e == "any_message" and m["type"] == "chat"]
        assert chat == ["one", "three"], chat
        got = await nurse.got_until(peter)
        assert sorted(bodies(got)) == ["lost by peter", "lost in the room"], got
        assert not [p for e, p in got if e == "any_presence"], got

    await step("a cut stream is resumed: nothing lost, nothing twice, nobody saw it", cut())

    async def still_there():
        nurse.send_message(mto=ROOM, mbody="peter?", mtype="groupchat")
        await peter.message("the question", f"{ROOM}/Nurse", "peter?")
        peter.send_message(mto=ROOM, mbody="here", mtype="groupchat")
        await nurse.message("the answer", f"{ROOM}/Peter", "here")
        managed.request_ack()
        await peter.wait_for("the ack", is_acked("here"))
        assert not managed.unacked_queue, managed.unacked_queue

    await step("and sits in its room as before", still_there())

    # Client state (XEP-0352)

    async def inactive():
        assert csi.enabled, "no client state indication"
        peter.send_presence(pto="nurse@localhost", ptype="subscribe")
        await nurse.next_stanza("presence", "the request", lambda p: p["type"] == "subscribe")
        nurse.send_presence(pto="peter@localhost", ptype="subscribed")
        await peter.next_stanza(
            "presence", "nurse's presence", lambda p: p["from"] == "nurse@localhost/interop"
        )
        csi.send_inactive()
        await peter.ping()
        peter.got.clear()
        written = wire.down_bytes
        for status in ["a", "b", "c"]:
            nurse.send_presence(pstatus=status)
        # By then something would have been written, were it not held back.
        for _ in range(3):
            await nurse.ping()
        assert wire.down_bytes == written and not peter.got, peter.got
        nurse.send_message(mto=full, mbody="wake up", mtype="chat")
        got = await peter.wait_with_all(
            "the message", lambda e, s: e == "any_message" and s["body"] == "wake up"
        )
        # What waited comes first.
        statuses = [p["status"] for e, p in got if e == "any_presence" and not p["muc"]["role"]]
        assert statuses[-1:] == ["c"], statuses
        csi.send_active()
        nurse.send_presence(pstatus="d")
        await peter.next_stanza("presence", "the presence at once", lambda p: p["status"] == "d")

    await step("presence waits while nobody looks", inactive())

    async def log_out():
        await nurse.got_until(peter)
        await peter.disconnect()
        # A stream that is closed is not kept.
        await nurse.next_stanza(
            "presence", "peter's end", lambda p: p["from"] == full and p["type"] == "unavailable"
        )
        await nurse.disconnect()
        wire.server.close()

    await step("a closed stream is gone at once", log_out())


run(main)
