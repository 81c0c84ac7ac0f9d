"""What people of two servers do together: contacts and what they say, a room of one of the two.

Each function plays its steps with a name before theirs; the servers and who is there are the
caller's.
"""

from slixmpp import JID

from people import WAIT_SECONDS, codes, refused, step

PLUGINS = "0054 0115 0163 0172 0191".split()
NICK = "http://jabber.org/protocol/nick"


async def says(user, other, body):
    """One says something to the other, who gets it."""
    user.send_message(mto=other.full, mbody=body, mtype="chat")
    await other.message(f"'{body}'", user.full, body)


async def type_of(user, kind, sender):
    return await user.next_stanza(
        "presence",
        f"{kind} of {sender}",
        lambda presence: presence["type"] == kind and str(presence["from"]).startswith(sender),
    )


async def subscription(user, other, state):
    await user.push(other.bare, lambda item: item.get("subscription") == state)


async def add(user, other):
    """One asks to see the other, who agrees."""
    user.send_presence(pto=other.bare, ptype="subscribe")
    await type_of(other, "subscribe", user.bare)
    other.send_presence(pto=user.bare, ptype="subscribed")
    await type_of(user, "subscribed", other.bare)
    await type_of(user, "available", other.full)


async def contacts(name, romeo, juliet):
    """Subscriptions and presence (RFC 6121 §3, §4), messages to people and to nobody."""

    async def both_ways():
        await add(romeo, juliet)
        await subscription(juliet, romeo, "from")
        await add(juliet, romeo)
        await subscription(romeo, juliet, "both")

    await step(f"{name}: a contact is added both ways", both_ways())

    async def presence():
        for user, other in [(romeo, juliet), (juliet, romeo)]:
            user.send_presence(pshow="away", pstatus="banished")
            stanza = await type_of(other, "away", user.full)
            assert stanza["status"] == "banished", stanza
            user.send_presence()
            await type_of(other, "available", user.full)

    await step(f"{name}: presence both ways", presence())

    async def chat():
        for round in range(3):
            await says(romeo, juliet, f"by yonder blessed moon {round}")
            await says(juliet, romeo, f"o, swear not by the moon {round}")

    await step(f"{name}: messages both ways", chat())

    async def nobody():
        for user, other in [(romeo, juliet), (juliet, romeo)]:
            user.send_message(mto="nobody@" + other.home.domain, mbody="hello", mtype="chat")
            error = await user.next_stanza("message", "the error", lambda m: m["type"] == "error")
            assert error["error"]["condition"] in ("service-unavailable", "item-not-found"), error

    await step(f"{name}: messages to nobody come back", nobody())

    async def gone_and_back():
        for user, other in [(romeo, juliet), (juliet, romeo)]:
            await user.log_out()
            await type_of(other, "unavailable", user.full)
            await user.log_in()
            await type_of(other, "available", user.full)
            # A probe of the server tells who comes what the other's presence is.
            await type_of(user, "available", other.full)

    await step(f"{name}: whoever leaves is seen to leave, and to come back", gone_and_back())


async def questions(name, romeo, juliet):
    """Requests and answers, cards, and what is published for contacts (XEP-0163)."""

    async def requests():
        for user, other in [(romeo, juliet), (juliet, romeo)]:
            there = other.home
            for target in (there.domain, other.full):
                await user.plugin["xep_0199"].send_ping(JID(target), timeout=WAIT_SECONDS)
            version = await user.plugin["xep_0092"].get_version(
                there.domain, timeout=WAIT_SECONDS
            )
            assert version["software_version"]["name"], version
            disco = user.plugin["xep_0030"]
            items = await disco.get_items(jid=there.domain, timeout=WAIT_SECONDS)
            assert there.service in {item[0] for item in items["disco_items"]["items"]}, items
            info = await disco.get_info(jid=there.service, timeout=WAIT_SECONDS)
            assert "http://jabber.org/protocol/muc" in info["disco_info"]["features"], info
            await refused(
                user.plugin["xep_0092"].get_version(other.bare + "/nowhere", timeout=WAIT_SECONDS),
                "service-unavailable",
            )

    await step(f"{name}: requests both ways", requests())

    async def cards():
        for user, other in [(romeo, juliet), (juliet, romeo)]:
            card = user.plugin["xep_0054"].make_vcard()
            card["FN"] = f"{user.boundjid.user} of {user.home.name}"
            await user.plugin["xep_0054"].publish_vcard(card, timeout=WAIT_SECONDS)
            got = await other.plugin["xep_0054"].get_vcard(
                JID(user.bare), local=False, cached=False, timeout=WAIT_SECONDS
            )
            assert got["vcard_temp"]["FN"] == card["FN"], got

    await step(f"{name}: cards both ways", cards())

    async def published():
        for user, other in [(romeo, juliet), (juliet, romeo)]:
            await user.plugin["xep_0172"].publish_nick("the " + user.boundjid.user)
            event = await other.next_stanza(
                "message",
                "the nick",
                lambda m: m["from"].bare == user.bare
                and m.xml.find(f".//{{{NICK}}}nick") is not None,
            )
            assert event.xml.find(f".//{{{NICK}}}nick").text == "the " + user.boundjid.user

    await step(f"{name}: what is published reaches contacts, both ways", published())


