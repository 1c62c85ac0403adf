//! A socket's file: nobody else can use it, nothing of others is overwritten, and it goes with the socket.

#![forbid(unsafe_code)]

use crate::error::StartError;
use crate::sys::Errno;
use crate::sys::unix::{self, SocketKind};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file of a socket that is served; it goes when this is dropped.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: somebody else's file at the same path stays.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |file: fs::Metadata| (file.dev(), file.ino()) == self.id;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            // There is nobody to tell; the next start finds it dead and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket to make: what the log calls it, its kind and its file's mode.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub name: &'static str,
    pub kind: SocketKind,
    pub mode: u32,
}

impl Wanted {
    fn refused(self, reason: &'static str) -> StartError {
        StartError::Socket { name: self.name, reason }
    }

    fn failed(self, doing: &'static str) -> impl Fn(Errno) -> StartError {
        move |errno| StartError::SocketOs { name: self.name, doing, errno }
    }

    fn io(self, doing: &'static str) -> impl Fn(io::Error) -> StartError {
        move |error| self.failed(doing)(error.raw_os_error().unwrap_or(0))
    }

    /// Serves at a path. A file that a process left there when it died is replaced.
    pub(crate) fn bind(self, path: &Path) -> Result<(OwnedFd, SocketFile), StartError> {
        // The file is found again at the end, even if the working directory has changed by then.
        let place = std::path::absolute(path).map_err(self.io("finding its directory"))?;
        let mut listening = unix::listen(path, self.kind, self.mode);
        if listening.as_ref().err() == Some(&libc::EADDRINUSE) {
            self.take_place(path)?;
            listening = unix::listen(path, self.kind, self.mode);
        }
        let socket = listening.map_err(|errno| match errno {
            libc::ENAMETOOLONG => self.refused("the path is too long: 108 octets are allowed"),
            libc::EADDRINUSE => self.refused("another process serves it"),
            errno => self.failed("binding it")(errno),
        })?;
        let file = fs::symlink_metadata(path).map_err(self.io("reading its file's number"))?;
        let file = SocketFile { path: place, id: (file.dev(), file.ino()) };
        // What the umask took away, if anything.
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
            .map_err(self.io("setting its mode"))?;
        Ok((socket, file))
    }

    /// Takes a dead process's file away, and nothing else.
    fn take_place(self, path: &Path) -> Result<(), StartError> {
        let live = || self.refused("another process serves it");
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io("looking at its path")(error)),
            Ok(file) if !file.file_type().is_socket() => {
                return Err(self.refused("there is a file at its path that is no socket"));
            }
            Ok(_) if self.is_live(path)? => return Err(live()),
            Ok(_) => {}
        }
        // The file is looked at again under a name that is ours alone: another process may have been
        // faster, and the file may be that process's.
        let mut old = path.as_os_str().to_owned();
        old.push(format!(".{}", std::process::id()));
        let old = PathBuf::from(old);
        fs::rename(path, &old).map_err(self.io("removing a dead process's"))?;
        let is_live = self.is_live(&old);
        if !matches!(is_live, Ok(false)) {
            let back = fs::hard_link(&old, path);
            let _ = fs::remove_file(&old);
            back.map_err(self.io("putting another process's back"))?;
            return Err(is_live.err().unwrap_or_else(live));
        }
        fs::remove_file(&old).map_err(self.io("removing a dead process's"))
    }

    fn is_live(self, path: &Path) -> Result<bool, StartError> {
        unix::is_live(path).map_err(self.failed("looking at the socket at its path"))
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    const STREAM: Wanted = Wanted { name: "test socket", kind: SocketKind::Stream, mode: 0o600 };
    const MESSAGES: Wanted =
        Wanted { name: "test socket", kind: SocketKind::Seqpacket, mode: 0o660 };

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mgm-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn p6_a_socket_has_its_mode_and_goes_with_its_owner() {
        let path = place("mode");
        for wanted in [STREAM, MESSAGES] {
            let served = wanted.bind(&path).unwrap();
            assert_eq!(mode(&path), wanted.mode);
            assert!(unix::is_live(&path).unwrap());
            assert!(wanted.bind(&path).is_err(), "it is live");
            assert!(unix::is_live(&path).unwrap(), "and stays so");
            drop(served);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_file_is_not() {
        let path = place("dead");
        let (socket, file) = STREAM.bind(&path).unwrap();
        std::mem::forget(file);
        drop(socket);
        let served = MESSAGES.bind(&path).unwrap();
        assert_eq!(mode(&path), 0o660);
        drop(served);
        fs::write(&path, "mine").unwrap();
        let Err(error) = STREAM.bind(&path) else { panic!("a file was taken for a socket") };
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_path_may_have_the_octets_that_bind_takes() {
        let directory = place("long");
        fs::create_dir(&directory).unwrap();
        let length = directory.as_os_str().len() + 1;
        for (octets, fits) in [(107, true), (108, true), (109, false)] {
            let path = directory.join("x".repeat(octets - length));
            assert_eq!(STREAM.bind(&path).is_ok(), fits, "{octets}");
        }
        fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn another_processs_file_at_the_same_path_stays() {
        let path = place("other");
        let (_socket, file) = STREAM.bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
        fs::remove_file(path).unwrap();
    }
}
