//! What is asked of a host and kept: rows that are wanted, with the names of their owners.

use crate::options::Filter;
use mgm_daemon::control::{self, AskError};
use mgm_daemon::state::{Client, Member, Mfe, Name, Owner};
use std::collections::HashMap;
use std::path::Path;

/// The most rows that are kept in memory, some 200 octets each.
const MOST_ROWS: usize = 1 << 23;

/// Why a list is not shown.
#[derive(Debug)]
pub enum ViewError {
    /// The host gave no answer.
    Ask(AskError),
    /// There are too many rows.
    TooMany,
    /// They could not be printed.
    Print(std::io::Error),
    /// Something else.
    Other(String),
}

impl From<AskError> for ViewError {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

impl From<std::io::Error> for ViewError {
    fn from(error: std::io::Error) -> Self {
        Self::Print(error)
    }
}

impl std::fmt::Display for ViewError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(f),
            Self::TooMany => write!(
                f,
                "there are more than {MOST_ROWS} rows\n\
                 Choose with --group, --source or --interface; `count` and --json have no limit."
            ),
            Self::Print(error) => error.fmt(f),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// All rows of a list that are wanted.
pub fn rows<T: serde::de::DeserializeOwned>(
    host: &Path,
    list: &str,
    wanted: impl Fn(&T) -> bool,
) -> Result<Vec<T>, ViewError> {
    let (mut rows, mut too_many) = (Vec::new(), false);
    control::list(host, list, &mut |row: T| {
        if wanted(&row) {
            too_many = rows.len() >= MOST_ROWS || rows.try_reserve(1).is_err();
            if !too_many {
                rows.push(row);
            }
        }
        !too_many
    })?;
    if too_many { Err(ViewError::TooMany) } else { Ok(rows) }
}

/// The entries that are wanted.
pub fn mfes(host: &Path, filter: &Filter) -> Result<Vec<Mfe>, ViewError> {
    rows(host, "mfes", |mfe| filter.has_mfe(mfe))
}

/// The memberships that are wanted.
pub fn members(host: &Path, filter: &Filter) -> Result<Vec<Member>, ViewError> {
    rows(host, "groups", |member| filter.has_member(member))
}

/// The names of clients.
#[derive(Debug, Default)]
pub struct Names {
    clients: HashMap<Owner, Name>,
    protocols: HashMap<u32, Name>,
}

impl Names {
    /// Asks for the clients, and the system for the names of their processes.
    pub fn read(host: &Path) -> Result<Self, ViewError> {
        Ok(Self::of(&rows::<Client>(host, "clients", |_| true)?))
    }

    /// The names of these clients. One in another process has that one's name; of the others IGMP has
    /// a name.
    pub fn of(clients: &[Client]) -> Self {
        let mut names = Self::default();
        names.learn(clients);
        names
    }

    /// Adds the names of these clients.
    pub fn learn(&mut self, clients: &[Client]) {
        for client in clients {
            let process = client.process.and_then(process_name);
            let igmp = client.igmp.then(|| Name::new("igmp"));
            if let Some(name) = process.or(igmp) {
                self.clients.insert(client.id, name);
                self.protocols.insert(client.id.protocol_number, name);
            }
        }
    }

    /// A client by its process's name, or by its ids.
    pub fn client(&self, client: Owner) -> String {
        match self.clients.get(&client) {
            Some(name) => name.as_str().to_owned(),
            None if client.component == 0 => protocol(client.protocol_number),
            None => format!("{}/{}", protocol(client.protocol_number), client.component),
        }
    }

    /// The client of a protocol.
    pub fn protocol(&self, number: u32) -> String {
        match self.protocols.get(&number) {
            Some(name) => name.as_str().to_owned(),
            None if number == 0 => "-".into(),
            None => protocol(number),
        }
    }
}

/// A protocol id as it is usually written.
pub fn protocol(number: u32) -> String {
    format!("{number:#x}")
}

/// The name of a process of this machine.
pub fn process_name(id: u32) -> Option<Name> {
    let name = std::fs::read(format!("/proc/{id}/comm")).ok()?;
    let name = Name::new(String::from_utf8_lossy(&name).trim_end());
    (!name.is_empty()).then_some(name)
}
