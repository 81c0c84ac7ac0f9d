"""Components (XEP-0114), both ways: attached.py FOLDER

Tercet is a component of Prosody and of ejabberd: their users play the founding dialogue, a room
with a password, in its rooms, and see it end. biboumi, a gateway to IRC, is a component of Tercet.
"""

import asyncio

from slixmpp import JID
from slixmpp.componentxmpp import ComponentXMPP

from across import PLUGINS, type_of
from peers import KINDS, PEERS, SECRET, Biboumi, Started, Tercet, TercetComponent, address
from people import WAIT_SECONDS, codes, refused, run, step

PASSWORD = "cauldronburn"


async def has_subject(user, room):
    await user.next_stanza(
        "message",
        "the subject",
        lambda m: m["from"].bare == room and m.xml.find("{jabber:client}subject") is not None,
    )


def enter(user, seat, password=None):
    """Joins as the founding dialogue does; slixmpp's own way says more."""
    presence = user.make_presence(pto=seat)
    presence.enable("muc_join")
    if password:
        presence["muc_join"]["password"] = password
    presence.send()


async def set_password(user, room, password):
    form = user.plugin["xep_0004"].make_form("submit")
    form.add_field("FORM_TYPE", "hidden", value="http://jabber.org/protocol/muc#roomconfig")
    form.add_field("muc#roomconfig_roomsecret", "text-private", value=password)
    await user.muc.set_room_config(room, form, timeout=WAIT_SECONDS)


async def founding_dialogue(romeo, juliet, room):
    """A room gets a password, and loses it; whoever does not know it is refused."""
    enter(romeo, room + "/Romeo")
    own = await romeo.presence("the creation", room + "/Romeo")
    assert {110, 201} <= codes(own) and own["muc"]["affiliation"] == "owner", own
    await has_subject(romeo, room)
    await set_password(romeo, room, PASSWORD)

    enter(juliet, room + "/Juliet")
    error = await juliet.next_stanza("presence", "the refusal", lambda p: p["type"] == "error")
    assert error["error"]["condition"] == "not-authorized", error
    assert error["from"] == room + "/Juliet" and error["error"]["type"] == "auth", error
    enter(juliet, room + "/Juliet", PASSWORD)
    await juliet.presence("romeo", room + "/Romeo")
    await juliet.presence("the join", room + "/Juliet")
    await has_subject(juliet, room)
    await romeo.presence("juliet", room + "/Juliet")

    juliet.send_presence(pto=room + "/Juliet", ptype="unavailable")
    await romeo.presence("the leave", room + "/Juliet", kind="unavailable")
    await juliet.presence("the leave", room + "/Juliet", kind="unavailable")
    await set_password(romeo, room, "")
    changed = lambda message: message.xml.find(".//*[@code='104']") is not None
    await romeo.next_stanza("message", "the change", changed)
    enter(juliet, room + "/Juliet")
    await juliet.presence("romeo", room + "/Romeo")
    await juliet.presence("the join", room + "/Juliet")
    await has_subject(juliet, room)
    await romeo.presence("juliet", room + "/Juliet")


async def component_of(started, host):
    """Rooms of Tercet for the users of another server."""
    name = "a component of " + host.name
    romeo, juliet = (host.user(who, PLUGINS) for who in ("romeo", "juliet"))
    ours = TercetComponent(host)
    started.add(ours)
    room = "founding@" + ours.service

    async def attached(times=1):
        for user in (romeo, juliet):
            await user.log_in()
        await ours.logs("attached as a component", times)
        info = await romeo.plugin["xep_0030"].get_info(jid=ours.service, timeout=WAIT_SECONDS)
        assert "http://jabber.org/protocol/muc" in info["disco_info"]["features"], info

    await step(f"{name}: attached", attached())
    await step(f"{name}: the founding dialogue", founding_dialogue(romeo, juliet, room))

    async def again():
        await asyncio.gather(romeo.log_out(), juliet.log_out())
        await host.restart()
        await attached(2)
        await founding_dialogue(romeo, juliet, "again@" + ours.service)

    await step(f"{name}: attached again after a restart of it", again())

    async def ends():
        ours.process.terminate()
        for user, nick in [(romeo, "Romeo"), (juliet, "Juliet")]:
            seat = f"again@{ours.service}/{nick}"
            gone = await user.presence("the end", seat, kind="unavailable")
            assert {110, 332} <= codes(gone), gone
        assert await ours.ended() == 0, ours.summary()
        assert "not attached" not in ours.log_after("shutting down"), "it tries again"
        await refused(
            romeo.plugin["xep_0030"].get_info(jid=ours.service, timeout=WAIT_SECONDS),
            "remote-server-timeout",
        )
        for user in (romeo, juliet):
            await user.log_out()

    await step(f"{name}: the end is told", ends())


