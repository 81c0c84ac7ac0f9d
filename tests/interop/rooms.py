"""A room's life as slixmpp, unmodified, sees it: rooms.py HOST PORT [CA-FILE]

Each step prints `ok NAME` or `FAILED NAME: why`; a step that fails does not keep the next ones
from being tried. Needs the accounts alice and bob with the password `secret`, and in-band
registration. Without a CA file certificates are not checked.
"""

import asyncio
import logging
import os
import ssl
import sys
import traceback

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError, PresenceError

HOST, PORT = sys.argv[1], int(sys.argv[2])
CA_FILE = sys.argv[3] if len(sys.argv) > 3 else ""
SERVICE = "conference.localhost"
ROOM = "interop@" + SERVICE
WAIT_SECONDS = 20

# INTEROP_DEBUG=1: every stanza goes to standard error.
logging.basicConfig(level=logging.DEBUG if os.environ.get("INTEROP_DEBUG") else logging.ERROR)

failures = 0


class User(ClientXMPP):
    """A client that remembers what it got."""

    def __init__(self, name, password="secret", mechanism=None, register=False):
        super().__init__(f"{name}@localhost/interop", password, sasl_mech=mechanism)
        for plugin in ["0004", "0030", "0045", "0077", "0092", "0199", "0202", "0249"]:
            self.register_plugin("xep_" + plugin)
        if not register:
            self.plugin["xep_0077"].create_account = False
        self.muc = self.plugin["xep_0045"]
        self.got = []
        self.news = asyncio.Event()
        for event in ["message", "groupchat_presence", "groupchat_subject", "groupchat_invite"]:
            self.add_event_handler(event, lambda stanza, event=event: self.note(event, stanza))
        for event in ["session_start", "failed_all_auth", "disconnected"]:
            self.add_event_handler(event, lambda what, event=event: self.note(event, what))
        self.add_event_handler("register", self.registering)
        self.enable_direct_tls = False
        self.ssl_context.minimum_version = ssl.TLSVersion.TLSv1_2
        if CA_FILE:
            self.ca_certs = CA_FILE
        else:
            self.ssl_context.check_hostname = False
            self.ssl_context.verify_mode = ssl.CERT_NONE

    def note(self, event, what):
        self.got.append((event, what))
        self.news.set()

    async def registering(self, form):
        iq = self.make_iq_set()
        iq["register"]["username"] = self.boundjid.user
        iq["register"]["password"] = self.password
        await iq.send()
        self.note("registered", None)

    async def wait_for(self, what, test):
        """The first thing got since the last wait that passes the test."""

        async def search():
            while True:
                for index, (event, stanza) in enumerate(self.got):
                    if test(event, stanza):
                        del self.got[: index + 1]
                        return stanza
                self.news.clear()
                await self.news.wait()

        try:
            return await asyncio.wait_for(search(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            got = [f"{event}: {stanza}" for event, stanza in self.got]
            raise AssertionError(f"{self.boundjid} waits for {what}; got {got}") from None

    async def log_in(self):
        self.connect(HOST, PORT)
        await self.wait_for("the session", lambda event, _: event == "session_start")
        self.send_presence()

    async def presence(self, what, nick, test=lambda stanza: True, kind="available"):
        def passes(event, stanza):
            return (
                event == "groupchat_presence"
                and stanza["from"] == f"{ROOM}/{nick}"
                and stanza["type"] == kind
                and test(stanza)
            )

        return await self.wait_for(what, passes)

    async def message(self, what, sender, body):
        return await self.wait_for(
            what,
            lambda event, stanza: event == "message"
            and stanza["from"] == sender
            and stanza["body"] == body,
        )


def codes(presence):
    return set(presence["muc"]["status_codes"])


async def step(name, action):
    global failures
    try:
        await asyncio.wait_for(action, 3 * WAIT_SECONDS)
        print("ok", name, flush=True)
    except Exception as error:  # the step fails, whatever it was
        failures += 1
        text = " ".join((str(error) or repr(error)).split())
        print(f"FAILED {name}: {type(error).__name__}: {text}", flush=True)
        traceback.print_exc()


async def refused(action, condition):
    try:
        await action
    except (IqError, PresenceError) as error:
        stanza = getattr(error, "iq", None) or getattr(error, "presence")
        assert stanza["error"]["condition"] == condition, stanza
        return
    raise AssertionError(f"not refused with {condition}")


async def main():
    alice = User("alice")
    bob = User("bob", mechanism="SCRAM-SHA-1")
    carol = User("carol", register=True)

    # Accounts and logins

    async def login_alice():
        await alice.log_in()
        tls = alice.transport.get_extra_info("ssl_object")
        assert tls is not None, "no TLS"
        mechanism = alice.plugin["feature_mechanisms"].mech.name
        assert mechanism.startswith("SCRAM-"), mechanism
        print("#", tls.version(), mechanism, flush=True)

    await step("login over STARTTLS with the best mechanism", login_alice())
    await step("login with SCRAM-SHA-1", bob.log_in())

    async def wrong_password():
        eve = User("bob", password="wrong")
        eve.connect(HOST, PORT)
        await eve.wait_for("the failure", lambda event, _: event == "failed_all_auth")
        await eve.disconnect()

    await step("a wrong password is refused", wrong_password())

    async def register():
        carol.connect(HOST, PORT)
        await carol.wait_for("the registration", lambda event, _: event == "registered")
        await carol.wait_for("the session", lambda event, _: event == "session_start")
        carol.send_presence()

    await step("registration in band, then login", register())

    # Small services

    async def ping():
        rtt = await alice.plugin["xep_0199"].ping("localhost", timeout=WAIT_SECONDS)
        assert rtt >= 0

    await step("ping", ping())

    async def disco():
        info = await alice.plugin["xep_0030"].get_info(jid="localhost", timeout=WAIT_SECONDS)
        assert "urn:xmpp:ping" in info["disco_info"]["features"], info
        items = await alice.plugin["xep_0030"].get_items(jid="localhost", timeout=WAIT_SECONDS)
        assert SERVICE in {str(item[0]) for item in items["disco_items"]["items"]}, items
        service = await alice.plugin["xep_0030"].get_info(jid=SERVICE, timeout=WAIT_SECONDS)
        assert "http://jabber.org/protocol/muc" in service["disco_info"]["features"], service

    await step("disco of server and room service", disco())

    async def version():
        result = await alice.plugin["xep_0092"].get_version("localhost", timeout=WAIT_SECONDS)
        assert result["software_version"]["name"], result

    await step("version", version())

    async def time():
        result = await alice.plugin["xep_0202"].get_entity_time("localhost", timeout=WAIT_SECONDS)
        # As text: slixmpp's own reading of it differs between its versions.
        assert result.xml.findtext("{urn:xmpp:time}time/{urn:xmpp:time}utc").endswith("Z"), result

    await step("time", time())

    async def roster():
        await alice.get_roster(timeout=WAIT_SECONDS)
        await alice.update_roster("bob@localhost", name="Bob", groups=["Friends"])
        await alice.get_roster(timeout=WAIT_SECONDS)
        item = alice.client_roster["bob@localhost"]
        assert item["name"] == "Bob" and list(item["groups"]) == ["Friends"], item
        await alice.del_roster_item("bob@localhost")

    await step("roster: get, set, remove", roster())

    # A room

    async def create():
        presence, subject, occupants, _ = await alice.muc.join_muc_wait(
            ROOM, "Alice", timeout=WAIT_SECONDS
        )
        assert {201, 110} <= codes(presence), presence
        assert presence["muc"]["affiliation"] == "owner", presence
        assert [occupant["from"].resource for occupant in occupants] == ["Alice"], occupants

    await step("create a room", create())

    async def configure():
        form = await alice.muc.get_room_config(ROOM, timeout=WAIT_SECONDS)
        wanted = {
            "muc#roomconfig_roomname": "Interop",
            "muc#roomconfig_passwordprotectedroom": True,
            "muc#roomconfig_roomsecret": "sesame",
        }
        offered = form.get_fields()
        form.set_values({name: wanted[name] for name in wanted if name in offered})
        form["type"] = "submit"
        await alice.muc.set_room_config(ROOM, form, timeout=WAIT_SECONDS)
        info = await alice.plugin["xep_0030"].get_info(jid=ROOM, timeout=WAIT_SECONDS)
        assert "muc_passwordprotected" in info["disco_info"]["features"], info
        names = {identity[3] for identity in info["disco_info"]["identities"]}
        assert "Interop" in names, info

    await step("configure it by its form", configure())

    join = bob.muc.join_muc_wait
    await step(
        "a join without the password is refused",
        refused(join(ROOM, "Bob", timeout=WAIT_SECONDS), "not-authorized"),
    )

    async def join_bob():
        presence, subject, occupants, history = await join(
            ROOM, "Bob", password="sesame", timeout=WAIT_SECONDS
        )
        assert 110 in codes(presence) and 201 not in codes(presence), presence
        assert presence["muc"]["role"] == "participant", presence
        nicks = [occupant["from"].resource for occupant in occupants]
        assert nicks == ["Alice", "Bob"], nicks
        await alice.presence("Bob's presence", "Bob")

    await step("a join with the password", join_bob())

    # To somebody who was never there: slixmpp keeps quiet about rooms that it knows.
    async def invite():
        alice.muc.invite(ROOM, "carol@localhost", reason="come back")
        message = await carol.wait_for(
            "the invitation", lambda event, _: event == "groupchat_invite"
        )
        assert message["from"].bare == ROOM, message
        assert message["muc"]["invite"]["from"] == f"{ROOM}/Alice", message

    await step("a mediated invitation", invite())

    async def nick_conflict():
        await refused(
            carol.muc.join_muc_wait(ROOM, "Bob", password="sesame", timeout=WAIT_SECONDS),
            "conflict",
        )

    await step("a nick that is taken", nick_conflict())

    async def talk():
        bob.send_message(mto=ROOM, mbody="hello <&> 🦀", mtype="groupchat")
        await alice.message("the message", f"{ROOM}/Bob", "hello <&> 🦀")
        await bob.message("its reflection", f"{ROOM}/Bob", "hello <&> 🦀")

    await step("a message to the room", talk())

    async def nick_change():
        await bob.muc.set_self_nick(ROOM, "Robert", timeout=WAIT_SECONDS)
        await alice.presence(
            "the old nick's end", "Bob", lambda stanza: 303 in codes(stanza), "unavailable"
        )
        await alice.presence("the new nick", "Robert")

    await step("a nick change", nick_change())

    async def private():
        alice.send_message(mto=f"{ROOM}/Robert", mbody="psst", mtype="chat")
        await bob.message("the private message", f"{ROOM}/Alice", "psst")

    await step("a private message", private())

    async def subject():
        alice.muc.set_subject(ROOM, "Crabs")
        await bob.wait_for(
            "the subject",
            lambda event, stanza: event == "groupchat_subject" and stanza["subject"] == "Crabs",
        )

    await step("a subject", subject())

    async def chat():
        bob.send_message(mto=alice.boundjid.full, mbody="outside", mtype="chat")
        await alice.message("the message", bob.boundjid.full, "outside")

    await step("a message outside of the room", chat())

    async def self_ping():
        await bob.plugin["xep_0199"].send_ping(f"{ROOM}/Robert", timeout=WAIT_SECONDS)

    await step("a ping to one's own seat", self_ping())

    # Moderation

    async def join_carol():
        _, subject, _, history = await carol.muc.join_muc_wait(
            ROOM, "Carol", password="sesame", maxstanzas=10, timeout=WAIT_SECONDS
        )
        assert subject["subject"] == "Crabs", subject
        assert "hello <&> 🦀" in [message["body"] for message in history], history
        await alice.presence("Carol's presence", "Carol")

    await step("a join with history and subject", join_carol())

    await step(
        "a kick by a participant is refused",
        refused(
            bob.muc.set_role(ROOM, "Carol", "none", timeout=WAIT_SECONDS), "forbidden"
        ),
    )

    async def kick():
        await alice.muc.set_role(
            ROOM, "Carol", "none", reason="loud", timeout=WAIT_SECONDS
        )
        mine = await carol.presence(
            "the kick", "Carol", lambda stanza: 307 in codes(stanza), "unavailable"
        )
        assert 110 in codes(mine), mine
        await bob.presence(
            "the kick", "Carol", lambda stanza: 307 in codes(stanza), "unavailable"
        )

    await step("a kick", kick())

    async def ban():
        await carol.muc.join_muc_wait(ROOM, "Carol", password="sesame", timeout=WAIT_SECONDS)
        await alice.muc.set_affiliation(
            ROOM, "outcast", jid="carol@localhost", reason="louder", timeout=WAIT_SECONDS
        )
        await carol.presence(
            "the ban", "Carol", lambda stanza: 301 in codes(stanza), "unavailable"
        )
        outcasts = await alice.muc.get_affiliation_list(
            ROOM, "outcast", timeout=WAIT_SECONDS
        )
        assert [str(jid) for jid in outcasts] == ["carol@localhost"], outcasts
        await refused(
            carol.muc.join_muc_wait(ROOM, "Carol", password="sesame", timeout=WAIT_SECONDS),
            "forbidden",
        )

    await step("a ban, its list, and what it does", ban())

    async def affiliations():
        await alice.muc.set_affiliation(
            ROOM, "none", jid="carol@localhost", timeout=WAIT_SECONDS
        )
        await alice.muc.set_affiliation(
            ROOM, "admin", jid="bob@localhost", timeout=WAIT_SECONDS
        )
        await bob.presence(
            "the promotion", "Robert", lambda stanza: stanza["muc"]["role"] == "moderator"
        )
        owners = await alice.muc.get_affiliation_list(ROOM, "owner", timeout=WAIT_SECONDS)
        admins = await alice.muc.get_affiliation_list(ROOM, "admin", timeout=WAIT_SECONDS)
        assert [str(jid) for jid in owners] == ["alice@localhost"], owners
        assert [str(jid) for jid in admins] == ["bob@localhost"], admins

    await step("affiliations and their lists", affiliations())

    # The end

    async def leave():
        bob.muc.leave_muc(ROOM, "Robert")
        await alice.presence("the leave", "Robert", kind="unavailable")

    await step("a leave", leave())

    async def destroy():
        await bob.muc.join_muc_wait(ROOM, "Bob", password="sesame", timeout=WAIT_SECONDS)
        await alice.muc.destroy(ROOM, reason="the end", timeout=WAIT_SECONDS)
        presence = await bob.presence("the end of the room", "Bob", kind="unavailable")
        assert presence.xml.find(".//{http://jabber.org/protocol/muc#user}destroy") is not None
        await refused(
            alice.plugin["xep_0030"].get_info(jid=ROOM, timeout=WAIT_SECONDS), "item-not-found"
        )

    await step("a destroyed room is gone", destroy())

    async def change_password():
        await carol.plugin["xep_0077"].change_password(
            "new secret", jid="localhost", timeout=WAIT_SECONDS
        )
        again = User("carol", password="new secret")
        await again.log_in()
        await again.disconnect()

    await step("a password changed in band", change_password())

    async def remove():
        again = User("carol", password="new secret")
        await again.log_in()
        try:
            await again.plugin["xep_0077"].cancel_registration(jid="localhost", timeout=WAIT_SECONDS)
        except IqError as error:
            raise AssertionError(f"{error.iq}") from None
        gone = User("carol", password="new secret")
        gone.connect(HOST, PORT)
        await gone.wait_for("the failure", lambda event, _: event == "failed_all_auth")
        await gone.disconnect()

    await step("an account removed in band", remove())

    async def log_out():
        await alice.disconnect()
        await bob.disconnect()

    await step("the closing handshake", log_out())


asyncio.run(main())
sys.exit(1 if failures else 0)
