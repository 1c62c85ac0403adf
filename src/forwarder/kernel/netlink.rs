//! Netlink messages: written into a fixed buffer, read without copying.

#![forbid(unsafe_code)]

use crate::sys::{self, Errno};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

/// `sizeof(struct nlmsghdr)`.
pub const HEADER: usize = 16;
/// `sizeof(struct rtmsg)`.
pub const RTMSG: usize = 12;
/// `sizeof(struct ifinfomsg)`.
pub const IFINFOMSG: usize = 16;
/// The attribute of `RTM_NEWNETCONF` that names the device.
pub const NETCONFA_IFINDEX: u16 = 1;

/// Attributes and messages start at multiples of four.
const fn align(n: usize) -> usize {
    (n + 3) & !3
}

/// Writes messages one after another. If something does not fit, [`MessageWriter::bytes`] is None. Nothing
/// is allocated after [`MessageWriter::new`].
pub struct MessageWriter {
    buffer: Box<[u8]>,
    len: usize,
    start: usize,
    overflow: bool,
}

impl MessageWriter {
    /// Room for `capacity` octets.
    pub fn new(capacity: usize) -> Self {
        Self { buffer: vec![0; capacity].into(), len: 0, start: 0, overflow: false }
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        (self.len, self.start, self.overflow) = (0, 0, false);
    }

    /// Begins a message with a family header of the given content.
    pub fn begin(&mut self, kind: u16, flags: u16, seq: u32, family_header: &[u8]) {
        self.start = self.len;
        self.put(&[0; 4]);
        self.put(&kind.to_ne_bytes());
        self.put(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        self.put(&seq.to_ne_bytes());
        self.put(&[0; 4]);
        self.put(family_header);
        self.end();
    }

    /// Adds an attribute to the message.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.put(&((4 + value.len()) as u16).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.end();
    }

    /// Adds an attribute that holds a number.
    pub fn attribute_u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Everything written, or None where it did not fit.
    pub fn bytes(&self) -> Option<&[u8]> {
        (!self.overflow).then(|| &self.buffer[..self.len])
    }

    fn put(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overflow = true,
        }
    }

    /// Pads the message, and writes its length into its header.
    fn end(&mut self) {
        let padding = align(self.len) - self.len;
        self.put(&[0; 3][..padding]);
        let length = (self.len - self.start) as u32;
        if let Some(place) = self.buffer.get_mut(self.start..self.start + 4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

/// One received message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// RTM_… or NLMSG_….
    pub kind: u16,
    /// The number of the request that it answers.
    pub seq: u32,
    /// What follows the netlink header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The error number of an NLMSG_ERROR message, 0 for an acknowledgement. A message without a
    /// number acknowledges nothing.
    pub fn error(&self) -> Option<Errno> {
        let number = self.payload.first_chunk().map_or(-libc::EBADMSG, |n| i32::from_ne_bytes(*n));
        (self.kind == libc::NLMSG_ERROR as u16).then(|| number.wrapping_neg())
    }

    /// The attributes after a family header of `header` octets.
    pub fn attributes(&self, header: usize) -> Attributes<'a> {
        Attributes(self.payload.get(align(header)..).unwrap_or(&[]))
    }
}

/// The messages of one datagram; ends at the first that is malformed.
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = read_u32(self.0.get(..HEADER)?, 0) as usize;
        let payload = self.0.get(HEADER..length)?;
        let message = Message { kind: read_u16(self.0, 4), seq: read_u32(self.0, 8), payload };
        self.0 = self.0.get(align(length)..).unwrap_or(&[]);
        Some(message)
    }
}

/// The attributes of a message: kind and value. Ends at the first that is malformed.
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = read_u16(self.0.get(..4)?, 0) as usize;
        let value = self.0.get(4..length)?;
        // The upper two bits are flags.
        let kind = read_u16(self.0, 2) & 0x3fff;
        self.0 = self.0.get(align(length)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

/// The next hops of an RTA_MULTIPATH attribute: TTL threshold (rtnh_hops) and interface index. Ends
/// at the first that is malformed.
pub struct NextHops<'a>(pub &'a [u8]);

impl Iterator for NextHops<'_> {
    type Item = (u8, u32);

    fn next(&mut self) -> Option<(u8, u32)> {
        let length = read_u16(self.0, 0) as usize;
        let hop = self.0.get(..length).filter(|hop| hop.len() >= 8)?;
        let item = (hop[3], read_u32(hop, 4));
        self.0 = self.0.get(align(length)..).unwrap_or(&[]);
        Some(item)
    }
}

