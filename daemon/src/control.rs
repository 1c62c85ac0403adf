//! Finding the control sockets of hosts, and asking them.
//!
//! An answer is read piece by piece, so that a million entries need no more memory than the rows that
//! are kept. Nothing in it is trusted: it may be cut off, be no JSON, or never end.

use crate::state::{Changes, Summary};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess,
};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a host serves unless it was told otherwise.
pub const DEFAULT: &str = "/run/mgm/control.sock";

/// How long a host may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// The most octets of one row; an interface may have thousands of neighbours, each an outgoing interface.
const LONGEST_ROW: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// Nobody serves the socket.
    NoHost(PathBuf),
    /// It is somebody else's.
    NoPermission(PathBuf),
    /// It is another kind of socket.
    OtherKind(PathBuf),
    /// It could not be reached, or the connection broke.
    Io(PathBuf, io::Error),
    /// The host does not answer.
    Silent(PathBuf),
    /// The answer ends in the middle.
    CutOff(PathBuf),
    /// The answer makes no sense.
    Garbled(PathBuf, String),
    /// The host does not know the request.
    Refused(PathBuf, String),
    /// There are several hosts.
    Several(Vec<PathBuf>),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost(path) => write!(
                f,
                "no host runs: nobody serves {}\n\
                 Start one with `systemctl start mgmd` or `mgmd`, or name its socket with --control PATH or \
                 MGM_CONTROL.",
                path.display()
            ),
            Self::NoPermission(path) => write!(
                f,
                "no permission for {}\n\
                 The socket is its host's alone: run mgmctl as root (`sudo mgmctl ...`), or as the user who \
                 runs the host.",
                path.display()
            ),
            Self::OtherKind(path) => write!(
                f,
                "{} is no control socket\n\
                 Clients connect to that one; a host's control socket is the one of its --control or \
                 MGM_CONTROL.",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Silent(path) => write!(
                f,
                "the host at {} does not answer\n\
                 It gave nothing for {} s. Its log may say why.",
                path.display(),
                SILENCE.as_secs()
            ),
            Self::CutOff(path) => write!(
                f,
                "the answer of {} was cut off\n\
                 The host ended meanwhile, or the answer was not read in time. Ask again.",
                path.display()
            ),
            Self::Garbled(path, what) => {
                write!(f, "the answer of {} makes no sense: {what}", path.display())
            }
            Self::Refused(path, what) => write!(
                f,
                "the host at {} did not answer: {what}\n\
                 Its library may be older than this mgmctl.",
                path.display()
            ),
            Self::Several(paths) => {
                f.write_str("several hosts run; choose one with --control PATH:")?;
                paths.iter().try_for_each(|path| write!(f, "\n  {}", path.display()))
            }
        }
    }
}

impl std::error::Error for AskError {}

/// The socket that was named: by a path, which may be a directory of sockets, or by nothing, which is
/// where hosts are found by themselves.
pub fn find(named: Option<&Path>) -> Result<PathBuf, AskError> {
    let mut found = candidates(named);
    match found.len() {
        0 => Err(AskError::NoHost(named.map_or_else(|| DEFAULT.into(), Path::to_owned))),
        1 => Ok(found.remove(0)),
        _ => {
            // What a host that died has left behind is no choice.
            let live: Vec<_> = found.iter().filter(|path| may_be_host(path)).cloned().collect();
            match live.len() {
                0 => Err(AskError::NoHost(found.remove(0))),
                1 => Ok(live.into_iter().next().unwrap_or_default()),
                _ => Err(AskError::Several(live)),
            }
        }
    }
}

/// Whether somebody serves a control socket there, or that cannot be known.
fn may_be_host(path: &Path) -> bool {
    !matches!(connect(path), Err(AskError::NoHost(_) | AskError::OtherKind(_)))
}