async def blocking(name, romeo, juliet):
    """XEP-0191: who is blocked sees its contact leave, and is refused."""

    async def block():
        for user, other in [(romeo, juliet), (juliet, romeo)]:
            await user.plugin["xep_0191"].block(JID(other.bare), timeout=WAIT_SECONDS)
            # ejabberd 23.01 does not let its own people go so.
            if user.home.kind != "ejabberd":
                await type_of(other, "unavailable", user.full)
            other.send_message(mto=user.bare, mbody="hello?", mtype="chat")
            error = await other.next_stanza("message", "the error", lambda m: m["type"] == "error")
            assert error["error"]["condition"] == "service-unavailable", error
            await user.plugin["xep_0191"].unblock(JID(other.bare), timeout=WAIT_SECONDS)
            if user.home.kind != "ejabberd":
                await type_of(other, "available", user.full)
            await says(other, user, "hello!")

    await step(f"{name}: blocked, and no longer, both ways", block())


async def farewell(name, romeo, juliet):
    """The end of subscriptions."""

    async def remove():
        juliet.send_presence(pto=romeo.bare, ptype="unsubscribe")
        await subscription(juliet, romeo, "from")
        await subscription(romeo, juliet, "to")
        await romeo.del_roster_item(juliet.bare)
        await subscription(romeo, juliet, "remove")
        await subscription(juliet, romeo, "none")

    await step(f"{name}: a contact is removed", remove())


class Room:
    """A room of the host's server, which both are in."""

    def __init__(self, name, host, guest, node="shared"):
        self.name, self.host, self.guest = name, host, guest
        self.jid = f"{node}-{guest.home.name}@{host.home.service}"
        self.host_seat, self.guest_seat = self.jid + "/Host", self.jid + "/Guest"

    async def play(self):
        await step(f"{self.name}: made, and entered from elsewhere", self.enter())
        await step(f"{self.name}: what is said is heard by both", self.talk())
        await step(f"{self.name}: the subject", self.subject())
        await step(f"{self.name}: private messages and requests", self.private())
        await step(f"{self.name}: a change of nick", self.nick())
        await step(f"{self.name}: kicked, and back", self.kick())
        await step(f"{self.name}: left", self.leave())

    async def enter(self):
        host, guest = self.host, self.guest
        got, _, _, _ = await host.muc.join_muc_wait(self.jid, "Host", timeout=WAIT_SECONDS)
        assert {201, 110} <= codes(got), got
        form = host.plugin["xep_0004"].make_form("submit")
        await host.muc.set_room_config(self.jid, form, timeout=WAIT_SECONDS)
        got, _, occupants, _ = await guest.muc.join_muc_wait(
            self.jid, "Guest", timeout=WAIT_SECONDS
        )
        assert 110 in codes(got), got
        assert {seat["from"].resource for seat in occupants} >= {"Host"}, occupants
        await host.presence("the guest", self.guest_seat)

    async def talk(self):
        for user, seat in [(self.host, self.host_seat), (self.guest, self.guest_seat)]:
            for count in range(5):
                body = f"{count} from {seat}"
                user.send_message(mto=self.jid, mbody=body, mtype="groupchat")
                for listener in (self.host, self.guest):
                    await listener.message(body, seat, body)

    async def subject(self):
        self.host.muc.set_subject(self.jid, "The Capulets' orchard")
        for user in (self.host, self.guest):
            await user.next_stanza(
                "message",
                "the subject",
                lambda m: m["from"] == self.host_seat and m["subject"] == "The Capulets' orchard",
            )

    async def private(self):
        pairs = [(self.host, self.host_seat), (self.guest, self.guest_seat)]
        for (user, seat), (other, other_seat) in (pairs, pairs[::-1]):
            user.send_message(mto=other_seat, mbody="psst", mtype="chat")
            await other.message("the private message", seat, "psst")
            await user.plugin["xep_0199"].send_ping(JID(other_seat), timeout=WAIT_SECONDS)

    async def nick(self):
        self.guest.send_presence(pto=self.jid + "/Stranger")
        for user in (self.host, self.guest):
            gone = await user.presence("the old nick", self.guest_seat, kind="unavailable")
            assert 303 in codes(gone), gone
            await user.presence("the new nick", self.jid + "/Stranger")
        self.guest_seat = self.jid + "/Stranger"

    async def kick(self):
        await self.host.muc.set_role(
            self.jid, "Stranger", "none", reason="be gone", timeout=WAIT_SECONDS
        )
        for user in (self.host, self.guest):
            gone = await user.presence("the removal", self.guest_seat, kind="unavailable")
            assert 307 in codes(gone), gone
        self.guest_seat = self.jid + "/Guest"
        await self.guest.muc.join_muc_wait(self.jid, "Guest", timeout=WAIT_SECONDS)
        await self.host.presence("the guest", self.guest_seat)

    async def leave(self):
        self.guest.muc.leave_muc(self.jid, "Guest")
        for user in (self.host, self.guest):
            await user.presence("the leave", self.guest_seat, kind="unavailable")
        self.host.muc.leave_muc(self.jid, "Host")
        await self.host.presence("the leave", self.host_seat, kind="unavailable")
