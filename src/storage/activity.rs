//! How busy a room was at rest (XEP-0502): one row per room with the counters of the latest
//! hours, so that what is read and written does not grow with the room's age.

use rusqlite::params;

use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The table of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE room_activity (
    room INTEGER PRIMARY KEY REFERENCES room ON DELETE CASCADE,
    since_hour INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    counts TEXT NOT NULL
) STRICT;
";

/// The counters of a room. Hours are counted since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredActivity {
    /// The hour in which counting began.
    pub since_hour: i64,
    /// The hour of the first counter.
    pub hour: i64,
    /// Messages of that hour, of the one before it, and so on.
    pub counts: Vec<u32>,
}

impl Storage {
    /// The counters of a stored room; `None` when none were ever written.
    pub fn room_activity(
        &mut self,
        room: &BareJid,
    ) -> Result<Option<StoredActivity>, StorageError> {
        self.read_one(
            "SELECT since_hour, hour, counts FROM room_activity
             WHERE room = (SELECT id FROM room WHERE domain = ?1 AND local = ?2)",
            (room.domain(), room.local().unwrap_or_default()),
            |row| {
                let counts: String = row.get(2)?;
                // A number that cannot be read is as if nothing had been said.
                let counts = counts.split(' ').map(|count| count.parse().unwrap_or(0)).collect();
                Ok(StoredActivity { since_hour: row.get(0)?, hour: row.get(1)?, counts })
            },
        )
    }

    /// Writes the counters of a stored room; nothing when it is not stored.
    pub fn room_activity_put(
        &mut self,
        room: &BareJid,
        activity: &StoredActivity,
    ) -> Result<(), StorageError> {
        let counts: Vec<_> = activity.counts.iter().map(u32::to_string).collect();
        self.write(
            "INSERT INTO room_activity (room, since_hour, hour, counts)
             SELECT id, ?3, ?4, ?5 FROM room WHERE domain = ?1 AND local = ?2
             ON CONFLICT (room) DO UPDATE SET
                    since_hour = excluded.since_hour,
                    hour = excluded.hour,
                    counts = excluded.counts",
            params![
                room.domain(),
                room.local().unwrap_or_default(),
                activity.since_hour,
                activity.hour,
                counts.join(" ")
            ],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RoomOptions;
    use crate::storage::StoredRoom;

    #[test]
    fn one_row_per_room_that_goes_with_it() {
        let mut storage = Storage::memory();
        let jid = BareJid::parse("r@c.localhost").expect("an address");
        let mut activity = StoredActivity { since_hour: 5, hour: 7, counts: vec![3, 0, 4_000] };
        storage.room_activity_put(&jid, &activity).expect("no room, no row");
        assert_eq!(storage.room_activity(&jid), Ok(None));
        let options = RoomOptions::default();
        let (secret, affiliations) = (Vec::new(), Vec::new());
        let room = StoredRoom { jid: jid.clone(), options, secret, subject: None, affiliations };
        storage.room_put(&room).expect("put");
        for hour in 7..50 {
            activity.hour = hour;
            activity.counts.insert(0, 1);
            activity.counts.truncate(25);
            storage.room_activity_put(&jid, &activity).expect("put");
            assert_eq!(storage.room_activity(&jid), Ok(Some(activity.clone())));
        }
        let rows = "SELECT count(*) FROM room_activity";
        let count = |storage: &mut Storage| storage.read_one(rows, [], |row| row.get::<_, u32>(0));
        assert_eq!(count(&mut storage), Ok(Some(1)));
        storage.room_remove(&jid).expect("removed");
        assert_eq!(count(&mut storage), Ok(Some(0)));
    }
}
