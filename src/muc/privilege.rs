//! Who may do what in a room: the tables of XEP-0045 §5 and the refusals of §8 to §10, as
//! functions without state. An `Err` is the condition that the text of the section names.

use crate::config::{AllowPm, RoomOptions, Whois};
use crate::xmpp::{Affiliation, Condition, Role};

/// The role with which somebody enters (§5.1.2).
pub fn default_role(options: &RoomOptions, affiliation: Affiliation) -> Role {
    match affiliation {
        Affiliation::Outcast => Role::None,
        Affiliation::None if options.members_only => Role::None,
        Affiliation::None if options.moderated => Role::Visitor,
        Affiliation::None | Affiliation::Member => Role::Participant,
        Affiliation::Admin | Affiliation::Owner => Role::Moderator,
    }
}

/// The role of an occupant whose affiliation changes (§5.1.3): what is gained is stable, what is
/// lost follows from the room's type.
pub fn role_after(options: &RoomOptions, old: Affiliation, new: Affiliation, role: Role) -> Role {
    let default = default_role(options, new);
    if default == Role::None || old >= Affiliation::Admin && new < Affiliation::Admin {
        return default;
    }
    if new > old {
        return role.max(default);
    }
    // Membership gave the voice in a moderated room; whoever was made a moderator remains one.
    if role == Role::Participant { default } else { role }
}

/// May this role see the real addresses of others (§7.2.3, §7.2.4)?
pub fn sees_jids(options: &RoomOptions, role: Role) -> bool {
    options.whois == Whois::Anyone || role == Role::Moderator
}

/// May this role speak to all (§7.4)?
pub fn check_speak(role: Role) -> Result<(), Condition> {
    if role >= Role::Participant { Ok(()) } else { Err(Condition::Forbidden) }
}

/// May this role change the subject (§8.1)?
pub fn check_subject(options: &RoomOptions, role: Role) -> Result<(), Condition> {
    let least = if options.change_subject { Role::Participant } else { Role::Moderator };
    if role >= least { Ok(()) } else { Err(Condition::Forbidden) }
}

/// May this role send private messages (§7.5, `muc#roomconfig_allowpm`)?
pub fn check_private(options: &RoomOptions, role: Role) -> Result<(), Condition> {
    let least = match options.allow_pm {
        AllowPm::Anyone => Role::Visitor,
        AllowPm::Participants => Role::Participant,
        AllowPm::Moderators => Role::Moderator,
        AllowPm::None => return Err(Condition::Forbidden),
    };
    if role >= least { Ok(()) } else { Err(Condition::Forbidden) }
}

/// May an occupant invite (§7.8.2, §9.5)? To an open room everybody may.
pub fn check_invite(
    options: &RoomOptions,
    role: Role,
    affiliation: Affiliation,
) -> Result<(), Condition> {
    let may = !options.members_only
        || affiliation >= Affiliation::Admin
        || options.allow_invites && role >= Role::Participant;
    if may { Ok(()) } else { Err(Condition::Forbidden) }
}

/// Who wants to change something.
#[derive(Clone, Copy, Debug)]
pub struct Rank {
    /// The highest role that an occupant of this account has; `None` when it is not in the room.
    pub role: Role,
    /// Its affiliation.
    pub affiliation: Affiliation,
}

/// May `actor` give `target` the role `new` (§5.1.3, §8.2 to §8.5, §9.6 to §9.8)?
pub fn check_role(actor: Rank, target: Rank, new: Role) -> Result<(), Condition> {
    let is_admin = actor.affiliation >= Affiliation::Admin;
    if actor.role < Role::Moderator && !is_admin {
        return Err(Condition::Forbidden); // §8
    }
    match (target.role, new) {
        // §8.2: not against a higher affiliation; §5.1.3: moderators only by an admin.
        (old, Role::None) => {
            let is_higher = target.affiliation > actor.affiliation;
            if is_higher || old == Role::Moderator && !is_admin {
                return Err(Condition::NotAllowed);
            }
        }
        (Role::Moderator, Role::Moderator) => {}
        // §9.6: moderators are made by admins.
        (_, Role::Moderator) if !is_admin => return Err(Condition::Forbidden),
        (_, Role::Moderator) => {}
        // §9.7: never from an admin or owner, and only by an admin.
        (Role::Moderator, _) => {
            if target.affiliation >= Affiliation::Admin {
                return Err(Condition::NotAllowed);
            }
            if !is_admin {
                return Err(Condition::Forbidden);
            }
        }
        // §8.4: not from those at or above the moderator's own level, nor from admins.
        (Role::Participant, Role::Visitor) => {
            let is_at_or_above = target.affiliation >= actor.affiliation;
            if is_at_or_above || target.affiliation >= Affiliation::Admin {
                return Err(Condition::NotAllowed);
            }
        }
        _ => {} // §8.3: voice is granted by any moderator.
    }
    Ok(())
}