async def irc(reader, writer):
    """As much of an IRC server as a channel with an echo needs."""
    nick = ""
    while line := (await reader.readline()).decode().strip():
        command, _, rest = line.partition(" ")
        name = f"{nick}!{nick}@verona"
        answers = {
            "NICK": [],
            "USER": [f":verona 001 {nick} :Welcome"],
            "PING": [f":verona PONG {rest}"],
            "JOIN": [
                f":{name} JOIN {rest}",
                f":verona 353 {nick} = {rest} :{nick} Echo",
                f":verona 366 {nick} {rest} :That is all",
            ],
            "PRIVMSG": [f":Echo!echo@verona PRIVMSG {rest}"],
            "PART": [f":{name} PART {rest}"],
        }
        if command == "NICK":
            nick = rest.lstrip(":")
        for answer in answers.get(command, []):
            writer.write(answer.encode() + b"\r\n")
    writer.close()


async def gateway(started):
    """biboumi attaches to Tercet; so does whoever knows the secret, and nobody else."""
    ours = Tercet(text=Biboumi.section(address(Tercet.octets[0])))
    await step("a server for components starts", started.all(ours))
    romeo = ours.user("romeo", PLUGINS)
    await romeo.log_in()
    biboumi = Biboumi(ours)
    domain = biboumi.service
    await refused(
        romeo.plugin["xep_0030"].get_info(jid=domain, timeout=WAIT_SECONDS), "service-unavailable"
    )

    async def refused_secret():
        wrong = ComponentXMPP(domain, "wrong", ours.domain, 5347)
        failed = asyncio.get_running_loop().create_future()
        wrong.add_event_handler("stream_error", lambda error: failed.set_result(error))
        wrong.connect()
        error = await asyncio.wait_for(failed, WAIT_SECONDS)
        assert error["condition"] == "not-authorized", error
        wrong.abort()

    await step("a component with a wrong secret is refused", refused_secret())
    started.add(biboumi)

    async def requests():
        await ours.logs(f"component attached: domain={domain}")
        info = await romeo.plugin["xep_0030"].get_info(jid=domain, timeout=WAIT_SECONDS)
        kinds = {identity[:2] for identity in info["disco_info"]["identities"]}
        assert ("conference", "irc") in kinds, info
        await romeo.plugin["xep_0199"].send_ping(JID(domain), timeout=WAIT_SECONDS)

    await step("biboumi: attached, requests both ways", requests())

    async def presence():
        romeo.send_presence(pto=domain, ptype="subscribe")
        await type_of(romeo, "subscribed", domain)
        await type_of(romeo, "subscribe", domain)
        romeo.send_presence(pto=domain, ptype="subscribed")
        await romeo.push(domain, lambda item: item.get("subscription") == "both")

    await step("biboumi: subscriptions both ways", presence())

    async def channel():
        async with await asyncio.start_server(irc, ours.domain, 6667):
            room = f"#verona%{ours.domain}@{domain}"
            enter(romeo, room + "/Romeo")
            await romeo.presence("the channel", room + "/Romeo")
            await has_subject(romeo, room)
            romeo.send_message(mto=room, mbody="hello", mtype="groupchat")
            await romeo.message("the echo", room + "/Echo", "hello")
            romeo.send_presence(pto=room + "/Romeo", ptype="unavailable")
            await romeo.presence("the leave", room + "/Romeo", kind="unavailable")

    await step("biboumi: a channel of IRC", channel())

    async def ends():
        code = await ours.stop()
        assert code == 0, ours.summary()

    await step("the server ends with 0", ends())


async def main():
    with Started() as started:
        hosts = [KINDS[kind]() for kind in PEERS]
        await step("the servers start", started.all(*hosts))
        await asyncio.gather(*(component_of(started, host) for host in hosts), gateway(started))


run(main)
