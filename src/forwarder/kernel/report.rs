//! The kernel's reports (`struct igmpmsg`): an IP header, three fields of which the kernel
//! overwrites.

#![forbid(unsafe_code)]

use crate::forwarder::packet::correct_checksum;
use crate::types::SourceGroup;
use std::net::Ipv4Addr;

/// The longest IP header, options included.
pub const MAX_HEADER: usize = 60;
/// Room for a report: a header and the eight octets that follow it.
pub const SIZE: usize = MAX_HEADER + 8;

const IGMPMSG_NOCACHE: u8 = 1;
const IGMPMSG_WRONGVIF: u8 = 2;
const IGMPMSG_WRVIFWHOLE: u8 = 4;

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// There is no entry for the flow.
    NoCache,
    /// The packet came in on another VIF than its entry's.
    WrongInterface,
}

/// A report, with its IP header corrected.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// What it is about.
    pub kind: ReportKind,
    /// The VIF of arrival.
    pub vif: u16,
    /// Source and group.
    pub flow: SourceGroup,
    header: [u8; MAX_HEADER],
    header_len: u8,
}

impl Report {
    /// Reads a report of `length` octets, of which `bytes` were received. None: it is no report.
    pub fn read(bytes: &[u8], length: usize) -> Option<Self> {
        let bytes = bytes.get(..length)?;
        let fixed = bytes.first_chunk::<20>()?;
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        if fixed[0] >> 4 != 4 || header_len < 20 || bytes.len() < header_len + 8 {
            return None;
        }
        let mut header = [0; MAX_HEADER];
        header.get_mut(..header_len)?.copy_from_slice(bytes.get(..header_len)?);
        let kind = match (fixed[8], fixed[9]) {
            (IGMPMSG_NOCACHE, 0) => ReportKind::NoCache,
            (IGMPMSG_WRONGVIF | IGMPMSG_WRVIFWHOLE, 0) => ReportKind::WrongInterface,
            _ => return None,
        };
        let vif = u16::from_le_bytes([fixed[10], fixed[11]]);
        let [.., a, b, c, d, e, f, g, h] = *fixed;
        let (source, group) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
        if source.is_unspecified() || source.is_multicast() || !group.is_multicast() {
            return None;
        }
        mend(&mut header[..header_len]);
        let flow = SourceGroup::new(source, group);
        Some(Self { kind, vif, flow, header, header_len: header_len as u8 })
    }

    /// The packet's IP header with options. TTL and protocol are 0, because the kernel does not
    /// tell them, and the total length is that of the report. The checksum is right for these.
    pub fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }
}

/// Clears the fields that the kernel overwrote, and corrects the checksum.
fn mend(header: &mut [u8]) {
    header[8..10].fill(0);
    correct_checksum(header);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: u8, ihl: u8) -> Vec<u8> {
        let mut bytes = vec![0x40 | ihl, 0, 0, 28, 1, 2, 0, 0, kind, 0, 3, 1];
        bytes.extend([10, 0, 0, 1, 232, 1, 1, 1]);
        bytes.resize(usize::from(ihl).max(5) * 4 + 8, 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Report> {
        Report::read(bytes, bytes.len())
    }

    #[test]
    fn a_report_becomes_a_header() {
        let got = read(&report(1, 6)).unwrap();
        assert_eq!((got.kind, got.vif), (ReportKind::NoCache, 0x103));
        assert_eq!(got.flow, SourceGroup::new([10, 0, 0, 1].into(), [232, 1, 1, 1].into()));
        let header = got.header();
        assert_eq!((header.len(), header[8], header[9]), (24, 0, 0));
        let sum: u32 = header.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        for kind in [2, 4] {
            assert_eq!(read(&report(kind, 5)).unwrap().kind, ReportKind::WrongInterface);
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let good = report(1, 5);
        assert!(read(&good).is_some());
        for length in 0..28 {
            assert!(Report::read(&good, length).is_none(), "the eight octets behind are there too");
        }
        assert!(Report::read(&good, good.len() + 1).is_none(), "cut off");
        assert!(read(&report(0, 5)).is_none());
        assert!(read(&report(3, 5)).is_none());
        assert!(read(&report(1, 4)).is_none());
        assert!(read(&report(1, 15)[..40]).is_none());
        let spoil = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert!(read(&spoil(0, 0x65)).is_none(), "version");
        assert!(read(&spoil(9, 2)).is_none(), "an IGMP packet");
        assert!(read(&spoil(12, 224)).is_none(), "source");
        assert!(read(&spoil(16, 10)).is_none(), "group");
    }
}