/// May `actor` take back what others have said (XEP-0425 §3)? As with roles, admins need not be in.
pub fn check_moderate(actor: Rank) -> Result<(), Condition> {
    let may = actor.role == Role::Moderator || actor.affiliation >= Affiliation::Admin;
    if may { Ok(()) } else { Err(Condition::Forbidden) }
}

/// May somebody with affiliation `actor` turn the affiliation `old` into `new` (§5.2.2, §9, §10)?
pub fn check_affiliation(
    actor: Affiliation,
    old: Affiliation,
    new: Affiliation,
) -> Result<(), Condition> {
    if actor < Affiliation::Admin {
        return Err(Condition::Forbidden); // §9
    }
    if actor == Affiliation::Owner {
        return Ok(());
    }
    if new == Affiliation::Outcast && old >= Affiliation::Admin {
        return Err(Condition::NotAllowed); // §9.1
    }
    if old >= Affiliation::Admin || new >= Affiliation::Admin {
        return Err(Condition::Forbidden); // §10.3 to §10.8
    }
    Ok(())
}

/// May `reader` read the list of those with a role (§8.5, §9.8)?
pub fn check_role_list(reader: Rank, role: Role) -> Result<(), Condition> {
    let is_admin = reader.affiliation >= Affiliation::Admin;
    match role {
        Role::None => Err(Condition::BadRequest),
        _ if is_admin => Ok(()),
        Role::Moderator => Err(Condition::Forbidden),
        _ if reader.role == Role::Moderator => Ok(()),
        _ => Err(Condition::Forbidden),
    }
}

