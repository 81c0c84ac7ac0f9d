//! What the command line asks a running server to do, over the control socket: one request, one
//! answer, both text. The answer is given after the commit: `ok` means that it is stored.

use crate::accounts::{self, AccountError};
use crate::cx::{AccountEnd, Now};
use crate::muc::Order;
use crate::xmpp::BareJid;

use super::Server;

impl Server {
    /// A request of the command line: `user add JID` and, on the next line, the password; `user
    /// passwd JID` likewise; `user del JID`; `user list`; `room …` as [`Order::parse`] reads it.
    /// Returns `ok …` or `error …`.
    pub fn handle_control(&mut self, now: Now, request: &str) -> String {
        self.cx.now = now;
        self.begin_chain();
        let answer = self.control(request);
        if answer.is_err() {
            self.cx.storage.roll_back_handler();
        }
        self.finish_chain();
        let wrote = self.chain_wrote;
        self.commit(now);
        match answer {
            Ok(_) if wrote && self.cx.storage.is_read_only() => {
                "error the database does not take writes".to_owned()
            }
            Ok(text) => format!("ok {text}"),
            Err(text) => format!("error {text}"),
        }
    }

    fn control(&mut self, request: &str) -> Result<String, String> {
        if let Some(request) = request.strip_prefix("room ") {
            return self.muc.carry_out(&mut self.cx, Order::parse(request)?);
        }
        let (command, password) = match request.split_once('\n') {
            Some((command, rest)) => (command, rest.strip_suffix('\n').unwrap_or(rest)),
            None => (request, ""),
        };
        let mut words = command.split_ascii_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("user"), Some("list"), None, _) => {
                let accounts = self.cx.storage.accounts();
                let accounts =
                    accounts.map_err(|error| AccountError::Storage(error).to_string())?;
                let lines: Vec<&str> = accounts.iter().map(BareJid::as_str).collect();
                Ok(lines.join("\n"))
            }
            (Some("user"), Some(verb), Some(address), None) => {
                self.control_user(verb, address, password).map_err(|error| match error {
                    Some(error) => error.to_string(),
                    None => format!("unknown request: user {verb}"),
                })
            }
            _ => Err("unknown request".to_owned()),
        }
    }

    /// `Err(None)`: there is no such verb.
    fn control_user(
        &mut self,
        verb: &str,
        address: &str,
        password: &str,
    ) -> Result<String, Option<AccountError>> {
        let cx = &mut self.cx;
        let account = accounts::parse_address(&cx.config, address)?;
        let (storage, entropy) = (&mut cx.storage, &mut *cx.entropy);
        let (done, why) = match verb {
            "add" => {
                accounts::add(storage, &cx.config, entropy, &account, password)?;
                return Ok(format!("added {account}"));
            }
            "passwd" => {
                accounts::change_password(storage, &cx.config, entropy, &account, password)?;
                (format!("changed the password of {account}"), AccountEnd::PasswordChanged)
            }
            "del" => {
                accounts::remove(storage, &account)?;
                (format!("removed {account}"), AccountEnd::Removed)
            }
            _ => return Err(None),
        };
        // Whoever is logged in with the old password, or without an account, is so no longer.
        cx.end_account(account, why);
        Ok(done)
    }
}
