"""Servers of the interop scripts: Tercet, Prosody, ejabberd, biboumi, each a process of this one.

Each has loopback addresses of its own, which are its domains too: nothing has to be found in DNS.
What they write lies in a folder of their own, and nothing of them runs when the script has ended.
SCRIPT FOLDER; TERCET names the binary, INTEROP_PEERS="prosody" leaves the other out.
INTEROP_INSTEAD=ejabberd puts that one in the place of Tercet: that checks the scripts themselves.
"""

import asyncio
import glob
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

from people import User

FOLDER = sys.argv[1]
START_SECONDS = 60
STOP_SECONDS = 30
# Ports that only DNS tells of: with STARTTLS, and with TLS from the first byte.
OTHER_PORT, TLS_PORT = 15269, 15270
SECRET = "between two servers"
# The end of `timeout` lets what is to be cleaned up be cleaned up.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def address(last):
    """A loopback address of this process: other runs have others."""
    pid = os.getpid()
    return f"127.{1 + pid % 254}.{pid // 254 % 256}.{last}"


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=FOLDER)


def authority(name="authority"):
    """Makes a certificate authority; the path of its certificate."""
    openssl(*"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30".split(),
            "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".pem")
    return os.path.join(FOLDER, name + ".pem")


def certificate(name, domains, signer=None):
    """A certificate for domains that are addresses, by an authority or by itself: NAME.pem."""
    names = ",".join(f"IP:{domain},DNS:{domain}" for domain in domains)
    by = ["-CA", signer + ".pem", "-CAkey", signer + ".key"] if signer else []
    openssl(*"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30".split(),
            "-subj", "/CN=" + domains[0], "-addext", "subjectAltName=" + names,
            "-addext", "basicConstraints=critical,CA:FALSE", *by,
            "-keyout", name + ".key", "-out", name + ".pem")


def resolving_by(server):
    """What to put before a command line so that the process asks this name server."""
    file = os.path.join(FOLDER, "resolv.conf")
    with open(file, "w") as text:
        text.write(f"nameserver {server}\n")
    script = f'mount --bind "{file}" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


class Server:
    """A process with a domain, a domain of rooms and a configuration."""

    kind = ""
    # The last octets of its address, of that of its rooms, and of that of a component.
    octets = (0, 0)

    def __init__(self, name=None, tls=True, trust="dialback", ca=None, signer=None, **more):
        self.name = name or self.kind
        self.tls, self.trust, self.ca, self.more = tls, trust, ca, more
        self.domain, self.service = (address(octet) for octet in self.octets)
        self.folder = os.path.join(FOLDER, self.name)
        os.makedirs(self.folder, exist_ok=True)
        self.key, self.certificate = self.folder + ".key", self.folder + ".pem"
        certificate(self.name, [self.domain, self.service], signer)
        self.log = open(self.folder + ".log", "a")
        self.process = None

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def command(self):
        """The command line, and variables of the environment."""
        raise NotImplementedError

    def start(self):
        command, more = self.command()
        self.process = subprocess.Popen(
            [*self.more.get("prefix", []), *command], env={**os.environ, **more},
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )

    async def ready(self, ports=(5222, 5269)):
        """Waits until it accepts."""
        end = time.monotonic() + START_SECONDS
        for port in ports:
            while True:
                assert self.process.poll() is None, f"{self.name} does not start"
                assert time.monotonic() < end, f"{self.name} does not accept at {port}"
                try:
                    _, writer = await asyncio.open_connection(self.domain, port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.05)

    async def logs(self, text, times=1):
        """Waits until its log says something, so many times in all."""
        end = time.monotonic() + START_SECONDS
        while True:
            with open(self.log.name) as log:
                if log.read().count(text) >= times:
                    return
            assert time.monotonic() < end, f"{self.name} does not log '{text}'"
            await asyncio.sleep(0.05)

    async def ended(self):
        """Waits for the end; the exit code."""
        return await asyncio.to_thread(self.process.wait, STOP_SECONDS)

    async def stop(self):
        self.process.terminate()
        return await self.ended()

    async def restart(self, crash=False):
        """Ends it, in order or not, and starts it again."""
        if crash:
            self.process.kill()
            await self.ended()
        else:
            await self.stop()
        self.start()
        await self.ready()

    def end(self):
        """Whatever happens, it does not outlive the script."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def user(self, name, plugins=(), **more):
        return Person(self, name, plugins, **more)


class Person(User):
    """A user of a server, registered at the first login."""

    def __init__(self, server, name, plugins=(), **more):
        more = {"domain": server.domain, **more}
        super().__init__(name, register=True, plugins=plugins, host=server.domain, **more)
        self.home = server
        self.bare, self.full = self.boundjid.bare, self.boundjid.full
        # Nothing secret is said.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.plugin["feature_mechanisms"].unencrypted_scram = True

    async def log_in(self, **more):
        await super().log_in(roster=True, **more)
        self.plugin["xep_0077"].create_account = False


class Tercet(Server):
    kind = "tercet"
    octets = (3, 5)

    def command(self):
        listen = [f"{ip}:5269" for ip in (self.domain, self.service)]
        listen_tls = []
        also = self.more.get("also")
        if also:
            listen.append(f"{self.domain}:{OTHER_PORT}")
            listen_tls.append(f"{self.domain}:{TLS_PORT}")
        text = f"""
domains = {json.dumps([self.domain, *([also] if also else [])])}
data = "{self.path('data')}"
log = "debug"
[c2s]
listen = ["{self.domain}:5222"]
[s2s]
listen = {listen}
listen_tls = {listen_tls}
require_tls = {str(self.tls).lower()}
verify = "{self.trust}"
authorities = "{self.ca or ''}"
[tls]
certificate = "{self.certificate}"
key = "{self.key}"
[rooms]
domains = ["{self.service}"]
[registration]
in_band = "anyone"
[limits]
registrations_per_address_per_minute = 0
{self.more.get('text', '')}"""
        return [os.environ["TERCET"], "serve", "-c", self.write("tercet.toml", text)], {}

    def log_after(self, text):
        """What it has logged since it said something for the last time."""
        with open(self.log.name) as log:
            return log.read().rpartition(text)[2]

    def summary(self):
        """What it says at its end."""
        return self.log_after("shutdown: ").partition("\n")[0]


class TercetComponent(Tercet):
    """The rooms of Tercet as a component of another server."""

    def __init__(self, host, **more):
        self.octets = (host.octets[0], host.octets[0] + 20)
        super().__init__(name="tercet-of-" + host.name, **more)

    def command(self):
        text = f"""
domains = ["{self.domain}"]
data = "{self.path('data')}"
log = "debug"
[c2s]
listen = []
[s2s]
listen = []
[component]
server = "{self.domain}:5347"
domain = "{self.service}"
secret = "{SECRET}"
"""
        return [os.environ["TERCET"], "serve", "-c", self.write("tercet.toml", text)], {}


class Prosody(Server):
    kind = "prosody"
    octets = (2, 4)

    def command(self):
        modules = ["roster", "saslauth", "disco", "ping", "version", "pep", "register", "carbons",
                   "s2s_bidi", "smacks", "vcard_legacy", "blocklist", "offline"]
        disabled = []
        if self.tls:
            modules.append("tls")
        (modules if self.trust == "dialback" else disabled).append("dialback")
        if self.trust == "dialback":
            disabled.append("s2s_auth_certs")
        on, also = str(self.tls).lower(), self.more.get("also")
        lua = lambda names: "{ " + ", ".join(f'"{name}"' for name in names) + " }"
        text = f"""
run_as_root = true
pidfile = "{self.path('pid')}"
data_path = "{self.path('data')}"
interfaces = {lua([self.domain, self.service])}
local_interfaces = {lua([self.domain])}
use_ipv6 = false
component_interfaces = {lua([self.domain])}
component_ports = {{ 5347 }}
s2s_ports = {{ 5269, {OTHER_PORT} }}
s2s_direct_tls_ports = {{ {TLS_PORT} }}
modules_enabled = {lua(modules)}
modules_disabled = {lua(disabled)}
allow_registration = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
s2s_require_encryption = {on}
s2s_secure_auth = {str(self.trust != "dialback").lower()}
limits = {{}}
authentication = "internal_hashed"
log = {{ debug = "{self.log.name}" }}
ssl = {{ key = "{self.key}", certificate = "{self.certificate}",
    cafile = "{self.ca or '/etc/ssl/certs/ca-certificates.crt'}" }}
VirtualHost "{self.domain}"
    disco_items = {{ {{ "{self.service}" }} }}
Component "{self.service}" "muc"
    restrict_room_creation = false
Component "{address(self.octets[0] + 20)}"
    component_secret = "{SECRET}"
{f'VirtualHost "{also}"' if also else ''}
"""
        return ["prosody", "-F", "--config", self.write("prosody.cfg.lua", text)], {}


class Ejabberd(Server):
    kind = "ejabberd"
    octets = (6, 7)

    def command(self):
        with open(self.path("both.pem"), "w") as both:
            for part in (self.certificate, self.key):
                with open(part) as file:
                    both.write(file.read())
        listen = "".join(
            f'  - {{port: {port}, ip: "{ip}", module: {module}}}\n'
            for ip, port, module in [
                (self.domain, 5222, "ejabberd_c2s"),
                (self.domain, 5269, "ejabberd_s2s_in"),
                (self.service, 5269, "ejabberd_s2s_in"),
                (self.domain, OTHER_PORT, "ejabberd_s2s_in"),
            ]
        )
        also = self.more.get("also")
        text = f"""
hosts: {json.dumps([self.domain, *([also] if also else [])])}
loglevel: debug
certfiles: ["{self.path('both.pem')}"]
{f'ca_file: "{self.ca}"' if self.ca else ''}
s2s_use_starttls: {'required' if self.tls else 'false'}
auth_password_format: scram
registration_timeout: infinity
listen:
{listen}  - port: {TLS_PORT}
    ip: "{self.domain}"
    module: ejabberd_s2s_in
    tls: true
  - port: 5347
    ip: "{self.domain}"
    module: ejabberd_service
    hosts: {{"{address(self.octets[0] + 20)}": {{password: "{SECRET}"}}}}
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_disco: {{extra_domains: ["{self.service}"]}}
  mod_muc: {{hosts: ["{self.service}"]}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_register: {{ip_access: all}}
  mod_roster: {{}}
{'  mod_s2s_dialback: {}' if self.trust == 'dialback' else ''}
  mod_vcard: {{search: false}}
  mod_version: {{}}
"""
        libraries = os.path.dirname(glob.glob("/usr/lib/*/ejabberd-*/ebin")[0][:-5])
        # Without a node name there is no need of epmd, and without its script none of its user.
        folder = f'"{self.path("mnesia")}"'
        return ["erl", "-noinput", "-mnesia", "dir", folder, "-s", "ejabberd"], {
            "ERL_LIBS": libraries,
            "EJABBERD_CONFIG_PATH": self.write("ejabberd.yml", text),
            "EJABBERD_LOG_PATH": self.log.name,
            "ERL_CRASH_DUMP_BYTES": "0",
        }


class Biboumi(Server):
    """A gateway to IRC, as a component of Tercet."""

    kind = "biboumi"
    octets = (8, 28)

    def __init__(self, ours):
        self.server = ours.domain
        super().__init__()

    @classmethod
    def section(cls, listen):
        """What Tercet has to know of it."""
        return f"""
[[components]]
domain = "{address(cls.octets[1])}"
secret = "{SECRET}"
listen = "{listen}:5347"
"""

    def command(self):
        text = f"""hostname={self.service}
password={SECRET}
xmpp_server_ip={self.server}
port=5347
db_name={self.path('biboumi.sqlite')}
identd_port=0
log_level=0
"""
        return ["biboumi", self.write("biboumi.cfg", text)], {}


KINDS = {kind.kind: kind for kind in (Tercet, Prosody, Ejabberd)}
# The servers that Tercet meets, and what stands in its place.
PEERS = os.environ.get("INTEROP_PEERS", "prosody ejabberd").split()
INSTEAD = os.environ.get("INTEROP_INSTEAD", "tercet")


class Started(ExitStack):
    """Servers that run as long as this is open."""

    def add(self, server):
        self.callback(server.end)
        server.start()
        return server

    async def all(self, *servers):
        """Starts several at once."""
        for server in servers:
            self.add(server)
        await asyncio.gather(*(server.ready() for server in servers))
        return servers