/// May `reader` read an affiliation list (§9.2, §9.5, §10.5, §10.8)?
pub fn check_affiliation_list(
    options: &RoomOptions,
    reader: Rank,
    list: Affiliation,
) -> Result<(), Condition> {
    let is_open = options.whois == Whois::Anyone;
    let may = match list {
        Affiliation::None => return Err(Condition::BadRequest),
        Affiliation::Outcast => reader.affiliation >= Affiliation::Admin,
        Affiliation::Member if reader.affiliation >= Affiliation::Admin => true,
        // The list holds real addresses: in a semi-anonymous room only moderators see those. A
        // member who is not there counts as what it would be there.
        Affiliation::Member => {
            let role = match reader.role {
                Role::None if reader.affiliation == Affiliation::Member => Role::Participant,
                role => role,
            };
            sees_jids(options, role) && options.get_member_list.contains(&role)
        }
        Affiliation::Admin | Affiliation::Owner => {
            reader.affiliation == Affiliation::Owner
                || is_open && reader.affiliation == Affiliation::Admin
        }
    };
    if may { Ok(()) } else { Err(Condition::Forbidden) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::{Affiliation as A, Condition as C, Role as R};

    fn options(members_only: bool, moderated: bool) -> RoomOptions {
        RoomOptions { members_only, moderated, ..RoomOptions::default() }
    }

    #[test]
    fn default_roles() {
        let table = [
            (A::Outcast, [R::None; 3]),
            (A::None, [R::Participant, R::Visitor, R::None]),
            (A::Member, [R::Participant; 3]),
            (A::Admin, [R::Moderator; 3]),
            (A::Owner, [R::Moderator; 3]),
        ];
        for (affiliation, [open, moderated, members]) in table {
            assert_eq!(default_role(&options(false, false), affiliation), open, "{affiliation}");
            assert_eq!(default_role(&options(false, true), affiliation), moderated);
            assert_eq!(default_role(&options(true, false), affiliation), members);
        }
    }

    #[test]
    fn roles_after_a_change_of_affiliation() {
        for (moderated, old, new, before, after) in [
            (false, A::None, A::Admin, R::Visitor, R::Moderator),
            (false, A::Owner, A::Member, R::Moderator, R::Participant),
            (true, A::Admin, A::None, R::Moderator, R::Visitor),
            (true, A::None, A::Member, R::Visitor, R::Participant),
            (true, A::Member, A::None, R::Participant, R::Visitor),
            (true, A::Member, A::None, R::Moderator, R::Moderator),
            (false, A::Owner, A::Admin, R::Moderator, R::Moderator),
            (false, A::Member, A::Outcast, R::Participant, R::None),
        ] {
            assert_eq!(role_after(&options(false, moderated), old, new, before), after);
        }
    }

    #[test]
    fn role_changes() {
        let refused = |condition| Err(condition);
        for (actor, target, new, want) in [
            // Kicks.
            ((R::Moderator, A::None), (R::Participant, A::None), R::None, Ok(())),
            ((R::Moderator, A::None), (R::Participant, A::Member), R::None, refused(C::NotAllowed)),
            ((R::Moderator, A::Member), (R::Moderator, A::None), R::None, refused(C::NotAllowed)),
            ((R::Moderator, A::Admin), (R::Moderator, A::Owner), R::None, refused(C::NotAllowed)),
            ((R::Moderator, A::Owner), (R::Moderator, A::Admin), R::None, Ok(())),
            ((R::Participant, A::Member), (R::Visitor, A::None), R::None, refused(C::Forbidden)),
            // Voice.
            ((R::Moderator, A::None), (R::Visitor, A::None), R::Participant, Ok(())),
            ((R::Visitor, A::None), (R::Visitor, A::None), R::Participant, refused(C::Forbidden)),
            ((R::Moderator, A::Member), (R::Participant, A::None), R::Visitor, Ok(())),
            (
                (R::Moderator, A::Member),
                (R::Participant, A::Member),
                R::Visitor,
                refused(C::NotAllowed),
            ),
            // Moderators.
            ((R::Moderator, A::Admin), (R::Visitor, A::None), R::Moderator, Ok(())),
            ((R::None, A::Owner), (R::Visitor, A::None), R::Moderator, Ok(())),
            ((R::Moderator, A::Member), (R::Visitor, A::None), R::Moderator, refused(C::Forbidden)),
            ((R::Moderator, A::Admin), (R::Moderator, A::Member), R::Participant, Ok(())),
            (
                (R::Moderator, A::Owner),
                (R::Moderator, A::Admin),
                R::Participant,
                refused(C::NotAllowed),
            ),
        ] {
            let rank = |(role, affiliation)| Rank { role, affiliation };
            assert_eq!(check_role(rank(actor), rank(target), new), want, "{actor:?} {target:?}");
        }
    }

    #[test]
    fn affiliation_changes() {
        for (actor, old, new, want) in [
            (A::Owner, A::Owner, A::None, Ok(())),
            (A::Admin, A::None, A::Outcast, Ok(())),
            (A::Admin, A::Member, A::None, Ok(())),
            (A::Admin, A::Owner, A::Outcast, Err(C::NotAllowed)),
            (A::Admin, A::Admin, A::Outcast, Err(C::NotAllowed)),
            (A::Admin, A::Owner, A::None, Err(C::Forbidden)),
            (A::Admin, A::None, A::Admin, Err(C::Forbidden)),
            (A::Member, A::None, A::Member, Err(C::Forbidden)),
            (A::None, A::None, A::Outcast, Err(C::Forbidden)),
        ] {
            assert_eq!(check_affiliation(actor, old, new), want, "{actor} {old} {new}");
        }
    }

    #[test]
    fn moderation() {
        for (role, affiliation, want) in [
            (R::Moderator, A::None, Ok(())),
            (R::None, A::Admin, Ok(())),
            (R::None, A::Owner, Ok(())),
            (R::Participant, A::Member, Err(C::Forbidden)),
            (R::None, A::None, Err(C::Forbidden)),
        ] {
            assert_eq!(check_moderate(Rank { role, affiliation }), want, "{role} {affiliation}");
        }
    }

    #[test]
    fn advisory_a14_lists() {
        let hidden = RoomOptions::default();
        let open = RoomOptions { whois: Whois::Anyone, ..RoomOptions::default() };
        let rank = |role, affiliation| Rank { role, affiliation };
        let check = |options, reader, list| check_affiliation_list(options, reader, list).is_ok();
        let outsider = rank(R::None, A::None);
        let somebody = rank(R::Participant, A::None);
        for list in [A::Outcast, A::Member, A::Admin, A::Owner] {
            assert!(!check(&hidden, outsider, list) && !check(&open, outsider, list));
            assert!(!check(&hidden, somebody, list));
            assert!(!check(&hidden, rank(R::None, A::Member), list));
            assert!(check(&hidden, rank(R::None, A::Owner), list));
        }
        assert!(check(&open, somebody, A::Member) && !check(&open, somebody, A::Owner));
        assert!(check(&open, rank(R::None, A::Member), A::Member));
        assert!(check(&hidden, rank(R::Moderator, A::None), A::Member));
        assert!(!check(&hidden, rank(R::Moderator, A::None), A::Outcast));
        assert!(!check(&hidden, rank(R::Moderator, A::Admin), A::Owner));
        assert!(check_role_list(rank(R::Moderator, A::None), R::Participant).is_ok());
        assert!(check_role_list(rank(R::Moderator, A::None), R::Moderator).is_err());
        assert!(check_role_list(rank(R::Participant, A::Member), R::Visitor).is_err());
    }
}
