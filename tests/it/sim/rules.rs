//! What a set of `muc#admin` must come to: the tables of XEP-0045 §5 and the sentences of §8 to
//! §10, stated once more, from the text and not from the server's code. Where the text leaves two
//! answers open both are listed.

/// Outcomes that the text allows: `result`, or conditions of errors.
pub type Outcomes = &'static [&'static str];

const DONE: Outcomes = &["result"];
const BAD_REQUEST: Outcomes = &["bad-request"];
const FORBIDDEN: Outcomes = &["forbidden"];
const NOT_ALLOWED: Outcomes = &["not-allowed"];
const CONFLICT: Outcomes = &["conflict"];
const NOT_FOUND: Outcomes = &["item-not-found"];

/// Lowest first (§5.2).
pub const AFFILIATIONS: [&str; 5] = ["outcast", "none", "member", "admin", "owner"];

/// A place in the hierarchy of §5.2.
fn rank(affiliation: &str) -> usize {
    AFFILIATIONS.iter().position(|name| *name == affiliation).expect("an affiliation")
}

/// Role and affiliation of somebody.
#[derive(Clone, Debug)]
pub struct Standing {
    pub role: String,
    pub affiliation: String,
}

impl Standing {
    /// True for those who see real addresses in every room: moderators, and those whose affiliation
    /// makes them one.
    pub fn sees_addresses(&self) -> bool {
        self.role == "moderator" || matches!(self.affiliation.as_str(), "admin" | "owner")
    }
}

/// What one item of a set asks for.
#[derive(Clone, Debug)]
pub enum Item {
    /// The target is `None` when nobody has the nick.
    Role {
        target: Option<Standing>,
        is_self: bool,
        role: &'static str,
    },
    Affiliation {
        old: String,
        is_self: bool,
        affiliation: &'static str,
    },
    /// Role and affiliation at once, or neither, or no name.
    Senseless,
}

impl Item {
    /// What the text says about this item, as if it stood alone.
    fn outcomes(&self, actor: &Standing) -> Outcomes {
        match self {
            Self::Senseless => BAD_REQUEST, // §17.4
            Self::Role { target, is_self, role } => {
                role_change(actor, target.as_ref(), *is_self, role)
            }
            Self::Affiliation { old, is_self, affiliation } => {
                affiliation_change(actor, old, *is_self, affiliation)
            }
        }
    }
}

fn role_change(actor: &Standing, target: Option<&Standing>, is_self: bool, new: &str) -> Outcomes {
    let is_admin = rank(&actor.affiliation) >= rank("admin");
    let is_moderator = actor.role == "moderator";
    if !is_moderator && !is_admin {
        return FORBIDDEN; // §8
    }
    let Some(target) = target else { return NOT_FOUND };
    let is_above = rank(&target.affiliation) > rank(&actor.affiliation);
    let is_protected = rank(&target.affiliation) >= rank("admin");
    match (target.role.as_str(), new) {
        // §8.2: oneself MAY be refused with a conflict, which this server does.
        (_, "none") if is_self => CONFLICT,
        // §8.2: not against a higher affiliation. §5.1.3: moderators only by admins.
        (_, "none") if is_above => NOT_ALLOWED,
        ("moderator", "none") if !is_admin => NOT_ALLOWED,
        (_, "none") => DONE,
        // §9.6 is for admins; who is a moderator already does not become one.
        ("moderator", "moderator") if is_admin => DONE,
        ("moderator", "moderator") => &["result", "forbidden"],
        (_, "moderator") if is_admin => DONE,
        (_, "moderator") => FORBIDDEN,
        // §9.7: not from admins and owners. Of others who try, §9 says forbidden and §8.4 (voice
        // of an admin) not-allowed.
        ("moderator", _) if is_admin && is_protected => NOT_ALLOWED,
        ("moderator", _) if is_admin => DONE,
        ("moderator", _) if is_protected => &["forbidden", "not-allowed"],
        ("moderator", _) => FORBIDDEN,
        // §8.4: not from those at or above the own level, and never from admins and owners.
        ("participant", "visitor") => {
            let is_at_or_above = rank(&target.affiliation) >= rank(&actor.affiliation);
            if is_at_or_above || is_protected { NOT_ALLOWED } else { DONE }
        }
        _ => DONE, // §8.3, or no change.
    }
}

fn affiliation_change(actor: &Standing, old: &str, is_self: bool, new: &str) -> Outcomes {
    if rank(&actor.affiliation) < rank("admin") {
        return FORBIDDEN; // §9
    }
    if is_self && new == "outcast" {
        return CONFLICT; // §9.1
    }
    if actor.affiliation == "owner" {
        return DONE; // §5.2.2; the last owner is looked at below.
    }
    if rank(old) >= rank("admin") && new == "outcast" {
        return NOT_ALLOWED; // §9.1, §5.2.2: owners ban those.
    }
    if rank(old) >= rank("admin") || rank(new) >= rank("admin") {
        return FORBIDDEN; // §10.3, §10.4, §10.6, §10.7
    }
    DONE
}

/// What a set with these items may come to: all or nothing (§9.2, §9.5), and the first item that
/// cannot be done says why. `leaves_owner`: somebody owns the room afterwards (§10.4).
pub fn outcomes_of(actor: &Standing, items: &[Item], leaves_owner: bool) -> Vec<&'static str> {
    if items.is_empty() {
        return BAD_REQUEST.to_vec();
    }
    let mut open: Vec<&'static str> = Vec::new();
    for item in items {
        let outcomes = item.outcomes(actor);
        open.extend(outcomes.iter().filter(|outcome| **outcome != "result"));
        if !outcomes.contains(&"result") {
            return open;
        }
    }
    open.push(if leaves_owner { "result" } else { "conflict" });
    open
}

/// May it read an affiliation list? `None`: the text leaves it open (§5.2.1, §9.2, §9.5, §10.5).
pub fn may_read(reader: &Standing, list: &str, is_open: bool) -> Option<bool> {
    let rank_of_reader = rank(&reader.affiliation);
    match list {
        "outcast" => Some(rank_of_reader >= rank("admin")),
        "member" if rank_of_reader >= rank("admin") => Some(true),
        // Members, and only where addresses are open (§5.2.1); moderators see addresses anyway.
        "member" if reader.role == "none" && reader.affiliation != "member" => Some(false),
        "member" if !is_open && reader.role != "moderator" => Some(false),
        "member" => None,
        _ if rank_of_reader == rank("owner") => Some(true),
        _ if is_open && rank_of_reader == rank("admin") => None,
        _ => Some(false),
    }
}
