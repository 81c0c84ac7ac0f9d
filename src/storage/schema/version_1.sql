-- A database of schema version 1, as the first version of the server left it.
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE probe (
    id INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    sha1_salt BLOB NOT NULL,
    sha1_iterations INTEGER NOT NULL,
    sha1_stored_key BLOB NOT NULL,
    sha1_server_key BLOB NOT NULL,
    sha256_salt BLOB NOT NULL,
    sha256_iterations INTEGER NOT NULL,
    sha256_stored_key BLOB NOT NULL,
    sha256_server_key BLOB NOT NULL,
    UNIQUE (domain, local)
) STRICT;

CREATE TABLE roster (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT NOT NULL,
    name TEXT,
    subscription TEXT NOT NULL CHECK (subscription IN ('none', 'to', 'from', 'both')),
    PRIMARY KEY (account, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE roster_group (
    account INTEGER NOT NULL,
    jid TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (account, jid, name),
    FOREIGN KEY (account, jid) REFERENCES roster ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE room (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    options TEXT NOT NULL,
    name TEXT NOT NULL,
    is_public INTEGER NOT NULL,
    secret BLOB NOT NULL,
    subject_xml TEXT,
    subject_nick TEXT,
    subject_occupant_id TEXT,
    subject_unix_ms INTEGER,
    UNIQUE (domain, local)
) STRICT;

CREATE INDEX room_public ON room (domain, local, name) WHERE is_public;

CREATE TABLE room_affiliation (
    id INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES room ON DELETE CASCADE,
    jid TEXT NOT NULL,
    affiliation TEXT NOT NULL
        CHECK (affiliation IN ('outcast', 'member', 'admin', 'owner')),
    nick TEXT,
    reason TEXT,
    UNIQUE (room, jid)
) STRICT;

CREATE INDEX room_affiliation_jid ON room_affiliation (jid);
PRAGMA user_version = 1;

INSERT INTO secret VALUES ('scram', x'0102');
INSERT INTO account VALUES
    (1, 'localhost', 'romeo', x'01', 4096, x'02', x'03', x'04', 4097, x'05', x'06');
INSERT INTO roster VALUES (1, 'juliet@localhost', 'Juliet', 'to');
INSERT INTO roster_group VALUES (1, 'juliet@localhost', 'Capulets');
INSERT INTO room VALUES
    (1, 'conference.localhost', 'balcony', 'name = "The balcony"
description = "By night"
lang = "it"
persistent = true
public = false
password = "rope"
members_only = true
moderated = true
whois = "anyone"
change_subject = true
occupants_max = 30
logged = true
presence_broadcast = ["moderator"]
allow_pm = "none"
allow_invites = true
get_member_list = []
history_messages = 7
occupants_in_disco = true
', 'The balcony', 0, x'aabb', '<subject>Names</subject>', 'Romeo', 'id-1', 1700000000000),
    (2, 'conference.localhost', 'street', 'name = ""
persistent = true
', '', 1, x'cc', NULL, NULL, NULL, NULL);
INSERT INTO room_affiliation VALUES
    (1, 1, 'romeo@localhost', 'owner', NULL, NULL),
    (2, 1, 'juliet@localhost', 'member', 'Giulietta', NULL),
    (3, 1, 'mantua.example', 'outcast', NULL, 'Plague');
