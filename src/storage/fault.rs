//! Failures on demand, for tests and the simulation: the nth write or commit from now fails the
//! way SQLite fails, so that everything after the failure is the real code. In service nothing
//! is ever injected, and the cost is one test of an empty list per write.

/// What is to fail. `n` counts from now; 1 is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The nth writing statement fails; the transaction stands.
    FailWrite(u32),
    /// The nth writing statement takes the transaction with it (disk full, I/O error).
    LoseWrite(u32),
    /// The nth commit of a transaction is lost.
    LoseCommit(u32),
    /// The next n probes fail.
    FailProbes(u32),
}

/// The faults that wait for their moment.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pending: Vec<Fault>,
    /// Those whose moment has come.
    met_count: usize,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.pending.push(fault);
    }

    pub(super) fn met_count(&self) -> usize {
        self.met_count
    }

    /// The fault that this write meets, if any.
    pub(super) fn at_write(&mut self) -> Option<Fault> {
        self.count_down(|fault| match fault {
            Fault::FailWrite(n) | Fault::LoseWrite(n) => Some(n),
            Fault::LoseCommit(_) | Fault::FailProbes(_) => None,
        })
    }

    /// The fault that this commit meets, if any.
    pub(super) fn at_commit(&mut self) -> Option<Fault> {
        self.count_down(|fault| match fault {
            Fault::LoseCommit(n) => Some(n),
            _ => None,
        })
    }

    /// True when this probe is to fail.
    pub(super) fn at_probe(&mut self) -> bool {
        let mut fails = false;
        for fault in &mut self.pending {
            if let Fault::FailProbes(n) = fault {
                fails |= *n > 0;
                *n = n.saturating_sub(1);
            }
        }
        self.pending.retain(|fault| *fault != Fault::FailProbes(0));
        fails
    }

    /// Counts the matching faults down; takes out and returns the one whose turn has come.
    fn count_down(&mut self, counter: fn(&mut Fault) -> Option<&mut u32>) -> Option<Fault> {
        let mut due = None;
        self.pending.retain_mut(|fault| {
            let what = *fault;
            let Some(n) = counter(fault) else { return true };
            *n = n.saturating_sub(1);
            if *n == 0 {
                due = Some(what);
            }
            *n > 0
        });
        self.met_count += usize::from(due.is_some());
        due
    }
}
