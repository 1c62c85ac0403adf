//! The socket's file. It is made in such a way that no other user can use it, and that no file of
//! others is overwritten.

#![forbid(unsafe_code)]

use crate::error::StartError;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

/// The file of a listening socket. Dropping it removes the file.
pub struct SocketFile {
    /// Absolute.
    path: PathBuf,
    /// Device and inode, which tell it from another file that has its name later.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |file: fs::Metadata| (file.dev(), file.ino()) == self.id;
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            // If this fails, the next start finds a dead socket and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

const LIVE: StartError = StartError::Control("another process serves it");

/// Makes an error that names what was attempted.
pub fn os(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::Os { what, errno: error.raw_os_error().unwrap_or(0) }
}

/// Makes the listening socket. Its file has mode 0600 and is listened on from the moment it can be
/// found: it is made in a directory that only its owner can enter, and linked to its place.
pub fn bind(path: PathBuf) -> Result<(UnixListener, SocketFile), StartError> {
    let private = PrivateDirectory::beside(&path)?;
    let new = private.0.join("s");
    for path in [&path, &new] {
        SocketAddr::from_pathname(path).map_err(|_| StartError::Control("the path is too long"))?;
    }
    // The absolute path finds the file again when the working directory is another one. It may be
    // too long to be bound, but it is not bound.
    let place = std::path::absolute(&path).map_err(os("control socket: finding its directory"))?;
    let listener = UnixListener::bind(&new).map_err(os("control socket: binding it"))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))
        .map_err(os("control socket: setting its mode"))?;
    take_place(&path, &private)?;
    fs::hard_link(&new, &path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => LIVE,
        _ => os("control socket: linking it to its path")(error),
    })?;
    let file =
        fs::symlink_metadata(&new).map_err(os("control socket: reading its file's number"))?;
    Ok((listener, SocketFile { path: place, id: (file.dev(), file.ino()) }))
}

/// Frees the path if a dead process's socket is there.
fn take_place(path: &Path, private: &PrivateDirectory) -> Result<(), StartError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(os("control socket: looking at its path")(error)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(StartError::Control("there is a file at its path that is no socket"));
        }
        Ok(_) if is_live(path)? => return Err(LIVE),
        Ok(_) => {}
    }
    // It is looked at again in the private directory, where no process can replace it: another
    // process may have been faster.
    let old = private.0.join("o");
    fs::rename(path, &old).map_err(os("control socket: removing a dead process's"))?;
    if is_live(&old)? {
        fs::hard_link(&old, path).map_err(os("control socket: putting another process's back"))?;
        return Err(LIVE);
    }
    Ok(())
}

/// Whether a process has the socket open. Connecting a datagram socket to it fails, and the error
/// tells the reason, without disturbing a process that listens.
fn is_live(path: &Path) -> Result<bool, StartError> {
    let probe = UnixDatagram::unbound().map_err(os("control socket: making a socket"))?;
    match probe.connect(path) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPROTOTYPE) => Ok(true),
            Some(libc::ECONNREFUSED | libc::ENOENT) => Ok(false),
            _ => Err(os("control socket: looking at the socket at its path")(error)),
        },
    }
}

/// A directory that only its owner can enter, in the directory of a path. Dropping it removes it
/// with its files.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn beside(path: &Path) -> Result<Self, StartError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let mut number = 0;
        loop {
            let place = parent.join(format!(".mgm{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&place) {
                Ok(()) => return Ok(Self(place)),
                // A process with the same number died during its start.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(error) => return Err(os("control socket: writing to its directory")(error)),
            }
        }
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // Files that are not there need not be removed, and ones that cannot be removed do no harm.
        let _ = fs::remove_file(self.0.join("s"));
        let _ = fs::remove_file(self.0.join("o"));
        let _ = fs::remove_dir(&self.0);
    }
}