/// The sockets that may be hosts' control sockets.
pub fn candidates(named: Option<&Path>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    match named {
        Some(path) if path.is_dir() => sockets_in(path, 1, &mut found),
        Some(path) => found.push(path.to_owned()),
        None => {
            sockets_in(Path::new("/run/mgm"), 1, &mut found);
            if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR") {
                sockets_in(&Path::new(&runtime).join("mgm"), 1, &mut found);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The sockets in a directory and those below it. One that clients connect to has the name mgm.sock.
fn sockets_in(directory: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        match kind {
            Ok(kind) if kind.is_socket() && path.file_name() != Some(OsStr::new("mgm.sock")) => {
                found.push(path);
            }
            Ok(kind) if kind.is_dir() && depth > 0 => sockets_in(&path, depth - 1, found),
            _ => {}
        }
    }
}

fn connect(path: &Path) -> Result<UnixStream, AskError> {
    const EPROTOTYPE: i32 = 91;
    UnixStream::connect(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NoHost(path.to_owned()),
        ErrorKind::PermissionDenied => AskError::NoPermission(path.to_owned()),
        _ if error.raw_os_error() == Some(EPROTOTYPE) => AskError::OtherKind(path.to_owned()),
        _ => AskError::Io(path.to_owned(), error),
    })
}

/// Asks for a list, and gives each of its rows until `each` says that it has enough.
pub fn list<T: DeserializeOwned>(
    path: &Path,
    request: &str,
    each: &mut dyn FnMut(T) -> bool,
) -> Result<(), AskError> {
    let enough = Cell::new(false);
    let mut each = |row| {
        let more = each(row);
        enough.set(!more);
        more
    };
    let left = Cell::new(LONGEST_ROW);
    let answer = Answer { request, each: &mut each, left: &left, row: PhantomData::<T> };
    match ask(path, request, &left, answer) {
        Err(_) if enough.get() => Ok(()),
        other => other,
    }
}

/// Asks for the host, and how much there is of everything.
pub fn summary(path: &Path) -> Result<Summary, AskError> {
    ask(path, "summary", &Cell::new(LONGEST_ROW), Whole(PhantomData))
}

/// Asks for the changes from one with this number on; without a number, for the number to begin with.
pub fn changes(path: &Path, from: Option<u64>) -> Result<Changes, AskError> {
    let request = from.map_or("events".into(), |number| format!("events {number}"));
    ask(path, &request, &Cell::new(LONGEST_ROW), Whole(PhantomData))
}

/// The answer to a request as it came.
pub fn raw(path: &Path, request: &str) -> Result<Box<serde_json::value::RawValue>, AskError> {
    ask(path, request, &Cell::new(LONGEST_ROW), Whole(PhantomData))
}

fn ask<'a, T>(
    path: &Path,
    request: &str,
    left: &'a Cell<usize>,
    seed: impl for<'de> DeserializeSeed<'de, Value = T> + 'a,
) -> Result<T, AskError> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => AskError::Silent(path.to_owned()),
        _ => AskError::Io(path.to_owned(), error),
    };
    let mut stream = connect(path)?;
    stream.set_read_timeout(Some(SILENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(SILENCE)).map_err(failed)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(failed)?;
    let reader = BufReader::with_capacity(256 << 10, Bounded { stream, left });
    let mut json = serde_json::Deserializer::from_reader(reader);
    let read = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    read.map_err(|error| match (error.classify(), error.io_error_kind()) {
        (_, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut)) => AskError::Silent(path.to_owned()),
        (serde_json::error::Category::Eof, _)
        | (_, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)) => {
            AskError::CutOff(path.to_owned())
        }
        _ => {
            let what: String = error.to_string().chars().map(printable).take(300).collect();
            match what.strip_prefix(REFUSED) {
                Some(what) => AskError::Refused(path.to_owned(), what.to_owned()),
                None => AskError::Garbled(path.to_owned(), what),
            }
        }
    })
}

/// A character that does nothing to a terminal.
fn printable(shown: char) -> char {
    if shown.is_ascii_graphic() || shown == ' ' { shown } else { '?' }
}

/// What the message of an error begins with where the host gave one itself.
const REFUSED: &str = "host: ";

/// A stream whose rows are bounded.
struct Bounded<'a> {
    stream: UnixStream,
    left: &'a Cell<usize>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(room)?;
        let left = self.left.get().checked_sub(read);
        self.left.set(left.ok_or_else(|| io::Error::other("a row never ends"))?);
        Ok(read)
    }
}

/// An answer that is one object, or the host's refusal.
struct Whole<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Whole<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        use serde::de::Error;
        let text =
            <Box<serde_json::value::RawValue> as serde::Deserialize>::deserialize(deserializer)?;
        #[derive(serde::Deserialize)]
        struct Refusal {
            error: String,
        }
        if let Ok(refusal) = serde_json::from_str::<Refusal>(text.get()) {
            return Err(D::Error::custom(format_args!("{REFUSED}{}", refusal.error)));
        }
        serde_json::from_str(text.get()).map_err(D::Error::custom)
    }
}

/// An answer that has the list that was asked for.
struct Answer<'a, T> {
    request: &'a str,
    each: &'a mut dyn FnMut(T) -> bool,
    left: &'a Cell<usize>,
    row: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Answer<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> serde::de::Visitor<'de> for Answer<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {:?}", self.request)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        use serde::de::Error;
        let mut there = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == self.request {
                map.next_value_seed(Rows {
                    each: self.each,
                    left: self.left,
                    row: PhantomData::<T>,
                })?;
                there = true;
            } else if name == "error" {
                let what: String = map.next_value()?;
                return Err(A::Error::custom(format_args!("{REFUSED}{what}")));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if there {
            Ok(())
        } else {
            Err(A::Error::custom(format_args!("it has no {:?}", self.request)))
        }
    }
}

struct Rows<'a, T> {
    each: &'a mut dyn FnMut(T) -> bool,
    left: &'a Cell<usize>,
    row: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Rows<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeOwned> serde::de::Visitor<'de> for Rows<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        use serde::de::Error;
        while let Some(row) = rows.next_element()? {
            if !(self.each)(row) {
                return Err(A::Error::custom("enough"));
            }
            self.left.set(LONGEST_ROW);
        }
        Ok(())
    }
}
