//! What the command line asks a running server to do, over the control socket: one request, one
//! answer, both text. The answer is given after the commit: `ok` means that it is stored.

use crate::accounts::{invitations, orders};
use crate::cx::Now;
use crate::muc::Order;
use crate::storage::StorageError;

use super::Server;
use super::admin::check_announcement;

impl Server {
    /// A request of the command line: `user …` as [`orders::Order::parse`] reads it, `room …` as
    /// [`Order::parse`] does; `announce TEXT`; `invite` or `invite JID`; `status`. Returns `ok …`
    /// or `error …`.
    pub fn handle_control(&mut self, now: Now, request: &str) -> String {
        self.cx.now = now;
        self.begin_chain();
        let answer = self.control(request);
        if answer.is_err() {
            self.cx.storage.roll_back_handler();
        }
        self.finish_chain();
        let wrote = self.chain.has_written;
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
        let (command, rest) = request.split_once([' ', '\n']).unwrap_or((request, ""));
        match command {
            "room" => self.muc.carry_out(&mut self.cx, Order::parse(rest)?),
            "user" => {
                let order = orders::Order::parse(&self.cx.config, rest)?;
                let done = self.carry_out(vec![order]).map_err(|error| error.to_string())?;
                let (text, sessions) = done;
                sessions.into_iter().for_each(|session| self.end_kicked(session));
                Ok(text)
            }
            "announce" => {
                let text = rest.strip_suffix('\n').unwrap_or(rest);
                check_announcement(text)?;
                let heard = self.announce(None, text);
                Ok(format!("announced to {heard} sessions"))
            }
            "invite" => {
                let cx = &mut self.cx;
                let address = Some(rest.trim()).filter(|address| !address.is_empty());
                let wish = invitations::operators_wish(&cx.config, address)?;
                let (storage, unix_ms) = (&mut cx.storage, cx.now.unix_ms);
                let made = invitations::invite_account(
                    storage,
                    &cx.config,
                    &mut *cx.entropy,
                    unix_ms,
                    wish,
                );
                made.map(|issued| issued.uri).map_err(|error| error.to_string())
            }
            "status" if rest.is_empty() => self.status().map_err(|error| error.to_string()),
            _ => Err("unknown request".to_owned()),
        }
    }

    /// What `tercet status` shows.
    fn status(&mut self) -> Result<String, StorageError> {
        let (mut accounts, mut disabled) = (0, 0);
        for domain in &self.cx.config.domains {
            let (all, some) = self.cx.storage.accounts_count(domain.as_str())?;
            accounts += all;
            disabled += some;
        }
        Ok(format!(
            "version: {}\naccounts: {accounts}\ndisabled accounts: {disabled}\n\
             connections: {}\nsessions: {}\nonline accounts: {}\nseats in rooms: {}\n",
            env!("CARGO_PKG_VERSION"),
            self.sessions.len(),
            self.im.sessions_count(),
            self.im.online(None).len(),
            self.muc.seats_count(),
        ))
    }
}
