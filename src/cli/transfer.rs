//! `tercet export`, `tercet import`: accounts in the portable format (XEP-0227), on the data of a
//! server that does not run: what is exported must not change meanwhile, and what is imported must
//! not be known otherwise to a server in memory.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::args::Files;
use super::logging::Logging;
use crate::accounts;
use crate::config::Config;
use crate::net::clock::Clock;
use crate::net::entropy::SystemEntropy;
use crate::portable;
use crate::storage::{DataFolder, Storage};

/// What stands for standard input and output.
const STANDARD: &str = "-";

/// Writes accounts, all where none is named, to a file or to standard output.
pub(super) fn export(
    files: &Files,
    output: Option<&str>,
    names: &[String],
) -> Result<String, String> {
    let config = super::load(files)?;
    Logging::install("warn")?;
    super::check_data(&config)?;
    let (_folder, mut storage) = open(&config)?;
    let mut chosen = Vec::new();
    for name in names {
        let account = accounts::parse_address(&config, name).map_err(|error| error.to_string())?;
        chosen.push(account);
    }
    chosen.sort_by(|one, other| (one.domain(), one.local()).cmp(&(other.domain(), other.local())));
    chosen.dedup();
    if names.is_empty() {
        chosen = storage.accounts().map_err(|error| error.to_string())?;
    }
    let Some(path) = output.filter(|path| *path != STANDARD) else {
        portable::export(&mut storage, &chosen, &mut BufWriter::new(std::io::stdout().lock()))?;
        return Ok(String::new());
    };
    let wrong = |error: std::io::Error| format!("{path}: {error}");
    // XEP-0227 §6: keys are in it. A file that is there is not written over.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut out = BufWriter::new(file.map_err(wrong)?);
    let count = portable::export(&mut storage, &chosen, &mut out)
        .map_err(|error| format!("{path}: {error}"))?;
    let file = out.into_inner().map_err(|error| wrong(error.into_error()))?;
    file.sync_all().map_err(wrong)?;
    Ok(format!("exported {count} accounts"))
}

/// Reads accounts out of a file or of standard input, and out of the files that it includes: all of
/// them, or none.
pub(super) fn import(files: &Files, path: &str) -> Result<String, String> {
    let config = super::load(files)?;
    Logging::install("warn")?;
    let mut disk = Disk { main: Some(Disk::open_main(path)?) };
    let (_folder, mut storage) = open(&config)?;
    storage.begin_handler();
    let mut entropy = SystemEntropy::new();
    let now = Clock::new().begin_turn().unix_ms;
    let imported = portable::import(&mut storage, &config, &mut entropy, now, &mut disk, path);
    let imported = match imported {
        Ok(imported) => imported,
        Err(error) => {
            storage.roll_back_handler();
            return Err(format!("{error}; nothing was imported"));
        }
    };
    storage.close().map_err(|error| format!("{error}; nothing was imported"))?;
    for name in &imported.left_out {
        super::say(&format!("left out, because it is not understood here: {name}"));
    }
    Ok(format!("imported {} accounts", imported.accounts))
}

/// The files of an import.
struct Disk {
    /// The one that was named, until it is read.
    main: Option<Box<dyn Read>>,
}

impl Disk {
    /// Before anything is done, so that a mistake in the name leaves no trace.
    fn open_main(path: &str) -> Result<Box<dyn Read>, String> {
        if path == STANDARD {
            return Ok(Box::new(BufReader::new(std::io::stdin().lock())));
        }
        let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Box::new(BufReader::new(file)))
    }
}

impl portable::Files for Disk {
    fn open(&mut self, name: &str) -> Result<Box<dyn Read>, String> {
        if let Some(main) = self.main.take() {
            return Ok(main);
        }
        let file = std::fs::metadata(name).and_then(|found| match found.is_file() {
            true => File::open(name),
            // The name comes out of a file: a device has no end, a pipe perhaps no beginning.
            false => Err(std::io::Error::other("this is not an ordinary file")),
        });
        Ok(Box::new(BufReader::new(file.map_err(|error| error.to_string())?)))
    }
}

fn open(config: &Config) -> Result<(DataFolder, Storage), String> {
    let folder =
        DataFolder::hold(&config.data).map_err(|error| format!("{error}; end the server first"))?;
    let storage = Storage::open(folder.path(), config.storage.synchronous)?;
    Ok((folder, storage))
}
