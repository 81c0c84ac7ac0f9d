"""A room's life as slixmpp, unmodified, sees it: rooms.py HOST PORT [CA-FILE]

Needs the accounts alice and bob with the password `secret`, and in-band registration.
"""

from slixmpp.exceptions import IqError

from people import HOST, PORT, SERVICE, WAIT_SECONDS, User, codes, refused, run, step

ROOM = "interop@" + SERVICE


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
        await alice.presence("Bob's presence", f"{ROOM}/Bob")

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
            "the old nick's end", f"{ROOM}/Bob", lambda stanza: 303 in codes(stanza), "unavailable"
        )
        await alice.presence("the new nick", f"{ROOM}/Robert")

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
        await alice.presence("Carol's presence", f"{ROOM}/Carol")

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
            "the kick", f"{ROOM}/Carol", lambda stanza: 307 in codes(stanza), "unavailable"
        )
        assert 110 in codes(mine), mine
        await bob.presence(
            "the kick", f"{ROOM}/Carol", lambda stanza: 307 in codes(stanza), "unavailable"
        )

    await step("a kick", kick())

    async def ban():
        await carol.muc.join_muc_wait(ROOM, "Carol", password="sesame", timeout=WAIT_SECONDS)
        await alice.muc.set_affiliation(
            ROOM, "outcast", jid="carol@localhost", reason="louder", timeout=WAIT_SECONDS
        )
        await carol.presence(
            "the ban", f"{ROOM}/Carol", lambda stanza: 301 in codes(stanza), "unavailable"
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
            "the promotion", f"{ROOM}/Robert", lambda stanza: stanza["muc"]["role"] == "moderator"
        )
        owners = await alice.muc.get_affiliation_list(ROOM, "owner", timeout=WAIT_SECONDS)
        admins = await alice.muc.get_affiliation_list(ROOM, "admin", timeout=WAIT_SECONDS)
        assert [str(jid) for jid in owners] == ["alice@localhost"], owners
        assert [str(jid) for jid in admins] == ["bob@localhost"], admins

    await step("affiliations and their lists", affiliations())

    # The end

    async def leave():
        bob.muc.leave_muc(ROOM, "Robert")
        await alice.presence("the leave", f"{ROOM}/Robert", kind="unavailable")

    await step("a leave", leave())

    async def destroy():
        await bob.muc.join_muc_wait(ROOM, "Bob", password="sesame", timeout=WAIT_SECONDS)
        await alice.muc.destroy(ROOM, reason="the end", timeout=WAIT_SECONDS)
        presence = await bob.presence("the end of the room", f"{ROOM}/Bob", kind="unavailable")
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


run(main)
