//! PLAIN (RFC 4616): one message with the password in it. Only taken apart here; the check costs
//! milliseconds and waits for its turn (`login`).

use super::{Condition, Failure};

/// The message of a client. No `Debug`: it holds a password.
pub struct Message {
    /// Who the client wants to act as; `None` when left empty.
    pub authzid: Option<String>,
    /// User name, never empty.
    pub username: String,
    /// Password, never empty.
    pub password: String,
}

impl Message {
    /// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
    pub fn parse(message: &[u8]) -> Result<Self, Failure> {
        let text = str::from_utf8(message).map_err(|_| Condition::MalformedRequest)?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(username), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Condition::MalformedRequest.into());
        };
        if username.is_empty() || password.is_empty() {
            return Err(Condition::MalformedRequest.into());
        }
        Ok(Self {
            authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4616_section_2() {
        let parse = |bytes: &[u8]| Message::parse(bytes).ok();
        let message = parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((message.authzid, message.username.as_str()), (None, "tim"));
        assert_eq!(message.password, "tanstaaftanstaaf");
        let message = parse(b"Ursel\0Kurt\0xipj3plmq").unwrap();
        assert_eq!(message.authzid.as_deref(), Some("Ursel"));
        let bad: [&[u8]; 9] = [
            b"",
            b"\0",
            b"\0\0",
            b"tim",
            b"\0tim",
            b"\0tim\0",
            b"\0\0password",
            b"\0tim\0pass\0word",
            b"\0tim\0\xff\xfe",
        ];
        for bytes in bad {
            assert!(parse(bytes).is_none(), "{bytes:?}");
        }
    }
}
