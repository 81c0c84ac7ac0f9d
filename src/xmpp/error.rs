//! Stanza errors (RFC 6120 §8.3) and stream errors (§4.9) as values. Handlers return them; the
//! one place that makes a reply of a stanza error is `server/router.rs`.

use std::borrow::Cow;

use super::jid::BareJid;
use super::ns;
use crate::xml::Element;

/// The `type` of a stanza error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Proceed, it was only a warning.
    Continue,
    /// Retry after changing the data.
    Modify,
    /// Retry after waiting.
    Wait,
}

macro_rules! conditions {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// The element name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The condition with this element name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

conditions! {
    /// Stanza error conditions (RFC 6120 §8.3.3).
    Condition {
        /// §8.3.3.1
        BadRequest = "bad-request",
        /// §8.3.3.2
        Conflict = "conflict",
        /// §8.3.3.3
        FeatureNotImplemented = "feature-not-implemented",
        /// §8.3.3.4
        Forbidden = "forbidden",
        /// §8.3.3.5
        Gone = "gone",
        /// §8.3.3.6
        InternalServerError = "internal-server-error",
        /// §8.3.3.7
        ItemNotFound = "item-not-found",
        /// §8.3.3.8
        JidMalformed = "jid-malformed",
        /// §8.3.3.9
        NotAcceptable = "not-acceptable",
        /// §8.3.3.10
        NotAllowed = "not-allowed",
        /// §8.3.3.11
        NotAuthorized = "not-authorized",
        /// §8.3.3.12
        PolicyViolation = "policy-violation",
        /// §8.3.3.13
        RecipientUnavailable = "recipient-unavailable",
        /// §8.3.3.14
        Redirect = "redirect",
        /// §8.3.3.15
        RegistrationRequired = "registration-required",
        /// §8.3.3.16
        RemoteServerNotFound = "remote-server-not-found",
        /// §8.3.3.17
        RemoteServerTimeout = "remote-server-timeout",
        /// §8.3.3.18
        ResourceConstraint = "resource-constraint",
        /// §8.3.3.19
        ServiceUnavailable = "service-unavailable",
        /// §8.3.3.20
        SubscriptionRequired = "subscription-required",
        /// §8.3.3.21
        UndefinedCondition = "undefined-condition",
        /// §8.3.3.22
        UnexpectedRequest = "unexpected-request",
    }
}

impl Condition {
    /// The type that RFC 6120 §8.3.3 associates with the condition.
    pub fn default_type(self) -> ErrorType {
        use Condition as C;
        match self {
            C::BadRequest
            | C::JidMalformed
            | C::NotAcceptable
            | C::PolicyViolation
            | C::Redirect => ErrorType::Modify,
            C::Forbidden | C::NotAuthorized | C::RegistrationRequired | C::SubscriptionRequired => {
                ErrorType::Auth
            }
            C::RecipientUnavailable
            | C::RemoteServerTimeout
            | C::ResourceConstraint
            | C::UnexpectedRequest => ErrorType::Wait,
            _ => ErrorType::Cancel,
        }
    }
}

impl ErrorType {
    /// The attribute value on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

/// What went wrong with a stanza. Boxed parts keep the `Result`s that carry it small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// The `type`.
    pub kind: ErrorType,
    /// The defined condition.
    pub condition: Condition,
    /// Who says so (`by`): the room, when a room refuses.
    pub by: Option<BareJid>,
    /// Words for a person.
    pub text: Option<Cow<'static, str>>,
    /// An application-specific condition, or further payload of the error stanza.
    pub extra: Option<Box<ErrorExtra>>,
}

/// Rarely used parts of a stanza error.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ErrorExtra {
    /// Character data of the condition (the address in `gone` and `redirect`).
    pub condition_text: Option<String>,
    /// The application-specific condition inside `<error/>`.
    pub application: Option<Element>,
    /// A child of the stanza before `<error/>` (the empty `<x/>` of a refused join).
    pub payload: Option<Element>,
}

