//! A socket that carries messages: sending and reading one, with the memory for it.

use crate::error::Error;
use crate::remote::wire::MAX_MESSAGE;
use crate::sys::{Errno, seqpacket};
use serde::{Deserialize, Serialize};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// Why there are no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    /// The other side has gone, or this one has ended the connection.
    #[error("the connection has ended")]
    Gone,
    /// What it sent is no message.
    #[error("it sent something that is no message")]
    BadMessage,
    /// What it sent does not belong there.
    #[error("it sent {0}")]
    OutOfTurn(&'static str),
    /// It speaks none of our versions.
    #[error("it is another version of the library")]
    OtherVersion,
    /// It takes nothing, or sends nothing.
    #[error("it did not take or send a message in time")]
    TooSlow,
    /// The system refused.
    #[error("errno {0}")]
    Os(Errno),
}

/// How long either side may take to make the connection and to send its first message.
pub(super) const GREETING_WAIT: Duration = Duration::from_secs(5);

/// What memory for a message is made of.
static ZEROS: [u8; 4096] = [0; 4096];
const _: () = assert!(MAX_MESSAGE.is_multiple_of(ZEROS.len()));

/// Memory for one message.
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// None yet.
    pub const EMPTY: Self = Self(Vec::new());

    /// Memory for the longest message.
    pub fn new() -> Result<Self, Error> {
        let mut buffer = Self::EMPTY;
        buffer.room()?;
        Ok(buffer)
    }

    /// The memory, made where there is none yet.
    pub fn room(&mut self) -> Result<&mut [u8], NoMemory> {
        if self.0.is_empty() {
            self.0.try_reserve_exact(MAX_MESSAGE).map_err(|_| NoMemory)?;
            // `resize` goes octet by octet where nothing is optimised, as in the tests: a millisecond.
            (0..MAX_MESSAGE / ZEROS.len()).for_each(|_| self.0.extend_from_slice(&ZEROS));
        }
        Ok(&mut self.0)
    }
}

/// There is no memory for a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoMemory;

impl From<NoMemory> for Error {
    fn from(_: NoMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<NoMemory> for Ended {
    fn from(_: NoMemory) -> Self {
        Self::Os(libc::ENOMEM)
    }
}

/// The most octets that a message takes which is sent in front of a list.
const HEAD_ROOM: usize = 16;

/// Memory for a list behind the message that will be sent in front of it, with one copy.
pub(super) fn room_for_list(room: &mut [u8]) -> &mut [u8] {
    &mut room[HEAD_ROOM..]
}

/// What a thread needs for doing requests: memory for the reply, and for what is put into it.
pub(super) struct ReplyRoom {
    /// The message that is sent.
    pub output: Buffer,
    /// A list that goes into it.
    pub list: Buffer,
}

impl ReplyRoom {
    /// None yet.
    pub const EMPTY: Self = Self { output: Buffer::EMPTY, list: Buffer::EMPTY };
}

fn ended(errno: Errno) -> Ended {
    match errno {
        libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN => Ended::Gone,
        libc::EMSGSIZE => Ended::BadMessage,
        libc::EAGAIN => Ended::TooSlow,
        errno => Ended::Os(errno),
    }
}

/// Sends one message.
pub(super) fn send<T: Serialize>(
    socket: &OwnedFd,
    room: &mut [u8],
    message: &T,
    attached: Option<BorrowedFd<'_>>,
) -> Result<(), Ended> {
    let octets = postcard::to_slice(message, room).map_err(|_| Ended::BadMessage)?;
    seqpacket::send(socket, octets, attached).map_err(ended)
}

/// Sends one message and so many octets of the list that is in its [`room_for_list`].
pub(super) fn send_with_list<T: Serialize>(
    socket: &OwnedFd,
    room: &mut [u8],
    message: &T,
    list: usize,
) -> Result<(), Ended> {
    let mut head = [0; HEAD_ROOM];
    let head = postcard::to_slice(message, &mut head).map_err(|_| Ended::BadMessage)?;
    let start = HEAD_ROOM - head.len();
    room[start..HEAD_ROOM].copy_from_slice(head);
    seqpacket::send(socket, &room[start..HEAD_ROOM + list], None).map_err(ended)
}

/// Reads one message, and the list behind it.
pub(super) fn receive_with_list<'a, T: Deserialize<'a>>(
    socket: &OwnedFd,
    room: &'a mut [u8],
) -> Result<(T, &'a [u8]), Ended> {
    match seqpacket::receive(socket, room).map_err(ended)? {
        0 => Err(Ended::Gone),
        size => postcard::take_from_bytes(&room[..size]).map_err(|_| Ended::BadMessage),
    }
}

/// Reads one message.
pub(super) fn receive<'a, T: Deserialize<'a>>(
    socket: &OwnedFd,
    room: &'a mut [u8],
) -> Result<T, Ended> {
    match seqpacket::receive(socket, room).map_err(ended)? {
        0 => Err(Ended::Gone),
        size => decode(&room[..size]),
    }
}

/// Reads one message and what is attached to it.
pub(super) fn receive_attached<'a, T: Deserialize<'a>>(
    socket: &OwnedFd,
    room: &'a mut [u8],
) -> Result<(T, Option<OwnedFd>), Ended> {
    let (size, attached) = seqpacket::receive_attached(socket, room).map_err(ended)?;
    match size {
        0 => Err(Ended::Gone),
        size => Ok((decode(&room[..size])?, attached)),
    }
}

fn decode<'a, T: Deserialize<'a>>(octets: &'a [u8]) -> Result<T, Ended> {
    match postcard::take_from_bytes(octets) {
        Ok((message, [])) => Ok(message),
        _ => Err(Ended::BadMessage),
    }
}

/// Sets how long the other side may take for each message that is sent to it.
pub(super) fn patience(socket: &OwnedFd, time: Duration) -> Result<(), Ended> {
    seqpacket::set_send_timeout(socket, time).map_err(Ended::Os)
}
