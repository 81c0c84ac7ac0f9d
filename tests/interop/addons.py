"""What room users expect today, as slixmpp's plugins see it: addons.py HOST PORT [CA-FILE]

Archive, stable and occupant ids, self-ping, retraction and moderation, hats, cards and avatars,
registration and voice, slow mode, versions of affiliations, activity. Needs the accounts alice and
bob with the password `secret`.
"""

import base64
import hashlib
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

from slixmpp import JID
from slixmpp.plugins.xep_0410 import PingStatus

from people import SERVICE, WAIT_SECONDS, User, codes, refused, run, step

ROOM = "addons@" + SERVICE
ROOM_JID = JID(ROOM)
PLUGINS = (
    "0050 0054 0059 0128 0153 0297 0313 0317 0359 0410 0421 0424 0425 0463 0502".split()
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HAT = "urn:example:hats:scribe"


def fields(form):
    """A form to be submitted, from names and values."""
    x = ElementTree.Element("{jabber:x:data}x", type="submit")
    for name, value in form.items():
        field = ElementTree.SubElement(x, "{jabber:x:data}field", var=name)
        ElementTree.SubElement(field, "{jabber:x:data}value").text = value
    return x


async def info_of(user, jid=ROOM, **arguments):
    iq = await user.plugin["xep_0030"].get_info(jid=jid, timeout=WAIT_SECONDS, **arguments)
    return iq["disco_info"]


async def roominfo(user):
    """The values of the muc#roominfo form."""
    info = await info_of(user)
    values = {}
    for field in info.xml.iter("{jabber:x:data}field"):
        texts = [value.text for value in field.iter("{jabber:x:data}value")]
        values[field.get("var")] = texts[0] if texts else None
    return values


async def submit(user, payload):
    iq = user.make_iq_set(ito=ROOM)
    iq.append(payload)
    return await iq.send(timeout=WAIT_SECONDS)


async def configure(user, **options):
    query = ElementTree.Element("{http://jabber.org/protocol/muc#owner}query")
    form = {"FORM_TYPE": "http://jabber.org/protocol/muc#roomconfig"}
    form.update({f"muc#roomconfig_{name}": value for name, value in options.items()})
    query.append(fields(form))
    await submit(user, query)


async def command(user, name, **values):
    """A hats command without a session."""
    node = "urn:xmpp:hats:commands:" + name
    element = ElementTree.Element(
        "{http://jabber.org/protocol/commands}command", node=node, action="execute"
    )
    if values:
        form = {"FORM_TYPE": "urn:xmpp:hats:commands"}
        form.update({f"hats#{field}": value for field, value in values.items()})
        element.append(fields(form))
    return await submit(user, element)


async def main():
    alice = User("alice", plugins=PLUGINS)
    bob = User("bob", plugins=PLUGINS)
    seat = f"{ROOM}/Bob"

    async def begin():
        await alice.log_in()
        await bob.log_in()
        presence, *_ = await alice.muc.join_muc_wait(ROOM, "Alice", timeout=WAIT_SECONDS)
        assert 201 in codes(presence), presence
        await configure(alice, persistentroom="1")
        await bob.muc.join_muc_wait(ROOM, "Bob", timeout=WAIT_SECONDS)
        await alice.presence("Bob's presence", seat)

    await step("a persistent room", begin())

    async def features():
        info = await info_of(alice)
        wanted = {
            "urn:xmpp:mam:2",
            "urn:xmpp:mam:2#extended",
            "urn:xmpp:sid:0",
            "urn:xmpp:occupant-id:0",
            "urn:xmpp:message-moderate:1",
            "urn:xmpp:hats:0",
            "urn:xmpp:muc:affiliations:1",
            "http://jabber.org/protocol/muc#stable_id",
            "http://jabber.org/protocol/muc#self-ping-optimization",
            "http://jabber.org/protocol/muc#request",
            "jabber:iq:register",
            "vcard-temp",
        }
        missing = wanted - set(info["features"])
        assert not missing, missing

    await step("a room's features", features())

    # Ids (XEP-0359, XEP-0421)

    ids = {}

    async def say():
        for body in ["one", "two", "three"]:
            bob.send_message(mto=ROOM, mbody=body, mtype="groupchat")
            message = await alice.message("the message", seat, body)
            assert message["stanza_id"]["by"] == ROOM, message
            assert message["occupant-id"]["id"], message
            ids[body] = message["stanza_id"]["id"]
            ids["bob"] = message["occupant-id"]["id"]
        assert len(set(ids.values())) == 4, ids

    await step("stable ids and occupant ids on messages", say())

    async def same_occupant():
        await bob.muc.set_self_nick(ROOM, "Robert", timeout=WAIT_SECONDS)
        gone = await alice.presence("the old nick's end", seat, kind="unavailable")
        new = await alice.presence("the new nick", f"{ROOM}/Robert")
        assert gone["occupant-id"]["id"] == new["occupant-id"]["id"] == ids["bob"], (gone, new)
        await bob.muc.set_self_nick(ROOM, "Bob", timeout=WAIT_SECONDS)
        await alice.presence("the nick again", seat)

    await step("the occupant id outlives the nick", same_occupant())

    # Self-ping (XEP-0410)

    async def self_ping():
        status = await bob.plugin["xep_0410"].send_self_ping(JID(seat), bob.boundjid)
        assert status == PingStatus.JOINED, status

    await step("self-ping: joined", self_ping())

    # Archive (XEP-0313)

    async def archive():
        pages = []
        async for message in alice.plugin["xep_0313"].iterate(jid=ROOM_JID, rsm={"max": 2}):
            pages.append(message)
        bodies = [m["mam_result"]["forwarded"]["stanza"]["body"] for m in pages]
        assert bodies[-3:] == ["one", "two", "three"], bodies
        archived = {m["mam_result"]["id"] for m in pages}
        assert {ids["one"], ids["two"], ids["three"]} <= archived, (ids, archived)
        inner = pages[-1]["mam_result"]["forwarded"]["stanza"]
        assert inner["from"] == seat and not inner["to"], inner
        # Alice is a moderator: she sees who it was.
        assert inner.xml.find(
            ".//{http://jabber.org/protocol/muc#user}item[@jid]"
        ) is not None, inner

    await step("the archive, page by page", archive())

    async def archive_blind():
        async for message in bob.plugin["xep_0313"].iterate(jid=ROOM_JID, rsm={"max": 10}):
            text = str(message["mam_result"])
            assert "alice@localhost" not in text, text

    await step("the archive shows no addresses to a participant", archive_blind())

    async def archive_filters():
        now = datetime.now(timezone.utc)
        iq = await alice.plugin["xep_0313"].retrieve(
            jid=ROOM_JID, start=now + timedelta(hours=1), timeout=WAIT_SECONDS
        )
        assert not iq["mam"]["results"], iq
        form = await alice.plugin["xep_0313"].get_fields(ROOM_JID, timeout=WAIT_SECONDS)
        names = set(form.get_fields())
        assert {"start", "end", "with", "before-id", "after-id", "ids"} <= names, names
        iq = await alice.plugin["xep_0313"].get_archive_metadata(ROOM_JID, timeout=WAIT_SECONDS)
        assert iq["mam_metadata"]["end"]["id"] == ids["three"], iq

    await step("the archive's filters, form and metadata", archive_filters())

    # Retraction and moderation (XEP-0424, XEP-0425)

    async def retract():
        bob.plugin["xep_0424"].send_retraction(ROOM, ids["one"], "groupchat", False)
        message = await alice.wait_for(
            "the retraction",
            lambda event, stanza: event == "any_message" and stanza["retract"]["id"] == ids["one"],
        )
        assert message["occupant-id"]["id"] == ids["bob"], message

    await step("a retraction", retract())

    async def moderate():
        await alice.plugin["xep_0425"].moderate(
            ROOM_JID, ids["two"], "not here", timeout=WAIT_SECONDS
        )
        message = await bob.wait_for(
            "the moderation",
            lambda event, stanza: event == "any_message" and stanza["retract"]["id"] == ids["two"],
        )
        assert message["from"] == ROOM, message
        assert message["retract"]["moderated"]["by"] == f"{ROOM}/Alice", message
        await refused(
            bob.plugin["xep_0425"].moderate(ROOM_JID, ids["three"], timeout=WAIT_SECONDS),
            "forbidden",
        )

    await step("moderation by moderators only", moderate())

    async def tombstones():
        found = {}
        async for message in alice.plugin["xep_0313"].iterate(jid=ROOM_JID, rsm={"max": 10}):
            found[message["mam_result"]["id"]] = message["mam_result"]["forwarded"]["stanza"]
        assert found[ids["one"]]["body"] == found[ids["two"]]["body"] == "", found
        assert found[ids["two"]]["retracted"]["moderated"]["by"] == f"{ROOM}/Alice", found
        assert found[ids["three"]]["body"] == "three", found

    await step("the archive keeps tombstones", tombstones())

    # Hats (XEP-0317)

    async def hats():
        await refused(command(bob, "create", title="Scribe", uri=HAT), "forbidden")
        await command(alice, "create", title="Scribe", uri=HAT, hue="120")
        await command(alice, "assign", jid="bob@localhost", uri=HAT)
        presence = await bob.presence("the hat", seat, lambda stanza: len(stanza["hats"]["hats"]))
        hat = presence["hats"]["hats"][0]
        assert (hat["uri"], hat["title"], hat["hue"]) == (HAT, "Scribe", 120.0), presence
        commands = await alice.plugin["xep_0050"].get_commands(ROOM_JID, timeout=WAIT_SECONDS)
        nodes = {item[1] for item in commands["disco_items"]["items"]}
        assert "urn:xmpp:hats:commands:assign" in nodes, nodes
        await command(alice, "unassign", jid="bob@localhost", uri=HAT)
        await bob.presence("no hat", seat, lambda stanza: not len(stanza["hats"]["hats"]))

    await step("hats: made, given, taken", hats())

    # Card and avatar (XEP-0054, XEP-0153, XEP-0486)

    async def avatar():
        vcard = alice.plugin["xep_0054"].make_vcard()
        vcard["PHOTO"]["TYPE"] = "image/png"
        vcard["PHOTO"]["BINVAL"] = PIXEL
        await refused(
            bob.plugin["xep_0054"].publish_vcard(vcard, jid=ROOM_JID, timeout=WAIT_SECONDS),
            "forbidden",
        )
        await publish(alice, vcard)
        got = await bob.plugin["xep_0054"].get_vcard(ROOM_JID, timeout=WAIT_SECONDS)
        assert got["vcard_temp"]["PHOTO"]["BINVAL"] == PIXEL, got
        values = await roominfo(bob)
        assert values["muc#roominfo_avatarhash"] == hashlib.sha1(PIXEL).hexdigest(), values

    async def publish(user, vcard):
        iq = user.make_iq_set(ito=ROOM)
        iq.append(vcard.xml)
        await iq.send(timeout=WAIT_SECONDS)

    await step("a room's card and avatar", avatar())

    # Registration and voice (XEP-0045 §7.10, §7.13)

    async def register():
        form = {
            "FORM_TYPE": "http://jabber.org/protocol/muc#register",
            "muc#register_roomnick": "Bobby",
        }
        query = ElementTree.Element("{jabber:iq:register}query")
        query.append(fields(form))
        await submit(bob, query)
        info = await info_of(bob, node="x-roomuser-item")
        assert {identity[3] for identity in info["identities"]} == {"Bobby"}, info
        alice.send_presence(pto=f"{ROOM}/Bobby")
        error = await alice.wait_for(
            "the refusal",
            lambda event, stanza: event == "any_presence" and stanza["type"] == "error",
        )
        assert error["error"]["condition"] == "conflict", error

    await step("a reserved nick", register())

    async def voice():
        await configure(alice, moderatedroom="1")
        await alice.muc.set_role(ROOM, "Bob", "visitor", timeout=WAIT_SECONDS)
        await bob.presence("no voice", seat, lambda stanza: stanza["muc"]["role"] == "visitor")
        bob.muc.request_voice(ROOM, "participant")
        request = await alice.wait_for(
            "the request",
            lambda event, stanza: event == "any_message" and "muc#request" in str(stanza),
        )
        answer = alice.make_message(mto=ROOM)
        form = {}
        for field in request.xml.iter("{jabber:x:data}field"):
            values = [value.text for value in field.iter("{jabber:x:data}value")]
            form[field.get("var")] = values[0] if values else ""
        form["muc#request_allow"] = "true"
        answer.append(fields(form))
        answer.send()
        await bob.presence("voice", seat, lambda stanza: stanza["muc"]["role"] == "participant")

    await step("voice: asked for and given", voice())

    # Direct invitation (XEP-0249)

    async def invite():
        alice.plugin["xep_0249"].send_invitation(bob.boundjid, ROOM_JID, reason="come in")
        message = await bob.wait_for(
            "the invitation",
            lambda event, stanza: event == "any_message"
            and stanza.xml.find("{jabber:x:conference}x") is not None,
        )
        assert message["groupchat_invite"]["jid"] == ROOM, message

    await step("a direct invitation", invite())

    # Slow mode (XEP-0500), activity (XEP-0502), versions (XEP-0463)

    async def slow_mode():
        await alice.muc.set_affiliation(
            ROOM, "none", jid="bob@localhost", timeout=WAIT_SECONDS
        )
        await bob.muc.join_muc_wait(ROOM, "Bob", timeout=WAIT_SECONDS)
        await alice.muc.set_role(ROOM, "Bob", "participant", timeout=WAIT_SECONDS)
        await configure(alice, slow_mode_duration="3600")
        assert (await roominfo(bob))["muc#roominfo_slow_mode_duration"] == "3600"
        bob.send_message(mto=ROOM, mbody="quick", mtype="groupchat")
        await alice.message("the first", seat, "quick")
        bob.send_message(mto=ROOM, mbody="quicker", mtype="groupchat")
        error = await bob.wait_for(
            "the refusal",
            lambda event, stanza: event == "any_message" and stanza["type"] == "error",
        )
        # slixmpp does not know this condition.
        condition = "{urn:ietf:params:xml:ns:xmpp-stanzas}policy-violation"
        assert error["error"].xml.find(condition) is not None, error
        assert error["error"]["type"] == "wait", error
        await configure(alice, slow_mode_duration="0")

    await step("slow mode", slow_mode())

    async def activity():
        value = await alice.plugin["xep_0502"].get_activity(ROOM_JID, timeout=WAIT_SECONDS)
        assert value is None or float(value) >= 0, value

    await step("the activity indicator", activity())

    async def versions():
        alice.muc.leave_muc(ROOM, "Alice")
        await bob.presence("the leave", f"{ROOM}/Alice", kind="unavailable")
        presence = alice.muc.make_join_stanza(ROOM, "Alice")
        presence["muc_join"].enable("mav")
        presence.send()
        message = await alice.wait_for(
            "the list",
            lambda event, stanza: event == "any_message"
            and stanza.xml.find(".//{urn:xmpp:muc:affiliations:1}mav") is not None,
        )
        listed = {
            item.get("jid")
            for item in message.xml.iter("{http://jabber.org/protocol/muc#user}item")
        }
        assert "alice@localhost" in listed, message
        mine = await alice.presence("the self-presence", f"{ROOM}/Alice")
        assert mine["muc"]["mav"]["until"] == message["muc"]["mav"]["until"], (mine, message)

    await step("versions of the affiliation list", versions())

    # The end

    async def destroy():
        await alice.muc.destroy(ROOM, reason="moved", altroom="new@" + SERVICE, timeout=WAIT_SECONDS)
        await bob.presence("the end of the room", seat, kind="unavailable")
        await refused(
            bob.muc.join_muc_wait(ROOM, "Bob", timeout=WAIT_SECONDS), "gone"
        )

    await step("a destroyed room is remembered", destroy())

    async def log_out():
        await alice.disconnect()
        await bob.disconnect()

    await step("the closing handshake", log_out())


run(main)