impl StanzaError {
    /// An error with the type that goes with the condition.
    pub fn new(condition: Condition) -> Self {
        Self { kind: condition.default_type(), condition, by: None, text: None, extra: None }
    }

    /// The same with another type.
    #[must_use]
    pub fn with_type(mut self, kind: ErrorType) -> Self {
        self.kind = kind;
        self
    }

    /// The same with words for a person.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same, said by `by`.
    #[must_use]
    pub fn with_by(mut self, by: BareJid) -> Self {
        self.by = Some(by);
        self
    }

    /// The rarely used parts, made when absent.
    pub fn extra_mut(&mut self) -> &mut ErrorExtra {
        self.extra.get_or_insert_default()
    }

    /// The `<error/>` element.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(self.condition.as_str(), ns::STANZA_ERRORS);
        let extra = self.extra.as_deref();
        if let Some(text) = extra.and_then(|extra| extra.condition_text.as_ref()) {
            condition.push_text(text);
        }
        let text = self
            .text
            .as_ref()
            .map(|text| Element::new("text", ns::STANZA_ERRORS).with_text(text.as_ref()));
        Element::new("error", ns::CLIENT)
            .with_attr("type", self.kind.as_str())
            .with_attr_opt("by", self.by.as_ref().map(BareJid::as_str))
            .with_child(condition)
            .with_child_opt(text)
            .with_child_opt(extra.and_then(|extra| extra.application.clone()))
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        Self::new(condition)
    }
}

conditions! {
    /// Stream error conditions (RFC 6120 §4.9.3).
    StreamCondition {
        /// §4.9.3.1
        BadFormat = "bad-format",
        /// §4.9.3.2
        BadNamespacePrefix = "bad-namespace-prefix",
        /// §4.9.3.3
        Conflict = "conflict",
        /// §4.9.3.4
        ConnectionTimeout = "connection-timeout",
        /// §4.9.3.5
        HostGone = "host-gone",
        /// §4.9.3.6
        HostUnknown = "host-unknown",
        /// §4.9.3.7
        ImproperAddressing = "improper-addressing",
        /// §4.9.3.8
        InternalServerError = "internal-server-error",
        /// §4.9.3.9
        InvalidFrom = "invalid-from",
        /// §4.9.3.10
        InvalidNamespace = "invalid-namespace",
        /// §4.9.3.11
        InvalidXml = "invalid-xml",
        /// §4.9.3.12
        NotAuthorized = "not-authorized",
        /// §4.9.3.13
        NotWellFormed = "not-well-formed",
        /// §4.9.3.14
        PolicyViolation = "policy-violation",
        /// §4.9.3.15
        RemoteConnectionFailed = "remote-connection-failed",
        /// §4.9.3.16
        Reset = "reset",
        /// §4.9.3.17
        ResourceConstraint = "resource-constraint",
        /// §4.9.3.18
        RestrictedXml = "restricted-xml",
        /// §4.9.3.19
        SeeOtherHost = "see-other-host",
        /// §4.9.3.20
        SystemShutdown = "system-shutdown",
        /// §4.9.3.21
        UndefinedCondition = "undefined-condition",
        /// §4.9.3.22
        UnsupportedEncoding = "unsupported-encoding",
        /// §4.9.3.23
        UnsupportedFeature = "unsupported-feature",
        /// §4.9.3.24
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// §4.9.3.25
        UnsupportedVersion = "unsupported-version",
    }
}

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// Words for a person.
    pub text: Option<Cow<'static, str>>,
    /// A condition of an extension (§4.9.4).
    pub application: Option<Box<Element>>,
}

impl StreamError {
    /// An error without words.
    pub fn new(condition: StreamCondition) -> Self {
        Self { condition, text: None, application: None }
    }

    /// The same with words for a person.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same with a condition of an extension.
    #[must_use]
    pub fn with_application(mut self, element: Element) -> Self {
        self.application = Some(Box::new(element));
        self
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self::new(condition)
    }
}
