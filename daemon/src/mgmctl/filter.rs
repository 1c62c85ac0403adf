//! Which rows are wanted.

use crate::options::Filter;
use mgm_daemon::state::{Event, Interface, Member, Mfe};
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    network: u32,
    mask: u32,
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let address = address.parse::<Ipv4Addr>();
        let length = length.parse::<u32>().ok().filter(|length| *length <= 32);
        match (address, length) {
            (Ok(address), Some(length)) => {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                Ok(Self { network: u32::from(address) & mask, mask })
            }
            _ => Err("allowed are an IPv4 address and a prefix such as 239.1.0.0/16".into()),
        }
    }
}

impl Prefix {
    fn has(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask == self.network
    }
}

/// An interface by its device's name or its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device(String);

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("a device's name or an index".into())
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl Device {
    /// Whether it is this interface: by name, by index, or by either with its next hop (eth0@10.0.0.9).
    fn is(&self, interface: &Interface) -> bool {
        let (device, hop) = match self.0.split_once('@') {
            Some((device, hop)) => (device, Some(hop)),
            None => (self.0.as_str(), None),
        };
        let by_name = !interface.name.is_empty() && interface.name.as_str() == device;
        let by_index = device.parse() == Ok(interface.index);
        (by_name || by_index) && hop.is_none_or(|hop| hop.parse() == Ok(interface.next_hop))
    }
}

impl Filter {
    fn has(&self, group: Ipv4Addr, source: Ipv4Addr) -> bool {
        self.group.is_none_or(|prefix| prefix.has(group))
            && self.source.is_none_or(|prefix| prefix.has(source))
    }

    fn on(&self, mut interfaces: impl Iterator<Item = Interface>) -> bool {
        let Some(device) = &self.interface else { return true };
        interfaces.any(|interface| device.is(&interface))
    }

    /// Whether an entry is wanted.
    pub fn has_mfe(&self, mfe: &Mfe) -> bool {
        let oifs = mfe.oifs.iter().map(|oif| oif.interface);
        self.has(mfe.group, mfe.source) && self.on(std::iter::once(mfe.iif).chain(oifs))
    }

    /// Whether changes of an entry or a membership are wanted, which all concern the same one.
    pub fn has_events(&self, events: &[Event]) -> bool {
        let any = Ipv4Addr::UNSPECIFIED;
        let of = |event: &Event| self.has(event.group.unwrap_or(any), event.source.unwrap_or(any));
        events.first().is_some_and(of) && self.on(events.iter().filter_map(|event| event.interface))
    }

    /// Whether a membership is wanted.
    pub fn has_member(&self, member: &Member) -> bool {
        self.has(member.group, member.source) && self.on(std::iter::once(member.interface))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgm_daemon::state::Name;

    #[test]
    fn prefixes() {
        let has =
            |prefix: &str, address: [u8; 4]| prefix.parse::<Prefix>().unwrap().has(address.into());
        assert!(has("239.1.1.1", [239, 1, 1, 1]) && !has("239.1.1.1", [239, 1, 1, 2]));
        assert!(has("239.1.9.9/16", [239, 1, 7, 7]) && !has("239.1.0.0/16", [239, 2, 0, 0]));
        assert!(has("0.0.0.0/0", [10, 0, 0, 1]) && has("0.0.0.0", [0, 0, 0, 0]));
        assert!("239.1.1.1/-1".parse::<Prefix>().is_err());
    }

    #[test]
    fn devices() {
        let eth0 = Interface { index: 7, next_hop: [10, 0, 0, 9].into(), name: Name::new("eth0") };
        for text in ["eth0", "7", "eth0@10.0.0.9", "7@10.0.0.9"] {
            assert!(text.parse::<Device>().unwrap().is(&eth0), "{text}");
        }
        for text in ["eth1", "07x", "eth0@10.0.0.8", "@10.0.0.9"] {
            assert!(!text.parse::<Device>().unwrap().is(&eth0), "{text}");
        }
        let nameless = Interface { name: Name::default(), ..eth0 };
        assert!(!"@10.0.0.9".parse::<Device>().unwrap().is(&nameless));
    }
}
