//! Namespaces, each named once.

/// Stanzas between client and server.
pub const CLIENT: &str = "jabber:client";
/// Stanzas between servers.
pub const SERVER: &str = "jabber:server";
/// The namespace of stanzas between a server and its component (XEP-0114).
pub const COMPONENT: &str = "jabber:component:accept";
/// Server Dialback (XEP-0220).
pub const DIALBACK: &str = "jabber:server:dialback";
/// The stream feature of Server Dialback (XEP-0220 §2.4).
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// Bidirectional server streams (XEP-0288).
pub const BIDI: &str = "urn:xmpp:bidi";
/// The stream feature of bidirectional server streams (XEP-0288 §2.1).
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
/// The stream root and its children.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Conditions of stream errors.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions of stanza errors.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Channel-binding types (XEP-0440).
pub const SASL_CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// Resource binding.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// The session of RFC 3921.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Stream limits (XEP-0478).
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// `node` of the server's own capabilities (XEP-0115 §4): names the software.
pub const CAPS_NODE: &str = "urn:tercet";
/// Service discovery: information.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery: items.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Entity time (XEP-0202).
pub const TIME: &str = "urn:xmpp:time";
/// Rosters.
pub const ROSTER: &str = "jabber:iq:roster";
/// In-band registration (XEP-0077).
pub const REGISTER: &str = "jabber:iq:register";
/// In-band registration as a stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// Data forms (XEP-0004).
pub const DATA: &str = "jabber:x:data";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Stable stanza ids (XEP-0359).
pub const SID: &str = "urn:xmpp:sid:0";
/// Rooms (XEP-0045).
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// Rooms: what the service says to occupants.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Rooms: administration.
pub const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// Rooms: configuration.
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// FORM_TYPE of the room configuration.
pub const MUC_ROOMCONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";
/// FORM_TYPE of the room information.
pub const MUC_ROOMINFO: &str = "http://jabber.org/protocol/muc#roominfo";
/// Stable ids of room messages.
pub const MUC_STABLE_ID: &str = "http://jabber.org/protocol/muc#stable_id";
/// The self-ping optimisation (XEP-0410).
pub const MUC_SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// Direct invitations (XEP-0249).
pub const CONFERENCE: &str = "jabber:x:conference";
/// Occupant ids (XEP-0421).
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// Hats (XEP-0317).
pub const HATS: &str = "urn:xmpp:hats:0";
/// Ad-hoc commands (XEP-0050).
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// Result set management (XEP-0059).
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// Message archives (XEP-0313).
pub const MAM: &str = "urn:xmpp:mam:2";
/// Reactions (XEP-0444).
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// Forwarded stanzas (XEP-0297).
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// Retracted messages (XEP-0424).
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// Moderated retraction (XEP-0425).
pub const MODERATE: &str = "urn:xmpp:message-moderate:1";
/// Corrections (XEP-0308).
pub const CORRECT: &str = "urn:xmpp:message-correct:0";
/// Versions of affiliation lists (XEP-0463).
pub const MUC_AFFILIATIONS: &str = "urn:xmpp:muc:affiliations:1";
/// FORM_TYPE of the registration with a room (XEP-0045 §7.10).
pub const MUC_REGISTER: &str = "http://jabber.org/protocol/muc#register";
/// FORM_TYPE of a request for voice (XEP-0045 §7.13).
pub const MUC_REQUEST: &str = "http://jabber.org/protocol/muc#request";
/// Names of rooms that are not taken (XEP-0307).
pub const MUC_UNIQUE: &str = "http://jabber.org/protocol/muc#unique";
/// Hashes of avatars in presence (XEP-0153).
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// Validation of form fields (XEP-0122).
pub const DATA_VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// Personal cards (XEP-0054).
pub const VCARD_TEMP: &str = "vcard-temp";
/// Publish-subscribe (XEP-0060).
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// What a publish-subscribe service says of events (XEP-0060).
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// Publish-subscribe: what owners do (XEP-0060 §8).
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// Application errors of publish-subscribe.
pub const PUBSUB_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
/// FORM_TYPE of the options of a publication.
pub const PUBSUB_PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// FORM_TYPE of the configuration of a node.
pub const PUBSUB_NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// FORM_TYPE of what a node says of itself.
pub const PUBSUB_META_DATA: &str = "http://jabber.org/protocol/pubsub#meta-data";
/// Carbon copies (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// Which messages are copied: all rules of XEP-0280 §6.1.
pub const CARBONS_RULES: &str = "urn:xmpp:carbons:rules:0";
/// Chat states (XEP-0085).
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Delivery receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// Displayed markers (XEP-0333).
pub const CHAT_MARKERS: &str = "urn:xmpp:chat-markers:0";
/// Offline messages, as a feature (XEP-0160).
pub const OFFLINE: &str = "msgoffline";
/// Message processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Blocking (XEP-0191).
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// What a refusal by a block says (XEP-0191).
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// Private XML (XEP-0049).
pub const PRIVATE: &str = "jabber:iq:private";
/// Last activity (XEP-0012).
pub const LAST: &str = "jabber:iq:last";
/// Stream management (XEP-0198).
pub const SM: &str = "urn:xmpp:sm:3";
/// Client state indication (XEP-0352).
pub const CSI: &str = "urn:xmpp:csi:0";
/// One-round-trip login (XEP-0388).
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// Binding within the login (XEP-0386).
pub const BIND2: &str = "urn:xmpp:bind:0";
/// Login tokens (XEP-0484).
pub const FAST: &str = "urn:xmpp:fast:0";
/// Account invitations in registration (XEP-0401, XEP-0445).
pub const PREAUTH: &str = "urn:xmpp:pars:0";
/// Versions of rosters as a stream feature (RFC 6121 §2.6).
pub const ROSTER_VERSIONS: &str = "urn:xmpp:features:rosterver";
/// Subscriptions approved before they are asked for, as a stream feature (RFC 6121 §3.4).
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// XEP-0084: pictures.
pub const AVATAR_DATA: &str = "urn:xmpp:avatar:data";
/// XEP-0084: what is said of them.
pub const AVATAR_METADATA: &str = "urn:xmpp:avatar:metadata";
/// XEP-0398: a feature.
pub const PEP_VCARD_CONVERSION: &str = "urn:xmpp:pep-vcard-conversion:0";
/// XEP-0402
pub const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
/// XEP-0402 §5.3: they are the same as those in private XML.
pub const BOOKMARKS_COMPAT: &str = "urn:xmpp:bookmarks:1#compat";
/// XEP-0402 §5.3: they are the same as those of XEP-0048 in a node.
pub const BOOKMARKS_COMPAT_PEP: &str = "urn:xmpp:bookmarks:1#compat-pep";
/// XEP-0048
pub const BOOKMARKS_STORAGE: &str = "storage:bookmarks";
/// XEP-0157
pub const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
/// Administration of a service (XEP-0133): FORM_TYPE, and the beginning of its nodes.
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// Registration with an invitation as a stream feature (XEP-0445 §3).
pub const IBR_TOKEN: &str = "urn:xmpp:ibr-token:0";
/// FORM_TYPE of an invitation (XEP-0401 §5.1).
pub const INVITATION: &str = "urn:xmpp:invite#invitation";
