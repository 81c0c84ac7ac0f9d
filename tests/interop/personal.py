"""What an account keeps and publishes: personal.py HOST PORT [CA-FILE]

PEP with notifications by capabilities, avatars and cards, private XML, bookmarks of both kinds, the
archive of an account. Benvolio is Mercutio's friend, Bob a stranger. Needs the accounts mercutio,
benvolio and bob with the password `secret`; mercutio's with nothing in it.
"""

import base64
import hashlib
from xml.etree import ElementTree

from slixmpp import JID
from slixmpp.plugins.xep_0048.stanza import Bookmarks
from slixmpp.plugins.xep_0084.stanza import MetaData
from slixmpp.plugins.xep_0118.stanza import UserTune
from slixmpp.plugins.xep_0402.stanza import NS as BOOKMARKS
from slixmpp.plugins.xep_0402.stanza import Conference

from people import WAIT_SECONDS, User, bodies, refused, run, step

MERCUTIO, BENVOLIO = "mercutio@localhost", "benvolio@localhost"
PLUGINS = "0049 0054 0059 0060 0115 0163 0223 0313 0359 0402".split()
TUNE = UserTune.namespace
AVATAR = MetaData.namespace
ROOM = "mantua@conference.localhost"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
OTHER_PIXEL = PIXEL[:-1] + b"\x83"
UPDATE = "{vcard-temp:x:update}x/{vcard-temp:x:update}photo"


def sha1(data):
    return hashlib.sha1(data).hexdigest()


def publish_options(user, **options):
    form = user.plugin["xep_0004"].make_form("submit")
    form_type = "http://jabber.org/protocol/pubsub#publish-options"
    form.add_field(var="FORM_TYPE", ftype="hidden", value=form_type)
    for name, value in options.items():
        form.add_field(var="pubsub#" + name, value=value)
    return form


def is_event(node):
    """A message that tells what is new at a node of Mercutio's."""

    def passes(message):
        items = message.xml.find(".//{http://jabber.org/protocol/pubsub#event}items")
        return items is not None and items.get("node") == node and message["from"] == MERCUTIO

    return passes