/// A 16-bit number in the machine's order; 0 where the bytes end before it.
pub fn read_u16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

/// A 32-bit number in the machine's order; 0 where the bytes end before it.
pub fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// An address; None where the value is not four octets.
pub fn read_address(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

/// A `struct rtmsg` for a request about one address or (S,G).
pub fn rtmsg(family: u8, dst_len: u8, src_len: u8, flags: u32) -> [u8; RTMSG] {
    let mut header = [0; RTMSG];
    header[..3].copy_from_slice(&[family, dst_len, src_len]);
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// The most questions that [`Asker::ask_many`] asks.
pub const MANY: usize = 32;
/// Room for an answer about one route with few next hops; a longer one is not read.
const ANSWER: usize = 512;

/// A socket for questions that the kernel answers before the send returns.
pub struct Asker {
    fd: OwnedFd,
    seq: u32,
    writer: MessageWriter,
    buffer: Box<[u8]>,
    answers: Box<[[u8; ANSWER]; MANY]>,
    lengths: [usize; MANY],
}

impl Asker {
    /// Opens the socket.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self::over(sys::route_socket()?))
    }

    /// An asker over a socket that is open already.
    pub fn over(fd: OwnedFd) -> Self {
        // An answer about one link, one route or one entry is far smaller; links with hundreds of
        // virtual functions have the largest.
        Self {
            fd,
            seq: 0,
            // A question has a header, a family header and up to three addresses.
            writer: MessageWriter::new(MANY * 64),
            buffer: vec![0; 65536].into(),
            answers: Box::new([[0; ANSWER]; MANY]),
            lengths: [0; MANY],
        }
    }

    /// Asks and hands the answer to `read`. Err: the kernel's error number.
    pub fn ask<R>(
        &mut self,
        kind: u16,
        family_header: &[u8],
        attributes: &[(u16, &[u8])],
        read: impl FnOnce(&Message<'_>) -> R,
    ) -> Result<R, Errno> {
        self.seq = self.seq.wrapping_add(1);
        self.writer.clear();
        self.writer.begin(kind, 0, self.seq, family_header);
        for (kind, value) in attributes {
            self.writer.attribute(*kind, value);
        }
        sys::send(&self.fd, self.writer.bytes().ok_or(libc::EMSGSIZE)?)?;
        loop {
            // EAGAIN here says that the kernel had no memory for the answer.
            let length = sys::receive(&self.fd, &mut self.buffer)?;
            let datagram = self.buffer.get(..length).ok_or(libc::EMSGSIZE)?;
            // Where an error ended an earlier question, its answers may still be there.
            let Some(message) = Messages(datagram).find(|m| m.seq == self.seq) else { continue };
            return match message.error() {
                Some(error) => Err(if error == 0 { libc::EPROTO } else { error }),
                None => Ok(read(&message)),
            };
        }
    }
}

impl Asker {
    /// Asks several questions at once that differ in one attribute, and hands each answer, or the
    /// kernel's error number, to `read` with its question's place. Answers that do not come are
    /// not waited for.
    pub fn ask_many(
        &mut self,
        kind: u16,
        family_header: &[u8],
        attribute: u16,
        values: &[[u8; 4]],
        read: &mut dyn FnMut(usize, Result<&Message<'_>, Errno>),
    ) {
        let first = self.seq.wrapping_add(1);
        self.seq = self.seq.wrapping_add(values.len() as u32);
        self.writer.clear();
        for (at, value) in values.iter().enumerate() {
            self.writer.begin(kind, 0, first.wrapping_add(at as u32), family_header);
            self.writer.attribute(attribute, value);
        }
        let Some(bytes) = self.writer.bytes() else { return };
        if sys::send(&self.fd, bytes).is_err() {
            return;
        }
        let mut left = values.len();
        while left > 0 {
            let Ok(n) = sys::receive_many(&self.fd, &mut self.answers[..], &mut self.lengths)
            else {
                return;
            };
            for (buffer, &length) in self.answers.iter().zip(&self.lengths).take(n) {
                let Some(datagram) = buffer.get(..length) else { continue };
                for message in Messages(datagram) {
                    let at = message.seq.wrapping_sub(first) as usize;
                    if at >= values.len() {
                        continue;
                    }
                    left = left.saturating_sub(1);
                    match message.error() {
                        Some(error) => read(at, Err(if error == 0 { libc::EPROTO } else { error })),
                        None => read(at, Ok(&message)),
                    }
                }
            }
        }
    }

    /// Asks for everything of a kind and hands each message of the answer to `read`.
    pub fn dump(
        &mut self,
        kind: u16,
        family_header: &[u8],
        read: &mut dyn FnMut(&Message<'_>),
    ) -> Result<(), Errno> {
        self.seq = self.seq.wrapping_add(1);
        self.writer.clear();
        self.writer.begin(kind, libc::NLM_F_DUMP as u16, self.seq, family_header);
        sys::send(&self.fd, self.writer.bytes().ok_or(libc::EMSGSIZE)?)?;
        loop {
            let length = match sys::receive(&self.fd, &mut self.buffer) {
                Ok(length) => length,
                // The kernel makes the next part when the one before it is read.
                Err(libc::EAGAIN) if sys::wait_readable([&self.fd], Some(1000))? == [true] => {
                    continue;
                }
                Err(e) => return Err(e),
            };
            let datagram = self.buffer.get(..length).ok_or(libc::EMSGSIZE)?;
            for message in Messages(datagram).filter(|m| m.seq == self.seq) {
                match message.error() {
                    Some(e) if e != 0 => return Err(e),
                    _ if message.kind == libc::NLMSG_DONE as u16 => return Ok(()),
                    _ => read(&message),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut writer = MessageWriter::new(256);
        writer.begin(24, 5, 7, &rtmsg(2, 32, 0, 0x2000));
        writer.attribute(1, &[10, 0, 0, 1]);
        writer.attribute(3, b"eth0\0");
        writer.begin(25, 0, 8, &rtmsg(2, 0, 0, 0));
        let bytes = writer.bytes().unwrap();
        let all: Vec<Message<'_>> = Messages(bytes).collect();
        assert_eq!((all.len(), all[0].kind, all[0].seq, all[1].seq), (2, 24, 7, 8));
        let attributes: Vec<_> = all[0].attributes(RTMSG).collect();
        assert_eq!(attributes, [(1, &[10, 0, 0, 1][..]), (3, &b"eth0\0"[..])]);
        assert_eq!(read_address(attributes[0].1), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(read_u32(all[0].payload, 8), 0x2000);
        assert_eq!(all[1].attributes(RTMSG).count(), 0);
    }

    #[test]
    fn what_does_not_fit_is_not_sent() {
        let mut writer = MessageWriter::new(32);
        writer.begin(24, 0, 1, &rtmsg(2, 0, 0, 0));
        assert!(writer.bytes().is_some());
        writer.attribute(1, &[1; 8]);
        assert!(writer.bytes().is_none());
        writer.clear();
        assert_eq!(writer.bytes(), Some(&[][..]));
    }

    #[test]
    fn malformed_messages_end_the_reading() {
        for length in [0u32, 3, 15, 17, 4096, u32::MAX] {
            let mut bytes = [0u8; 16];
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Messages(&bytes).count(), 0, "{length}");
        }
        for length in [0u16, 3, 9, u16::MAX] {
            let mut bytes = [0u8; 8];
            bytes[..2].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Attributes(&bytes).count(), 0, "{length}");
        }
        for length in [0u16, 7, 9, u16::MAX] {
            let mut bytes = [0u8; 8];
            bytes[..2].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(NextHops(&bytes).count(), 0, "{length}");
        }
        let mut hop = [0, 0, 0, 1, 9, 0, 0, 0];
        hop[..2].copy_from_slice(&8u16.to_ne_bytes());
        assert_eq!(NextHops(&hop).count(), 1);
        assert_eq!(NextHops(&hop[..7]).count(), 0);
    }

    #[test]
    fn errors_are_positive_numbers() {
        let mut payload = (-libc::ENOENT).to_ne_bytes().to_vec();
        payload.extend([0; 16]);
        let message = Message { kind: libc::NLMSG_ERROR as u16, seq: 1, payload: &payload };
        assert_eq!(message.error(), Some(libc::ENOENT));
        let error = |payload| Message { payload, ..message }.error();
        assert_eq!(error(&[0; 4]), Some(0));
        for payload in [&[0; 3][..], &[], &i32::MIN.to_ne_bytes()] {
            assert_ne!(error(payload), Some(0), "{payload:?} acknowledges nothing");
        }
    }
}
