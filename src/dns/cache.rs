//! Answers of name servers, for as long as these say (RFC 1035 §3.2.1), within bounds; that there
//! is nothing is an answer too (RFC 2308).

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::cx::Now;

use super::packet::{Answer, Question};

/// Answers that are kept; for another one the oldest goes.
const ANSWERS_MAX: usize = 1000;
/// Shorter times are not worth asking again.
const KEPT_SECONDS_MIN: u32 = 30;
/// Longer ones are no use to a server that runs for years.
const KEPT_SECONDS_MAX: u32 = 86_400;
/// That there is nothing may change soon: somebody sets up a server just now.
const NOTHING_SECONDS_MAX: u32 = 300;

/// The answers.
#[derive(Default)]
pub struct Cache {
    answers: HashMap<Question, Kept>,
    /// The questions in the order they were answered.
    order: BTreeMap<u64, Question>,
    /// Of the next answer.
    number: u64,
}

struct Kept {
    answer: Rc<Answer>,
    until_ms: u64,
    /// In `order`.
    number: u64,
}

impl Cache {
    /// The answer to a question, unless it is too old.
    pub fn get(&self, now: Now, question: &Question) -> Option<Rc<Answer>> {
        let kept = self.answers.get(question).filter(|kept| kept.until_ms > now.mono_ms)?;
        Some(Rc::clone(&kept.answer))
    }

    /// Keeps an answer for `seconds`, more or less.
    pub fn put(&mut self, now: Now, question: Question, answer: Rc<Answer>, seconds: u32) {
        let seconds_max = match *answer {
            Answer::Nothing => NOTHING_SECONDS_MAX,
            _ => KEPT_SECONDS_MAX,
        };
        let seconds = seconds.clamp(KEPT_SECONDS_MIN, seconds_max);
        let until_ms = now.mono_ms + u64::from(seconds) * 1000;
        let number = self.number;
        self.number += 1;
        self.order.insert(number, question.clone());
        if let Some(old) = self.answers.insert(question, Kept { answer, until_ms, number }) {
            self.order.remove(&old.number);
        }
        if self.answers.len() > ANSWERS_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.answers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Kind;
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono_ms: seconds * 1000, unix_ms: 0 }
    }

    #[test]
    fn times_are_bounded() {
        for (answer, seconds, want) in [
            (Answer::Addresses(Vec::new()), 0, 30),
            (Answer::Addresses(Vec::new()), 60, 60),
            (Answer::Addresses(Vec::new()), u32::MAX, 86_400),
            (Answer::Nothing, 0, 30),
            (Answer::Nothing, 3600, 300),
        ] {
            let mut cache = Cache::default();
            let question = Question::new("example.org", Kind::A);
            cache.put(at(5), question.clone(), Rc::new(answer), seconds);
            assert!(cache.get(at(5 + want - 1), &question).is_some());
            assert!(cache.get(at(5 + want), &question).is_none());
        }
    }

    #[test]
    fn the_oldest_goes() {
        let mut cache = Cache::default();
        let question = |number: usize| Question::new(&format!("{number}.example"), Kind::A);
        for number in 0..=ANSWERS_MAX {
            cache.put(at(0), question(number), Rc::new(Answer::Nothing), 60);
            cache.put(at(0), question(1), Rc::new(Answer::Nothing), 60);
        }
        assert!(cache.get(at(0), &question(0)).is_none());
        assert!(cache.get(at(0), &question(1)).is_some(), "answered anew");
        assert_eq!((cache.answers.len(), cache.order.len()), (ANSWERS_MAX, ANSWERS_MAX));
    }
}
