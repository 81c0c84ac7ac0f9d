"""Users of the interop scripts: slixmpp clients, unmodified, that remember what they got.

SCRIPT HOST PORT [CA-FILE]; without a CA file certificates are not checked. Scripts that start
their servers themselves (peers.py) say with each user where its server is. INTEROP_DEBUG=1: every
stanza goes to standard error. INTEROP_WAIT_SECONDS=5: patience with what does not come.
"""

import asyncio
import logging
import os
import ssl
import sys
import traceback
from xml.etree import ElementTree

from slixmpp import JID, ClientXMPP, Iq
from slixmpp.exceptions import IqError, PresenceError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

HOST, PORT = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else ("", 5222)
CA_FILE = sys.argv[3] if len(sys.argv) > 3 else ""
SERVICE = "conference.localhost"
WAIT_SECONDS = int(os.environ.get("INTEROP_WAIT_SECONDS", "20"))

logging.basicConfig(level=logging.DEBUG if os.environ.get("INTEROP_DEBUG") else logging.ERROR)


class User(ClientXMPP):
    """A client that remembers what it got."""

    def __init__(
        self,
        name,
        password="secret",
        mechanism=None,
        register=False,
        plugins=(),
        resource="interop",
        domain="localhost",
        host=HOST,
    ):
        super().__init__(f"{name}@{domain}/{resource}", password, sasl_mech=mechanism)
        self.host = host
        for plugin in ["0004", "0030", "0045", "0077", "0092", "0199", "0202", "0249", *plugins]:
            self.register_plugin("xep_" + plugin)
        if not register:
            self.plugin["xep_0077"].create_account = False
        self.muc = self.plugin["xep_0045"]
        # The token of an invitation to an account (XEP-0445).
        self.invitation = None
        self.got = []
        self.news = asyncio.Event()
        for event in ["message", "groupchat_presence", "groupchat_subject", "groupchat_invite"]:
            self.add_event_handler(event, lambda stanza, event=event: self.note(event, stanza))
        for event in ["session_start", "session_resumed", "failed_all_auth", "disconnected"]:
            self.add_event_handler(event, lambda what, event=event: self.note(event, what))
        # Whoever asks to see our presence is answered by the script, not by slixmpp.
        self.auto_authorize = None
        self.add_event_handler("register", self.registering)
        # slixmpp's own events leave out messages without a body, and errors from rooms.
        for kind in ["message", "presence"]:
            matcher = MatchXPath("{jabber:client}" + kind)
            note = lambda stanza, kind=kind: self.note("any_" + kind, stanza)
            self.register_handler(Callback("any " + kind, matcher, note))
        # A handler would keep slixmpp from answering requests that it does not know.
        self.add_filter("in", self.note_iq)
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

    def note_iq(self, stanza):
        if isinstance(stanza, Iq):
            self.note("any_iq", stanza)
        return stanza

    async def registering(self, form):
        # slixmpp holds back what it does not expect before the login: the invitation.
        self._always_send_everything = True
        try:
            if self.invitation:
                iq = self.make_iq_set()
                preauth = "{urn:xmpp:pars:0}preauth"
                ElementTree.SubElement(iq.xml, preauth, token=self.invitation)
                await iq.send(timeout=WAIT_SECONDS)
            iq = self.make_iq_set()
            iq["register"]["username"] = self.boundjid.user
            iq["register"]["password"] = self.password
            await iq.send(timeout=WAIT_SECONDS)
        except IqError as error:
            self.note("not_registered", error.condition)
        else:
            self.note("registered", None)

    async def wait_for(self, what, test):
        """The first thing got since the last wait that passes the test."""
        return (await self.wait_with_all(what, test))[-1][1]

    async def wait_with_all(self, what, test):
        """What was got since the last wait, up to the first thing that passes the test."""

        async def search():
            while True:
                for index, (event, stanza) in enumerate(self.got):
                    if test(event, stanza):
                        before = self.got[: index + 1]
                        del self.got[: index + 1]
                        return before
                self.news.clear()
                await self.news.wait()

        try:
            return await asyncio.wait_for(search(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            got = [f"{event}: {stanza}" for event, stanza in self.got]
            raise AssertionError(f"{self.boundjid} waits for {what}; got {got}") from None

    async def log_in(self, port=PORT, roster=False, **presence):
        self.connect(self.host, port)
        await self.wait_for("the session", lambda event, _: event == "session_start")
        if roster:
            await self.get_roster(timeout=WAIT_SECONDS)
        self.send_presence(**presence)

    async def log_out(self):
        await self.disconnect()
        self.got.clear()

    async def ping(self):
        """Once it is answered the server has handled all that was sent before."""
        await self.plugin["xep_0199"].send_ping(JID(self.boundjid.domain), timeout=WAIT_SECONDS)

    async def got_until(self, *others):
        """All that the server has for this user once it has handled what the others sent."""
        for user in [*others, self]:
            await user.ping()
        got, self.got[:] = self.got[:], []
        return got

    async def presence(self, what, seat, test=lambda stanza: True, kind="available"):
        def passes(event, stanza):
            return (
                event == "groupchat_presence"
                and stanza["from"] == seat
                and stanza["type"] == kind
                and test(stanza)
            )

        return await self.wait_for(what, passes)

    async def next_stanza(self, kind, what, test):
        """The next stanza of a kind (message, presence, iq) that passes the test."""
        return await self.wait_for(
            what, lambda event, stanza: event == "any_" + kind and test(stanza)
        )

    async def push(self, jid, test):
        """The next roster push about a contact that passes the test, given its item."""

        def passes(iq):
            item = iq.xml.find("{jabber:iq:roster}query/{jabber:iq:roster}item")
            return (
                iq["type"] == "set"
                and item is not None
                and item.get("jid") == jid
                and test(item)
            )

        return await self.next_stanza("iq", f"the push of {jid}", passes)

    async def message(self, what, sender, body):
        return await self.wait_for(
            what,
            lambda event, stanza: event == "message"
            and stanza["from"] == sender
            and stanza["body"] == body,
        )


def codes(presence):
    return set(presence["muc"]["status_codes"])


def bodies(got, sender=None):
    """What the messages of a list say, in order."""
    return [
        stanza["body"]
        for event, stanza in got
        if event == "any_message"
        and stanza["body"]
        and (sender is None or stanza["from"].bare == sender)
    ]


class Steps:
    """How many have failed."""

    failed = 0


async def step(name, action):
    """Prints `ok NAME` or `FAILED NAME: why`; the next step is tried in any case."""
    try:
        await asyncio.wait_for(action, 3 * WAIT_SECONDS)
        print("ok", name, flush=True)
    except Exception as error:  # the step fails, whatever it was
        Steps.failed += 1
        text = " ".join((str(error) or repr(error)).split())
        print(f"FAILED {name}: {type(error).__name__}: {text}", flush=True)
        traceback.print_exc()


def run(main):
    """Runs a script; the exit code tells whether a step failed."""
    asyncio.run(main())
    sys.exit(1 if Steps.failed else 0)


async def refused(action, condition):
    try:
        await action
    except (IqError, PresenceError) as error:
        stanza = getattr(error, "iq", None) or getattr(error, "presence")
        assert stanza["error"]["condition"] == condition, stanza
        return
    raise AssertionError(f"not refused with {condition}")
