//! The forms of the commands, as XEP-0133 §4 and XEP-0401 §5.4 word them.

use crate::xmpp::dataform::Form;
use crate::xmpp::ns;

/// How many a list may be asked to show; all that fit into one answer otherwise.
const MAX_ITEMS: &[(&str, &str)] = &[
    ("25", "25"),
    ("50", "50"),
    ("75", "75"),
    ("100", "100"),
    ("150", "150"),
    ("200", "200"),
    ("none", "None"),
];

/// After how long a shutdown may be asked for, in seconds.
const DELAYS: &[(&str, &str)] = &[
    ("0", "Now"),
    ("30", "30 seconds"),
    ("60", "60 seconds"),
    ("90", "90 seconds"),
    ("120", "2 minutes"),
    ("180", "3 minutes"),
    ("240", "4 minutes"),
    ("300", "5 minutes"),
];

fn to_fill_in(title: &str, instructions: &str) -> Form {
    Form::to_fill_in(ns::ADMIN, title, instructions)
}

fn accounts(title: &str, instructions: &str, label: &str) -> Form {
    to_fill_in(title, instructions).jids("accountjids", label, &[]).required()
}

fn users_list(title: &str, instructions: &str) -> Form {
    let label = "Maximum number of items to show";
    to_fill_in(title, instructions).list("max_items", label, "", MAX_ITEMS)
}

/// §4.1. Names and addresses of e-mail belong to the user's own vCard: they are not asked for.
pub(super) fn add_user() -> Form {
    to_fill_in("Adding a User", "Fill out this form to add a user.")
        .jid("accountjid", "The Jabber ID for the account to be added", "")
        .required()
        .private("password", "The password for this account", "")
        .required()
        .private("password-verify", "Retype password", "")
}

/// §4.2
pub(super) fn delete_user() -> Form {
    let instructions = "Fill out this form to delete a user.";
    accounts("Deleting a User", instructions, "The Jabber ID(s) to delete")
}

/// §4.3
pub(super) fn disable_user() -> Form {
    let instructions = "Fill out this form to disable a user.";
    accounts("Disabling a User", instructions, "The Jabber ID(s) to disable")
}

/// §4.4
pub(super) fn reenable_user() -> Form {
    let instructions = "Fill out this form to re-enable a user.";
    accounts("Re-Enable a User", instructions, "The Jabber ID(s) to re-enable")
}

/// §4.5
pub(super) fn end_user_session() -> Form {
    let instructions = "Fill out this form to end a user's session.";
    let label = "The Jabber ID(s) for which to end sessions";
    accounts("Ending a User Session", instructions, label)
}

/// §4.7
pub(super) fn change_user_password() -> Form {
    let instructions = "Fill out this form to change a user's password.";
    to_fill_in("Changing a User Password", instructions)
        .jid("accountjid", "The Jabber ID for this account", "")
        .required()
        .private("password", "The password for this account", "")
        .required()
}

/// §4.18
pub(super) fn registered_users_list() -> Form {
    let instructions = "Fill out this form to request the registered users of this service.";
    users_list("Requesting List of Registered Users", instructions)
}

/// §4.19
pub(super) fn disabled_users_list() -> Form {
    let instructions = "Fill out this form to request the disabled users of this service.";
    users_list("Requesting List of Disabled Users", instructions)
}

/// §4.20
pub(super) fn online_users_list() -> Form {
    let instructions = "Fill out this form to request the online users of this service.";
    users_list("Requesting List of Online Users", instructions)
}

/// §4.23
pub(super) fn announce() -> Form {
    let instructions =
        "Fill out this form to make an announcement to all active users of this service.";
    to_fill_in("Making an Announcement", instructions)
        .lines("announcement", "Announcement", &[])
        .required()
}

/// §4.31
pub(super) fn shutdown() -> Form {
    to_fill_in("Shutting Down the Service", "Fill out this form to shut down the service.")
        .list("delay", "Time delay before shutting down", "", DELAYS)
        .lines("announcement", "Announcement", &[])
}

/// XEP-0401 §5.4
pub(super) fn create_account() -> Form {
    let instructions = "Without a name, whoever is invited chooses one.";
    Form::to_fill_in(ns::INVITATION, "Inviting to an Account", instructions)
        .text("username", "Username", "")
        .boolean("roster-subscription", "Roster subscription", false)
}
