"""Contacts and what they say to each other: contacts.py HOST PORT [CA-FILE]

Rosters and their versions, subscriptions, presence, priorities, messages kept for later, carbons,
blocking, last activity; juliet has two clients (balcony, chamber), romeo has one. Needs the
accounts juliet and romeo, new, with the password `secret`.
"""

from xml.etree import ElementTree

from slixmpp import JID
from slixmpp.exceptions import IqError

from people import WAIT_SECONDS, User, bodies, refused, run, step

JULIET, ROMEO = "juliet@localhost", "romeo@localhost"
PLUGINS = "0012 0191 0203 0280 0334".split()


def seen(got, jid):
    """The presence of somebody in a list, in order."""
    return [
        stanza["type"]
        for event, stanza in got
        if event == "any_presence" and stanza["from"].bare == jid
    ]


async def main():
    balcony = User("juliet", plugins=PLUGINS, resource="balcony")
    chamber = User("juliet", plugins=PLUGINS, resource="chamber")
    romeo = User("romeo", plugins=PLUGINS, resource="orchard")
    juliets = [balcony, chamber]

    async def subscription(users, jid, state, ask=None):
        """Everybody is told the new state of a subscription."""
        for user in users:
            await user.push(
                jid, lambda item: item.get("subscription") == state and item.get("ask") == ask
            )

    async def type_of(user, kind, sender):
        return await user.next_stanza(
            "presence",
            f"{kind} from {sender}",
            lambda presence: presence["from"] == sender and presence["type"] == kind,
        )

    async def begin():
        for user in [*juliets, romeo]:
            await user.log_in(roster=True)
            assert "rosterver" in user.features, user.features
            assert not set(user.client_roster.keys()) - {user.boundjid.bare}, user.client_roster

    await step("three clients with empty rosters", begin())

    # Rosters (RFC 6121 §2)

    async def roster_set():
        await balcony.update_roster(ROMEO, name="Romeo", groups=["Montague", "Friends"])
        for user in juliets:
            iq = await user.push(ROMEO, lambda item: item.get("name") == "Romeo")
            item = iq["roster"]["items"][JID(ROMEO)]
            assert set(item["groups"]) == {"Montague", "Friends"}, iq
            assert item["subscription"] == "none", iq
            assert iq["roster"]["ver"], iq
        got = await romeo.got_until(balcony)
        assert not [stanza for event, stanza in got if event == "any_iq"
                    and stanza["type"] == "set"], got

    await step("a contact is pushed to both clients", roster_set())

    async def roster_versions():
        await chamber.got_until(balcony)
        assert balcony.client_roster.version == chamber.client_roster.version
        iq = await balcony.get_roster(timeout=WAIT_SECONDS)
        assert not iq["roster"]["items"], iq
        current = balcony.client_roster.version
        balcony.client_roster.version = ""
        iq = await balcony.get_roster(timeout=WAIT_SECONDS)
        assert [str(jid) for jid in iq["roster"]["items"]] == [ROMEO], iq
        assert iq["roster"]["ver"] == current, iq

    await step("a roster that is known is not sent again", roster_versions())

    async def roster_refused():
        iq = balcony.make_iq_set()
        query = ElementTree.SubElement(iq.xml, "{jabber:iq:roster}query")
        ElementTree.SubElement(query, "{jabber:iq:roster}item", name="nobody")
        await refused(iq.send(timeout=WAIT_SECONDS), "bad-request")
        await refused(balcony.del_roster_item("nobody@localhost"), "item-not-found")

    await step("items that cannot be", roster_refused())

    # Subscriptions (RFC 6121 §3)

    async def deny():
        balcony.send_presence(pto=ROMEO, ptype="subscribe")
        await subscription(juliets, ROMEO, "none", "subscribe")
        await type_of(romeo, "subscribe", JULIET)
        romeo.send_presence(pto=JULIET, ptype="unsubscribed")
        for user in juliets:
            await type_of(user, "unsubscribed", ROMEO)
        await subscription(juliets, ROMEO, "none")

    await step("a request is denied", deny())

    async def approve():
        chamber.send_presence(pto=ROMEO, ptype="subscribe")
        await type_of(romeo, "subscribe", JULIET)
        romeo.send_presence(pto=JULIET, ptype="subscribed")
        await subscription([romeo], JULIET, "from")
        for user in juliets:
            await user.push(ROMEO, lambda item: item.get("subscription") == "to")
            await type_of(user, "available", ROMEO + "/orchard")
        # Juliet has not approved of anything: Romeo does not see her.
        balcony.send_presence(pstatus="not for you")
        got = await romeo.got_until(balcony)
        assert seen(got, JULIET) == [], got

    await step("a request is approved, one way", approve())

    async def both_ways():
        romeo.send_presence(pto=JULIET, ptype="subscribe")
        await type_of(balcony, "subscribe", ROMEO)
        balcony.send_presence(pto=ROMEO, ptype="subscribed")
        await subscription(juliets, ROMEO, "both")
        await romeo.push(JULIET, lambda item: item.get("subscription") == "both")
        got = await romeo.got_until(balcony)
        assert seen(got, JULIET) == ["available", "available"], got

    await step("and the other way", both_ways())

    # Presence (RFC 6121 §4)

    async def changes():
        romeo.send_presence(pshow="away", pstatus="banished")
        for user in juliets:
            presence = await type_of(user, "away", ROMEO + "/orchard")
            assert presence["status"] == "banished", presence

    await step("presence is seen by both clients", changes())

    async def gone_and_back():
        await romeo.log_out()
        for user in juliets:
            await type_of(user, "unavailable", ROMEO + "/orchard")
        await romeo.log_in(roster=True)
        for user in juliets:
            await type_of(user, "available", ROMEO + "/orchard")
        got = await romeo.got_until(balcony)
        assert seen(got, JULIET) == ["available", "available"], got
        assert {str(jid) for jid in romeo.client_roster.keys()} >= {JULIET}

    await step("whoever leaves is seen to leave, and to come back", gone_and_back())

    # Messages (RFC 6121 §8.5)

    async def priorities():
        chamber.send_presence(ppriority=-1)
        await chamber.ping()
        romeo.send_message(mto=JULIET, mbody="to whoever listens", mtype="chat")
        romeo.send_message(mto=JULIET + "/chamber", mbody="to the chamber", mtype="chat")
        got = await balcony.got_until(romeo)
        assert bodies(got) == ["to whoever listens"], got
        got = await chamber.got_until(romeo)
        assert bodies(got) == ["to the chamber"], got

    await step("a negative priority gets what is addressed to it alone", priorities())

    async def nobody_listens():
        balcony.send_presence(ppriority=-5)
        await balcony.ping()
        romeo.send_message(mto=JULIET, mbody="for later", mtype="chat")
        got = await balcony.got_until(romeo)
        assert bodies(got) == [], got
        got = await chamber.got_until(romeo)
        assert bodies(got) == [], got
        balcony.send_presence(ppriority=0)
        message = await balcony.next_stanza("message", "the message", lambda m: m["body"])
        assert message["body"] == "for later" and message["delay"]["stamp"], message
        chamber.send_presence(ppriority=0)
        got = await chamber.got_until(balcony)
        assert bodies(got) == [], got

    await step("a message waits until somebody listens, once", nobody_listens())

    async def offline():
        await romeo.log_out()
        await type_of(balcony, "unavailable", ROMEO + "/orchard")
        for body in ["first", "second"]:
            balcony.send_message(mto=ROMEO, mbody=body, mtype="chat")
        balcony.send_message(mto=ROMEO, mbody="now or never", mtype="headline")
        await balcony.ping()
        await romeo.log_in(roster=True)
        got = await romeo.got_until()
        assert bodies(got) == ["first", "second"], got
        for event, stanza in got:
            if event == "any_message":
                assert stanza["delay"]["stamp"] and stanza["from"] == JULIET + "/balcony", stanza
        await romeo.log_out()
        await romeo.log_in(roster=True)
        got = await romeo.got_until()
        assert bodies(got) == [], got

    await step("messages to somebody who is away, in order, once", offline())

    # Carbons (XEP-0280)

    async def carbons():
        for user in juliets:
            await user.plugin["xep_0280"].enable(timeout=WAIT_SECONDS)
        romeo.send_message(mto=JULIET + "/balcony", mbody="what light", mtype="chat")
        got = await balcony.got_until(romeo)
        assert bodies(got) == ["what light"], got
        copy = await chamber.next_stanza(
            "message", "the copy", lambda m: m.xml.find("{urn:xmpp:carbons:2}received") is not None
        )
        inner = copy["carbon_received"]
        assert copy["from"] == JULIET and inner["body"] == "what light", copy
        assert inner["from"] == ROMEO + "/orchard" and inner["to"] == JULIET + "/balcony", copy

        chamber.send_message(mto=ROMEO, mbody="ay me", mtype="chat")
        got = await romeo.got_until(chamber)
        assert bodies(got) == ["ay me"], got
        copy = await balcony.next_stanza(
            "message", "the copy", lambda m: m.xml.find("{urn:xmpp:carbons:2}sent") is not None
        )
        inner = copy["carbon_sent"]
        assert inner["body"] == "ay me" and inner["from"] == JULIET + "/chamber", copy
        got = await chamber.got_until()
        assert not [s for e, s in got if e == "any_message"], "one's own message came back"

    await step("copies of what the other client gets and says", carbons())

    async def no_carbons():
        message = romeo.make_message(mto=JULIET + "/balcony", mbody="between us", mtype="chat")
        message.enable("carbon_private")
        message.enable("no-copy")
        message.send()
        got = await balcony.got_until(romeo)
        assert bodies(got) == ["between us"], got
        await chamber.plugin["xep_0280"].disable(timeout=WAIT_SECONDS)
        romeo.send_message(mto=JULIET + "/balcony", mbody="once more", mtype="chat")
        got = await balcony.got_until(romeo)
        assert bodies(got) == ["once more"], got
        got = await chamber.got_until(romeo)
        assert not [s for e, s in got if e == "any_message"], got

    await step("no copies of private messages, none once switched off", no_carbons())

    # Blocking (XEP-0191)

    async def block():
        await romeo.got_until(balcony)
        await chamber.plugin["xep_0191"].get_blocked_jids(timeout=WAIT_SECONDS)
        await balcony.plugin["xep_0191"].get_blocked_jids(timeout=WAIT_SECONDS)
        await balcony.plugin["xep_0191"].block(JID(ROMEO), timeout=WAIT_SECONDS)
        for user in juliets:
            push = await user.next_stanza(
                "iq",
                "the push",
                lambda iq: iq["type"] == "set" and iq.get_plugin("block", check=True),
            )
            assert {str(item["jid"]) for item in push["block"]} == {ROMEO}, push
        assert await chamber.plugin["xep_0191"].get_blocked_jids() == {JID(ROMEO)}
        got = await romeo.got_until(balcony)
        assert seen(got, JULIET) == ["unavailable", "unavailable"], got

    await step("whoever is blocked sees both clients leave", block())

    async def blocked():
        romeo.send_message(mto=JULIET, mbody="hello?", mtype="chat")
        romeo.send_presence(pstatus="still here")
        error = await romeo.next_stanza("message", "the refusal", lambda m: m["type"] == "error")
        assert error["error"]["condition"] == "service-unavailable", error
        balcony.send_message(mto=ROMEO, mbody="I must not", mtype="chat")
        error = await balcony.next_stanza("message", "the refusal", lambda m: m["type"] == "error")
        assert error["error"]["condition"] == "not-acceptable", error
        assert error["error"].xml.find("{urn:xmpp:blocking:errors}blocked") is not None, error
        balcony.send_presence(pstatus="nobody knows")
        got = await romeo.got_until(balcony)
        assert seen(got, JULIET) == [], got
        for user in juliets:
            got = await user.got_until(romeo)
            assert bodies(got, ROMEO) == [] and seen(got, ROMEO) == [], got

    await step("nothing passes between the two", blocked())

    async def unblock():
        await chamber.plugin["xep_0191"].unblock(JID(ROMEO), timeout=WAIT_SECONDS)
        got = await romeo.got_until(chamber)
        assert seen(got, JULIET) == ["available", "available"], got
        assert await balcony.plugin["xep_0191"].get_blocked_jids() == set()
        romeo.send_message(mto=JULIET + "/balcony", mbody="hello!", mtype="chat")
        got = await balcony.got_until(romeo)
        assert bodies(got, ROMEO) == ["hello!"], got

    await step("and everything when the block is lifted", unblock())

    # Last activity (XEP-0012)

    async def last_activity():
        await romeo.disconnect()
        await type_of(balcony, "unavailable", ROMEO + "/orchard")
        iq = await balcony.plugin["xep_0012"].get_last_activity(ROMEO, timeout=WAIT_SECONDS)
        try:
            await balcony.plugin["xep_0012"].get_last_activity(
                "alice@localhost", timeout=WAIT_SECONDS
            )
        except IqError as error:
            assert error.condition == "forbidden", error
        else:
            raise AssertionError("a stranger's last activity is told")
        assert 0 <= iq["last_activity"]["seconds"] < 3 * WAIT_SECONDS, iq

    await step("last activity, for contacts only", last_activity())
    await step("the contact is back", romeo.log_in(roster=True))

    # The end of it

    async def unsubscribe():
        await balcony.got_until(romeo)
        balcony.send_presence(pto=ROMEO, ptype="unsubscribe")
        await subscription(juliets, ROMEO, "from")
        await romeo.push(JULIET, lambda item: item.get("subscription") == "to")
        romeo.send_presence(pstatus="unseen")
        for user in juliets:
            got = await user.got_until(romeo)
            assert "available" not in seen(got, ROMEO), got

    await step("a subscription ends", unsubscribe())

    async def remove():
        await chamber.got_until(romeo)
        await romeo.got_until()
        await balcony.del_roster_item(ROMEO)
        for user in juliets:
            await user.push(ROMEO, lambda item: item.get("subscription") == "remove")
        await romeo.push(JULIET, lambda item: item.get("subscription") == "none")
        balcony.send_presence(pstatus="forgotten")
        assert "available" not in seen(await romeo.got_until(balcony), JULIET)
        iq = await chamber.get_roster(timeout=WAIT_SECONDS)
        assert not iq["roster"]["items"], iq

    await step("a contact is removed", remove())

    async def log_out():
        for user in [*juliets, romeo]:
            await user.disconnect()

    await step("the closing handshake", log_out())


run(main)
