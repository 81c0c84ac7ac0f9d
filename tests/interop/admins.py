"""Administration from a client: admins.py HOST PORT [CA-FILE]

Commands for admins (XEP-0133) with slixmpp's XEP-0050, and invitations (XEP-0401, XEP-0445). Needs
the accounts bard, an admin, and mercutio with the password `secret`; neither rosaline nor paris
may have one.
"""

import asyncio

from people import HOST, PORT, WAIT_SECONDS, User, refused, run, step

ADMIN = "http://jabber.org/protocol/admin"
PLUGINS = ["0050", "0133"]


def values(iq):
    """The fields of a command's form."""
    form = iq["command"]["form"]
    return {name: field["value"] for name, field in form.get_fields().items()}


async def main():
    bard = User("bard", plugins=PLUGINS)
    mercutio = User("mercutio", plugins=PLUGINS)
    rosaline = User("rosaline", password="first")

    async def command(user, node, form_type=ADMIN, **fields):
        """A command with its form at once, as XEP-0050 lets one who knows it."""
        form = user.plugin["xep_0004"].make_form("submit")
        form.add_field(var="FORM_TYPE", ftype="hidden", value=form_type)
        for name, value in fields.items():
            form.add_field(var=name, value=value)
        return await user.plugin["xep_0050"].send_command(
            "localhost", node, payload=form, timeout=WAIT_SECONDS
        )

    async def admin(name, user=bard, **fields):
        iq = await command(user, f"{ADMIN}#{name}", **fields)
        assert iq["command"]["status"] == "completed", iq
        return iq

    async def arrives(name, password):
        """A session of somebody who has this password."""
        user = User(name, password=password)
        await user.log_in()
        return user

    async def fails(name, password):
        user = User(name, password=password)
        user.connect(HOST, PORT)
        await user.wait_for("the refusal", lambda event, _: event == "failed_all_auth")
        user.abort()

    async def nodes(user):
        iq = await user.plugin["xep_0133"].get_commands("localhost", timeout=WAIT_SECONDS)
        return {item[1] for item in iq["disco_items"]["items"]}

    async def begin():
        await bard.log_in()
        await mercutio.log_in()
        wanted = {f"{ADMIN}#{name}" for name in ["add-user", "delete-user", "announce"]}
        assert wanted <= await nodes(bard)
        assert not wanted & await nodes(mercutio)

    await step("the commands are shown to admins", begin())

    async def not_for_others():
        for name in ["add-user", "get-registered-users-list", "shutdown"]:
            await refused(admin(name, user=mercutio), "forbidden")

    await step("nobody else runs them", not_for_others())

    async def add_user():
        """The whole way, form first, with slixmpp's own workflow."""
        done = asyncio.get_running_loop().create_future()

        def fill(iq, session):
            form = bard.plugin["xep_0004"].make_form("submit")
            form.add_field(var="FORM_TYPE", ftype="hidden", value=ADMIN)
            given = {
                "accountjid": "rosaline@localhost",
                "password": "first",
                "password-verify": "first",
            }
            asked = set(iq["command"]["form"].get_fields()) - {"FORM_TYPE"}
            assert asked == set(given), iq
            for name, value in given.items():
                form.add_field(var=name, value=value)
            session["payload"] = form
            session["next"] = lambda iq, session: done.set_result(iq)
            bard.plugin["xep_0050"].complete_command(session)

        def failed(iq, session):
            done.set_exception(AssertionError(str(iq)))

        bard.plugin["xep_0133"].add_user(session={"next": fill, "error": failed})
        iq = await asyncio.wait_for(done, WAIT_SECONDS)
        assert iq["command"]["status"] == "completed", iq
        await rosaline.log_in()

    await step("an account is made, form by form", add_user())

    async def lists():
        number = values(await admin("get-online-users-num"))
        assert int(number["onlineusersnum"]) == 3, number
        listed = values(await admin("get-registered-users-list", max_items="none"))
        assert "rosaline@localhost" in listed["registereduserjids"], listed

    await step("accounts are counted and listed", lists())

    async def announce():
        await admin("announce", announcement="Two minutes.")
        for user in [rosaline, mercutio]:
            message = await user.next_stanza("message", "the announcement", lambda m: m["body"])
            assert message["body"] == "Two minutes." and message["from"] == "localhost", message
            assert message["type"] == "headline", message

    await step("everybody online hears an announcement", announce())

    async def change_password():
        await admin(
            "change-user-password", accountjid="rosaline@localhost", password="second"
        )
        await fails("rosaline", "first")
        again = await arrives("rosaline", "second")
        await admin("end-user-session", accountjids="rosaline@localhost")
        await again.wait_for("the end", lambda event, _: event == "disconnected")

    await step("a new password, and the end of a session", change_password())

    async def disable():
        again = await arrives("rosaline", "second")
        await admin("disable-user", accountjids="rosaline@localhost")
        await again.wait_for("the end", lambda event, _: event == "disconnected")
        await fails("rosaline", "second")
        number = values(await admin("get-disabled-users-num"))
        assert int(number["disabledusersnum"]) == 1, number
        await admin("reenable-user", accountjids="rosaline@localhost")
        await (await arrives("rosaline", "second")).disconnect()

    await step("an account is disabled, and enabled again", disable())

    async def delete():
        await admin("delete-user", accountjids="rosaline@localhost")
        await fails("rosaline", "second")
        listed = values(await admin("get-registered-users-list", max_items="none"))
        assert "rosaline@localhost" not in listed["registereduserjids"], listed

    await step("an account is deleted", delete())

    # Invitations (XEP-0401, XEP-0445)

    async def register(name, token=None):
        """What came of a registration: registered, or the condition of the error."""
        user = User(name, password="guest", register=True)
        user.invitation = token
        user.connect(HOST, PORT)
        got = await user.wait_with_all(
            "the answer", lambda event, _: event in ("registered", "not_registered")
        )
        event, condition = got[-1]
        user.abort()
        return condition or event

    async def invite():
        node, form_type = "urn:xmpp:invite#create-account", "urn:xmpp:invite#invitation"
        await refused(command(mercutio, node, form_type, username="paris"), "forbidden")
        iq = await command(bard, node, form_type, username="paris")
        uri = values(iq)["uri"]
        start = "xmpp:paris@localhost?register;preauth="
        assert uri.startswith(start), uri
        token = uri.removeprefix(start)
        got = await register("paris")
        assert got == "conflict", f"the name is not kept for who is invited: {got}"
        got = await register("paris", "guessed")
        assert got == "item-not-found", got
        got = await register("paris", token)
        assert got == "registered", got
        paris = await arrives("paris", "guest")
        got = await register("tybalt", token)
        assert got == "item-not-found", f"an invitation is good twice: {got}"
        await paris.disconnect()

    await step("an account by invitation, once", invite())

    async def log_out():
        await bard.disconnect()
        await mercutio.disconnect()

    await step("the closing handshake", log_out())


run(main)
