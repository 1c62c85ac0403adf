//! IPv4 packets: what the memory forwarder reads in them and changes.

#![forbid(unsafe_code)]

use crate::types::SourceGroup;
use std::net::Ipv4Addr;

/// Why a packet is not forwarded although it can be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unforwardable {
    /// Its TTL is 0 or 1; its source and group.
    Ttl(SourceGroup),
    /// Its destination is not multicast.
    NotMulticast,
    /// Its destination is in 224.0.0.0/24.
    LinkLocal,
    /// Its source cannot be a sender's address.
    Source,
}

/// A multicast packet that may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its source and group.
    pub flow: SourceGroup,
    /// Its octets, as many as its total length says.
    pub bytes: &'a [u8],
    header_len: usize,
}

/// Parses a packet. The outer error says why it is no IPv4 packet.
pub fn parse(bytes: &[u8]) -> Result<Result<Packet<'_>, Unforwardable>, &'static str> {
    let Some(header) = bytes.first_chunk::<20>() else {
        return Err("shorter than an IPv4 header of 20 octets");
    };
    if header[0] >> 4 != 4 {
        return Err("not IP version 4");
    }
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header_len < 20 {
        return Err("its header length is below 20 octets");
    }
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if total_len < header_len {
        return Err("its total length is below its header length");
    }
    if total_len > bytes.len() {
        return Err("its total length is beyond its end");
    }
    let address =
        |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let (source, group) = (address(12), address(16));
    let flow = SourceGroup::new(source, group);
    let never_a_sender = source.is_unspecified()
        || source.is_multicast()
        || source.is_broadcast()
        || source.is_loopback();
    Ok(if !group.is_multicast() {
        Err(Unforwardable::NotMulticast)
    } else if flow.is_link_local() {
        Err(Unforwardable::LinkLocal)
    } else if header[8] <= 1 {
        Err(Unforwardable::Ttl(flow))
    } else if never_a_sender {
        Err(Unforwardable::Source)
    } else {
        Ok(Packet { flow, bytes: &bytes[..total_len], header_len })
    })
}

impl Packet<'_> {
    /// The length of its header, options included.
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    /// A copy.
    pub fn copy(&self) -> Result<Vec<u8>, std::collections::TryReserveError> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.bytes.len())?;
        copy.extend_from_slice(self.bytes);
        Ok(copy)
    }
}

/// Changes a parsed packet as a router does: decrements the TTL and corrects the header checksum.
pub fn age(bytes: &mut [u8], header_len: usize) {
    bytes[8] -= 1;
    correct_checksum(&mut bytes[..header_len]);
}

/// Makes the checksum of a header right.
pub fn correct_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The Internet checksum (RFC 1071) of a header, an even number of octets.
fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header like one that a sender writes; its checksum was computed by hand.
    const HEADER: [u8; 20] =
        [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0x90, 0xd4, 10, 0, 0, 1, 232, 1, 2, 3];

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        change(&mut bytes);
        bytes
    }

    #[test]
    fn a_good_packet() {
        let bytes = with(|b| b.extend([1, 2, 3]));
        let packet = parse(&bytes).unwrap().unwrap();
        assert_eq!(
            packet.flow,
            SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 1, 2, 3))
        );
        assert_eq!(packet.bytes.len(), 20, "what lies beyond the total length is padding");
        let mut out = packet.copy().unwrap();
        age(&mut out, packet.header_len());
        assert_eq!(out[8], 63);
        assert_eq!(checksum(&out), 0, "a right checksum makes the sum zero");
        assert_eq!((&out[..8], &out[12..]), (&HEADER[..8], &HEADER[12..]));
    }

    #[test]
    fn what_cannot_be_parsed() {
        assert!(parse(&[]).is_err());
        assert!(parse(&HEADER[..19]).is_err());
        assert!(parse(&with(|b| b[0] = 0x65)).is_err());
        assert!(parse(&with(|b| b[0] = 0x44)).is_err());
        assert!(parse(&with(|b| b[0] = 0x46)).is_err(), "total length below header length");
        assert!(parse(&with(|b| b[3] = 21)).is_err());
    }

    #[test]
    fn what_is_not_forwarded() {
        let reason = |bytes: Vec<u8>| parse(&bytes).unwrap().unwrap_err();
        let flow = SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 1, 2, 3));
        assert_eq!(reason(with(|b| b[8] = 1)), Unforwardable::Ttl(flow));
        assert_eq!(reason(with(|b| b[8] = 0)), Unforwardable::Ttl(flow));
        assert_eq!(reason(with(|b| b[16] = 192)), Unforwardable::NotMulticast);
        assert_eq!(
            reason(with(|b| b[16..20].copy_from_slice(&[224, 0, 0, 9]))),
            Unforwardable::LinkLocal
        );
        assert_eq!(reason(with(|b| b[12..16].fill(0))), Unforwardable::Source);
        assert_eq!(reason(with(|b| b[12] = 230)), Unforwardable::Source);
        assert_eq!(reason(with(|b| b[12] = 127)), Unforwardable::Source);
    }
}
