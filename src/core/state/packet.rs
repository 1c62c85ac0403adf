//! What is kept of packets while clients are asked about them (rules E2, E7).

use crate::error::Error;
use crate::types::SourceGroup;
use smallvec::SmallVec;

/// The shortest and the longest IPv4 header, in octets.
const HEADER: std::ops::RangeInclusive<usize> = 20..=60;
/// What fits here needs no allocation: every header does.
const INLINE: usize = 64;
/// How many octets of packets with their data are kept at one time, for all clients together. A
/// packet beyond them is kept as its header alone, so that clients that hang, and whoever sends
/// them packets of 64 KiB, take no more memory than this.
const MOST_KEPT: usize = 16 << 20;

/// The beginning of a packet: its IPv4 header with options, and as much of its data as there was
/// room for, which is all or nothing.
#[derive(Clone, Debug, Default)]
pub struct PacketHead(SmallVec<[u8; INLINE]>);

impl PacketHead {
    /// The head of a flow that is built anew without a packet: source and group, no more.
    pub fn of_flow(flow: SourceGroup) -> Self {
        let mut bytes = [0; 20];
        bytes[0] = 0x45;
        bytes[3] = 20;
        bytes[12..16].copy_from_slice(&flow.source().octets());
        bytes[16..20].copy_from_slice(&flow.group().octets());
        Self(SmallVec::from_slice(&bytes))
    }

    /// The header alone, filled up with zeros where the packet is shorter.
    fn of_header(packet: &[u8]) -> Self {
        let claimed = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
        let len = claimed.clamp(*HEADER.start(), *HEADER.end());
        let mut bytes = SmallVec::from_slice(&packet[..len.min(packet.len())]);
        bytes.resize(len, 0);
        Self(bytes)
    }

    /// The whole packet.
    fn of_packet(packet: &[u8]) -> Result<Self, Error> {
        let mut bytes = SmallVec::new();
        bytes.try_reserve_exact(packet.len())?;
        bytes.extend_from_slice(packet);
        Ok(Self(bytes))
    }

    /// Its octets, at least 20.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it takes beside its place.
    fn allocated(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }
}

/// How much is kept at the moment.
#[derive(Default)]
pub(in crate::core) struct Kept(usize);

impl Kept {
    /// The head of a packet: all of it where there is room, and otherwise the header. It counts
    /// from when it is stored.
    pub(in crate::core) fn head_of(&self, packet: &[u8]) -> PacketHead {
        let header_alone = || PacketHead::of_header(packet);
        if packet.len() < *HEADER.start() || self.0 + packet.len() > MOST_KEPT {
            return header_alone();
        }
        PacketHead::of_packet(packet).unwrap_or_else(|_| header_alone())
    }

    /// A head is stored.
    pub(in crate::core) fn store(&mut self, head: &PacketHead) {
        self.0 += head.allocated();
    }

    /// A head that was stored is taken out.
    pub(in crate::core) fn take(&mut self, head: &PacketHead) {
        self.0 = self.0.saturating_sub(head.allocated());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_kept_whole_or_as_its_header() {
        let mut packet = [7; 100];
        packet[0] = 0x46;
        let mut kept = Kept::default();
        assert_eq!(kept.head_of(&packet).as_bytes(), packet);
        kept.0 = MOST_KEPT - 99;
        assert_eq!(kept.head_of(&packet).as_bytes(), &packet[..24]);
        let short = [0x45, 1, 2];
        assert_eq!(kept.head_of(&short).as_bytes(), [&short[..], &[0; 17]].concat());
        assert_eq!(kept.head_of(&[]).as_bytes(), [0; 20]);
        let long = [0x4f; 30];
        assert_eq!(PacketHead::of_header(&long).as_bytes(), [&long[..], &[0; 30]].concat());
    }

    #[test]
    fn what_is_taken_out_makes_room() {
        let (packet, mut kept, mut heads) = ([0x45; 65_535], Kept::default(), Vec::new());
        loop {
            let head = kept.head_of(&packet);
            if head.as_bytes().len() == 20 {
                break;
            }
            kept.store(&head);
            heads.push(head);
        }
        assert_eq!(heads.len(), MOST_KEPT / packet.len());
        kept.take(&heads.pop().unwrap());
        assert_eq!(kept.head_of(&packet).as_bytes().len(), packet.len());
        heads.iter().for_each(|head| kept.take(head));
        assert_eq!(kept.0, 0);
    }
}