async def main():
    mercutio = User("mercutio", plugins=[*PLUGINS, "0048", "0084", "0118"], resource="square")
    # Wants to know of bookmarks, and of nothing else.
    phone = User("mercutio", plugins=PLUGINS, resource="phone")
    phone.plugin["xep_0030"].add_feature(BOOKMARKS + "+notify")
    benvolio = User("benvolio", plugins=[*PLUGINS, "0084", "0118"])
    bob = User("bob", plugins=PLUGINS)
    everybody = [mercutio, phone, benvolio, bob]

    async def event(user, node):
        return await user.next_stanza("message", f"news of {node}", is_event(node))

    async def begin():
        for user in everybody:
            await user.log_in(roster=True)
        for one, other in [(mercutio, benvolio), (benvolio, mercutio)]:
            jid = other.boundjid.bare
            one.send_presence(pto=jid, ptype="subscribe")
            await other.next_stanza("presence", "a request", lambda p: p["type"] == "subscribe")
            other.send_presence(pto=one.boundjid.bare, ptype="subscribed")
            await one.push(jid, lambda item: item.get("subscription") in ("to", "both"))

    await step("two friends and a stranger", begin())

    # PEP (XEP-0163)

    async def tune():
        await mercutio.plugin["xep_0118"].publish_tune(
            artist="Mab", title="Dreams", timeout=WAIT_SECONDS
        )
        for user in [benvolio, mercutio]:
            message = await event(user, TUNE)
            found = message["pubsub_event"]["items"]["item"]["tune"]
            assert (found["artist"], found["title"]) == ("Mab", "Dreams"), message
        for user in [phone, bob]:
            got = await user.got_until(mercutio)
            assert not [s for e, s in got if e == "any_message"], got

    await step("news for those who want it and may have it", tune())

    async def last_item():
        await benvolio.log_out()
        await benvolio.log_in(roster=True)
        message = await event(benvolio, TUNE)
        assert message["pubsub_event"]["items"]["item"]["tune"]["artist"] == "Mab", message

    await step("the latest item for whoever comes", last_item())

    async def items():
        pubsub = benvolio.plugin["xep_0060"]
        iq = await pubsub.get_items(MERCUTIO, TUNE, timeout=WAIT_SECONDS)
        assert [artist.text for artist in iq.xml.iter(f"{{{TUNE}}}artist")] == ["Mab"], iq
        await refused(
            bob.plugin["xep_0060"].get_items(MERCUTIO, TUNE, timeout=WAIT_SECONDS),
            "not-authorized",
        )
        await refused(
            pubsub.publish(MERCUTIO, TUNE, id="current", timeout=WAIT_SECONDS), "forbidden"
        )

    await step("the node is read by friends, written by nobody else", items())

    async def options():
        form = publish_options(mercutio, access_model="open")
        payload = ElementTree.Element("{urn:example:device}list")
        pubsub = mercutio.plugin["xep_0060"]
        await pubsub.publish(
            None, "urn:example:device", id="current", payload=payload, options=form,
            timeout=WAIT_SECONDS,
        )
        iq = await bob.plugin["xep_0060"].get_item(
            MERCUTIO, "urn:example:device", "current", timeout=WAIT_SECONDS
        )
        assert iq.xml.find(".//{urn:example:device}list") is not None, iq
        await refused(
            pubsub.publish(
                None, TUNE, id="current", payload=ElementTree.Element(f"{{{TUNE}}}tune"),
                options=form, timeout=WAIT_SECONDS,
            ),
            "conflict",
        )

    await step("an open node; options that do not fit", options())

    # Avatars and cards (XEP-0084, XEP-0054, XEP-0398, XEP-0153)

    async def avatar():
        await benvolio.got_until(mercutio)
        avatars = mercutio.plugin["xep_0084"]
        # What only friends may see is on no card.
        form = publish_options(mercutio, access_model="open")
        await avatars.publish_avatar(PIXEL, options=form, timeout=WAIT_SECONDS)
        info = {"id": sha1(PIXEL), "type": "image/png", "bytes": len(PIXEL)}
        await avatars.publish_avatar_metadata(info, options=form, timeout=WAIT_SECONDS)
        message = await event(benvolio, AVATAR)
        assert message["pubsub_event"]["items"]["item"]["id"] == sha1(PIXEL), message
        iq = await benvolio.plugin["xep_0084"].retrieve_avatar(
            MERCUTIO, sha1(PIXEL), timeout=WAIT_SECONDS
        )
        assert iq["pubsub"]["items"]["item"]["avatar_data"]["value"] == PIXEL, iq
        card = await bob.plugin["xep_0054"].get_vcard(JID(MERCUTIO), timeout=WAIT_SECONDS)
        assert card["vcard_temp"]["PHOTO"]["BINVAL"] == PIXEL, card
        await benvolio.got_until(mercutio)
        mercutio.send_presence(pstatus="look at me")
        presence = await benvolio.next_stanza(
            "presence", "the presence", lambda p: p["status"] == "look at me"
        )
        assert presence.xml.findtext(UPDATE) == sha1(PIXEL), presence

    await step("an avatar is in the card and in presence", avatar())

    async def card():
        vcard = mercutio.plugin["xep_0054"].make_vcard()
        vcard["FN"] = "Mercutio"
        vcard["PHOTO"]["TYPE"] = "image/png"
        vcard["PHOTO"]["BINVAL"] = OTHER_PIXEL
        await mercutio.plugin["xep_0054"].publish_vcard(vcard, timeout=WAIT_SECONDS)
        message = await event(benvolio, AVATAR)
        assert message["pubsub_event"]["items"]["item"]["id"] == sha1(OTHER_PIXEL), message
        got = await bob.plugin["xep_0054"].get_vcard(JID(MERCUTIO), timeout=WAIT_SECONDS)
        assert got["vcard_temp"]["FN"] == "Mercutio", got
        iq = bob.make_iq_set(ito=MERCUTIO)
        iq.append(vcard.xml)
        await refused(iq.send(timeout=WAIT_SECONDS), "forbidden")

    await step("the picture of a card is an avatar", card())

    # Bookmarks (XEP-0049, XEP-0048, XEP-0402)

    async def bookmarks():
        old = Bookmarks()
        old.add_conference(ROOM, "Merc", name="Mantua", autojoin=True)
        await mercutio.plugin["xep_0048"].set_bookmarks(old, timeout=WAIT_SECONDS)
        message = await event(phone, BOOKMARKS)
        item = message["pubsub_event"]["items"]["item"]
        conference = item.xml.find(f"{{{BOOKMARKS}}}conference")
        assert item["id"] == ROOM and conference.get("name") == "Mantua", message
        iq = await phone.plugin["xep_0060"].get_items(None, BOOKMARKS, timeout=WAIT_SECONDS)
        found = [(i["id"], i["conference"]["nick"], i["conference"]["autojoin"])
                 for i in iq["pubsub"]["items"]]
        assert found == [(ROOM, "Merc", True)], iq

    await step("bookmarks of the old kind are read as new ones", bookmarks())

    async def new_bookmarks():
        new = Conference()
        new["name"], new["nick"], new["autojoin"] = "Verona", "Merc", False
        form = publish_options(
            phone,
            persist_items="true",
            max_items="max",
            send_last_published_item="never",
            access_model="whitelist",
        )
        room = "verona@conference.localhost"
        await phone.plugin["xep_0060"].publish(
            None, BOOKMARKS, id=room, payload=new.xml, options=form, timeout=WAIT_SECONDS
        )
        iq = await mercutio.plugin["xep_0048"].get_bookmarks(timeout=WAIT_SECONDS)
        conferences = iq["private"]["bookmarks"]["conferences"]
        found = {c["jid"]: (c["name"], c["nick"], c["autojoin"]) for c in conferences}
        assert found == {
            ROOM: ("Mantua", "Merc", True), room: ("Verona", "Merc", False)
        }, iq
        await refused(
            benvolio.plugin["xep_0060"].get_items(MERCUTIO, BOOKMARKS, timeout=WAIT_SECONDS),
            "not-allowed",
        )

    await step("and new ones as old ones, by nobody else", new_bookmarks())

    # Archive (XEP-0313)

    said = [f"line {number}" for number in range(5)]

    async def archive():
        ids = []
        for number, body in enumerate(said):
            one, other = [(mercutio, benvolio), (benvolio, mercutio)][number % 2]
            one.send_message(mto=other.boundjid, mbody=body, mtype="chat")
            message = await other.message("the message", one.boundjid, body)
            assert message["stanza_id"]["by"] == other.boundjid.bare, message
            if other is mercutio:
                ids.append(message["stanza_id"]["id"])
        bob.send_message(mto=mercutio.boundjid, mbody="who are you?", mtype="chat")
        await mercutio.message("the message", bob.boundjid, "who are you?")
        mam = phone.plugin["xep_0313"]
        pages = []
        async for page in mam.iterate(with_jid=JID(BENVOLIO), rsm={"max": 2}):
            pages.append(page["mam_result"])
        found = [page["forwarded"]["stanza"]["body"] for page in pages]
        assert found == said, found
        assert [pages[1]["id"], pages[3]["id"]] == ids, (pages, ids)
        # slixmpp stops after the last page when it reads backwards.
        backwards = []
        async for page in mam.iterate(reverse=True, rsm={"max": 2}):
            backwards.append(page["mam_result"]["forwarded"]["stanza"]["body"])
        assert backwards[:2] == ["who are you?", "line 4"], backwards
        iq = await mam.get_archive_metadata(timeout=WAIT_SECONDS)
        assert iq["mam_metadata"]["start"]["id"] == pages[0]["id"], iq

    await step("both sides of a talk, page by page, from another client", archive())

    async def preferences():
        await refused(
            benvolio.plugin["xep_0313"].retrieve(JID(MERCUTIO), timeout=WAIT_SECONDS), "forbidden"
        )
        iq = mercutio.make_iq_set()
        prefs = ElementTree.SubElement(iq.xml, "{urn:xmpp:mam:2}prefs", default="never")
        for name in ["always", "never"]:
            ElementTree.SubElement(prefs, "{urn:xmpp:mam:2}" + name)
        await iq.send(timeout=WAIT_SECONDS)
        benvolio.send_message(mto=mercutio.boundjid, mbody="unwritten", mtype="chat")
        assert bodies(await mercutio.got_until(benvolio), BENVOLIO)[-1:] == ["unwritten"]
        mam = mercutio.plugin["xep_0313"]
        iq = await mam.retrieve(with_jid=JID(BENVOLIO), timeout=WAIT_SECONDS)
        found = [m["mam_result"]["forwarded"]["stanza"]["body"] for m in iq["mam"]["results"]]
        assert found == said, found

    await step("nobody else reads it, and nothing is kept that is not wanted", preferences())

    async def log_out():
        for user in everybody:
            await user.disconnect()

    await step("the closing handshake", log_out())


run(main)
