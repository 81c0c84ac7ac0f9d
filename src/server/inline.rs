//! What a login of XEP-0388 brings with it: an earlier session goes on (XEP-0198 §9.2), or a
//! resource is bound with what its session is to have (XEP-0386). All of it is done before
//! `<success/>` is sent, and told within it.

use crate::credentials::ScramHash;
use crate::ids::SessionId;
use crate::stream::inline::{Bind, ClientId, Wish};
use crate::stream::sasl::login::Granted;
use crate::stream::sasl::profile;
use crate::xml::Element;
use crate::xml::writer::write_element;
use crate::xmpp::{BareJid, Jid, StanzaError, StreamCondition, hex, ns};

use super::Server;
use super::session::xml_limits;

/// The name of the secret that resources are made with.
const RESOURCES_SECRET: &str = "bind-resources";
/// Bytes of the part of a resource that the server makes, in hexadecimal.
const RESOURCE_BYTES: usize = 8;

impl Server {
    /// A client is who it says it is: no restart, but what holds after a login holds from the next
    /// stanza on.
    pub(super) fn log_in(&mut self, id: SessionId, mut granted: Granted) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.parser.set_limits(xml_limits(&self.cx.config.limits, true));
        self.count_login(id);
        let mut results = Vec::new();
        if let Some(resume) = granted.inline.resume.take() {
            match self.resume_session(id, &resume) {
                Ok((earlier, resumed)) => return self.tell_resumed(earlier, granted, resumed),
                Err(failed) => results.push(failed),
            }
        }
        let (client, bind) = (granted.inline.client, granted.inline.bind.take());
        // XEP-0386 has no word for a resource that cannot be bound: the success is that of a login
        // without one, and the features offer to bind.
        let bound = bind.map(|bind| self.bind_inline(id, &granted.account, client, &bind));
        let (full_jid, bound) = bound.and_then(Result::ok).unzip();
        results.extend(bound);
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.negotiation.send_success(&mut self.cx, id, granted, full_jid.as_ref(), results);
    }

    /// `<success/>` of a session that goes on: no features follow it (XEP-0198 §9.2).
    fn tell_resumed(&mut self, id: SessionId, granted: Granted, resumed: Element) {
        let Some(session) = self.sessions.get(id) else { return };
        let identity = session.full_jid.as_ref().map_or(granted.account.as_str(), Jid::as_str);
        let results = [resumed].into_iter().chain(granted.token).collect();
        let success = profile::success_inline(granted.data.as_deref(), identity, results);
        let mut bytes = Vec::with_capacity(256);
        write_element(&mut bytes, &success, ns::CLIENT);
        self.cx.out.push_raw(id, &bytes);
    }

    /// XEP-0386 §3.2: binds a resource, and yields `<bound/>`.
    fn bind_inline(
        &mut self,
        id: SessionId,
        account: &BareJid,
        client: Option<ClientId>,
        bind: &Bind,
    ) -> Result<(Jid, Element), StanzaError> {
        let own = self.resource_part(account, client);
        if client.is_some() {
            self.end_earlier(account, &own);
        }
        let tagged = bind.tag.as_ref().map(|tag| format!("{tag}/{own}"));
        // A tag that makes the resource too long is left out, as one that no resource can have.
        let tagged = tagged.filter(|resource| account.with_resource(resource).is_ok());
        let full_jid = self.take_resource(id, tagged.as_ref().unwrap_or(&own))?;
        // What is said of the archive rests on what others may have written in this turn.
        self.chain.is_free = false;
        let mut bound = Element::new("bound", ns::BIND2);
        if let Some(metadata) = self.im.archive_metadata(&mut self.cx, account) {
            bound.push(metadata);
            // The client finds in its archive what has waited for it (§3.2).
            self.im.clear_offline(&mut self.cx, account);
        }
        for (wish, element) in &bind.wishes {
            match wish {
                Wish::Carbons => self.im.set_carbons(&self.cx, id, true),
                Wish::Active => self.set_client_active(id, true),
                Wish::Inactive => self.set_client_active(id, false),
                Wish::Management => bound.push(self.enable_management(id, element)),
            }
        }
        Ok((full_jid, bound))
    }

    /// The part of a resource that the server makes (XEP-0386 §3.2.1): the same at any time for a
    /// client that says which one it is, and nothing that tells its id.
    fn resource_part(&mut self, account: &BareJid, client: Option<ClientId>) -> String {
        let secret = self.cx.storage.secret(RESOURCES_SECRET, &mut *self.cx.entropy);
        let (Some(client), Ok(secret)) = (client, secret) else {
            return self.cx.random_hex(RESOURCE_BYTES);
        };
        let name = [account.as_str().as_bytes(), &[0], client.as_bytes()].concat();
        let digest = ScramHash::Sha256.hmac(&secret, &name);
        hex::encode(&digest[..RESOURCE_BYTES])
    }

    /// Ends the earlier sessions of the same client (XEP-0386 §3.2): they are known by the part of
    /// their resource that the server has made, whatever the tag was.
    fn end_earlier(&mut self, account: &BareJid, own: &str) {
        for id in self.im.sessions_of(account) {
            let full_jid = self.sessions.get(id).and_then(|session| session.full_jid.as_ref());
            let resource = full_jid.and_then(Jid::resource).unwrap_or_default();
            let made = resource.rsplit_once('/').map_or(resource, |(_, made)| made);
            if made == own {
                self.chain.is_free = false;
                self.end_stream(id, Some(StreamCondition::Conflict.into()));
            }
        }
    }
}
