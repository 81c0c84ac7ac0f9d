//! The order of a room's messages. The observer's is the measure; where it was away a break is
//! noted, unless the history that it got later closes the gap. Everybody else must have seen a
//! piece of that order without gaps, and may have seen more only in a break.

use std::collections::BTreeSet;

/// The messages of one room as the observer saw them.
#[derive(Debug, Default)]
pub struct Order {
    /// Body, and how many breaks were before.
    bodies: Vec<(String, usize)>,
    breaks: usize,
    /// Taken back by moderators: newcomers do not see them.
    retracted: BTreeSet<String>,
    /// The observer is away, or is back without having seen anything that it knows.
    is_broken: bool,
}

impl Order {
    /// The observer is not in the room any more.
    pub fn leave_off(&mut self) {
        self.is_broken = true;
    }

    /// A message came to the observer.
    pub fn push(&mut self, body: &str, is_history: bool) -> Result<(), String> {
        if self.position(body).is_some() {
            // The history goes back to what was seen before: nothing is missing in between.
            self.is_broken = false;
            return if is_history { Ok(()) } else { Err(format!("{body} came twice")) };
        }
        self.breaks += usize::from(std::mem::take(&mut self.is_broken));
        self.bodies.push((body.to_owned(), self.breaks));
        Ok(())
    }

    /// A moderator took it back.
    pub fn retract(&mut self, body: &str) {
        self.retracted.insert(body.to_owned());
    }

    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Where nothing may be missing at the end: the last message.
    pub fn last(&self) -> Option<&str> {
        let last = self.bodies.last().filter(|_| !self.is_broken);
        last.map(|(body, _)| body.as_str()).filter(|body| !self.retracted.contains(*body))
    }

    fn position(&self, body: &str) -> Option<usize> {
        self.bodies.iter().rposition(|(other, _)| other == body)
    }

    fn is_retracted(&self, at: usize) -> bool {
        self.retracted.contains(&self.bodies[at].0)
    }

    /// True when the observer may have missed something between the messages at these places.
    fn is_break_between(&self, before: usize, at: usize) -> bool {
        self.bodies[before].1 != self.bodies[at].1
    }

    /// True when the observer may have missed something after the message at this place, and
    /// before the next one that had to be seen.
    fn is_break_after(&self, at: usize) -> bool {
        let next = (at + 1..self.bodies.len()).find(|next| !self.is_retracted(*next));
        next.map_or_else(
            || self.is_broken || self.is_break_between(at, self.bodies.len() - 1),
            |next| self.is_break_between(at, next),
        )
    }

    /// True when the observer may have missed something before the message at this place, and
    /// after the one before it that had to be seen.
    fn is_break_before(&self, at: usize) -> bool {
        let previous = (0..at).rev().find(|previous| !self.is_retracted(*previous));
        self.is_break_between(previous.unwrap_or(0), at)
    }

    /// True when nothing that had to be seen lies between.
    fn is_next(&self, before: usize, at: usize) -> bool {
        before < at && (before + 1..at).all(|between| self.is_retracted(between))
    }

    /// Checks what somebody saw from a join to its end.
    pub fn check(&self, messages: &[String]) -> Result<(), String> {
        // The last one that the observer saw as well, and whether others came since.
        let mut previous: Option<usize> = None;
        let mut has_unknown = false;
        for (index, body) in messages.iter().enumerate() {
            if messages[..index].contains(body) {
                return Err(format!("{body} came twice"));
            }
            let Some(at) = self.position(body) else {
                if previous.is_some_and(|at| !self.is_break_after(at)) {
                    return Err(format!("the observer has not seen {body}"));
                }
                has_unknown = true;
                continue;
            };
            let is_next = match previous {
                Some(before) => {
                    self.is_next(before, at) && (!has_unknown || self.is_break_between(before, at))
                }
                None => !has_unknown || self.is_break_before(at),
            };
            if !is_next {
                let expected = previous.map(|at| self.bodies.get(at + 1));
                return Err(format!("{body} came where {expected:?} was to come"));
            }
            (previous, has_unknown) = (Some(at), false);
        }
        let never_broke = self.breaks == 0 && !self.is_broken;
        if previous.is_none() && has_unknown && never_broke {
            return Err("the observer has seen nothing of it".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_an_order() {
        let mut order = Order::default();
        for body in ["a", "b"] {
            order.push(body, false).expect("new");
        }
        order.leave_off();
        for (body, is_history) in [("b", true), ("c", true), ("d", false)] {
            order.push(body, is_history).expect("in order");
        }
        order.leave_off();
        for body in ["g", "h"] {
            order.push(body, false).expect("new");
        }
        assert!(order.push("h", false).is_err());
        for (text, want) in [
            ("", true),
            ("a b c d", true),
            ("b c", true),
            ("a c", false),
            ("b a", false),
            ("a a", false),
            ("a x", false),
            ("x a", false),
            ("d x g", true),
            ("x y g h", true),
            ("d x y", true),
            ("c x g", false),
            ("d g", true),
            ("d x h", false),
            ("g x", false),
            ("x", true),
        ] {
            let messages: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            assert_eq!(order.check(&messages).is_ok(), want, "{text}");
        }
        assert_eq!(order.last(), Some("h"));
    }

    /// Newcomers do not see what was taken back: a break on either side of it is none to them.
    #[test]
    fn breaks_beside_what_was_taken_back() {
        let mut order = Order::default();
        for body in ["a", "b", "r"] {
            order.push(body, false).expect("new");
        }
        order.leave_off();
        for body in ["s", "c", "t", "d", "u"] {
            order.push(body, false).expect("new");
        }
        order.leave_off();
        ["r", "s", "t", "u"].into_iter().for_each(|body| order.retract(body));
        for (text, want) in [
            ("a b c d", true),
            ("b r x s c", true),
            ("b x c", true),
            ("b x", true),
            ("x s c", true),
            ("x c d", true),
            ("d x", true),
            ("d u x", true),
            ("a x b", false),
            ("x b c", false),
            ("c x d", false),
            ("c x t d", false),
            ("c x", false),
            ("x d", false),
            ("b x r", false),
            ("s x c", false),
        ] {
            let messages: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            assert_eq!(order.check(&messages).is_ok(), want, "{text}");
        }
    }
}
