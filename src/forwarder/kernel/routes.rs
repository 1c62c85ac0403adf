//! Routes toward sources: the kernel is asked, and its answers are remembered until anything
//! changes.

#![forbid(unsafe_code)]

use super::Plane;
use super::netlink::{MANY, Message, RTMSG, read_address, read_u32, rtmsg};
use crate::log::Level;
use crate::sys::Errno;
use crate::types::{IfKey, Route, mask_of};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;

/// How many sources are remembered. It is enough for a large router, and a flood of spoofed sources
/// cannot use more than three megabytes (rule G1).
const REMEMBERED: usize = 65_536;

/// With this flag the kernel (`inet_rtm_getroute`) answers with the route that matched (prefix,
/// protocol, all next hops) and not with the next hop that it picked.
const RTM_F_FIB_MATCH: u32 = libc::RTM_F_FIB_MATCH;

/// The route to a source, independent of where its packets come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    ifindex: u32,
    gateway: Option<Ipv4Addr>,
    /// RTPROT_….
    protocol: u8,
    prefix_len: u8,
    /// The source is one of this machine's own addresses.
    local: bool,
}

/// Answers by source. A change of any route, rule, next hop, link or address forgets them all.
#[derive(Default)]
pub struct Routes {
    generation: u64,
    known: HashMap<Ipv4Addr, Option<Found>>,
}

impl Routes {
    /// Something changed, so no earlier answer counts any more.
    pub fn forget(&mut self) {
        self.generation += 1;
        self.known.clear();
    }

    /// Keeps an answer, unless something changed after the question.
    fn remember(&mut self, asked_in: u64, source: Ipv4Addr, found: Option<Found>) {
        if self.generation != asked_in {
            return;
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        // Where memory runs out, the kernel is asked again.
        if self.known.try_reserve(1).is_ok() {
            self.known.insert(source, found);
        }
    }
}

impl Plane {
    /// See [`Forwarder::route`](crate::forwarder::Forwarder::route).
    pub(super) fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Option<Route> {
        let found = self.find(source);
        self.note_source(source, found.is_some_and(|found| found.local));
        let found = found?;
        let interface = match arrival {
            // Packets that this machine sends are reported on the device that they leave by.
            Some(arrival) if found.local => arrival,
            _ => IfKey::new(found.ifindex, found.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED)),
        };
        Some(Route {
            interface,
            upstream: found.gateway.unwrap_or(source),
            protocol: windows_protocol(found.protocol),
            network: Ipv4Addr::from_bits(source.to_bits() & mask_of(found.prefix_len).to_bits()),
            prefix_len: found.prefix_len,
        })
    }

    fn find(&self, source: Ipv4Addr) -> Option<Found> {
        let generation = {
            let routes = self.routes.lock();
            if let Some(found) = routes.known.get(&source) {
                return *found;
            }
            routes.generation
        };
        match self.look_up_route(source) {
            Ok(found) => {
                self.routes.lock().remember(generation, source, found);
                found
            }
            Err(e) => {
                self.failed_look_ups.log(
                    |line| self.upcalls.log(Level::Error, line),
                    format_args!("looking up the route to {source} failed: errno {e}"),
                );
                None
            }
        }
    }

    /// Finds the routes to several sources with one system call, so that each is known when it is
    /// needed.
    pub(super) fn find_many(&self, sources: &[Ipv4Addr]) {
        let mut unknown = SmallVec::<[Ipv4Addr; MANY]>::new();
        let generation = {
            let routes = self.routes.lock();
            let new = sources.iter().filter(|source| !routes.known.contains_key(*source));
            unknown.extend(new.take(MANY).copied());
            routes.generation
        };
        unknown.sort_unstable();
        unknown.dedup();
        // Routes of a VRF are looked up one by one, which is simpler.
        if unknown.len() < 2 || self.vrf.load(Relaxed) != 0 {
            return;
        }
        let mut found = SmallVec::<[(Ipv4Addr, Option<Found>); MANY]>::new();
        let header = rtmsg(libc::AF_INET as u8, 32, 0, RTM_F_FIB_MATCH);
        let octets = unknown.iter().map(|source| source.octets());
        let questions = octets.collect::<SmallVec<[[u8; 4]; MANY]>>();
        self.asker.lock().ask_many(
            libc::RTM_GETROUTE,
            &header,
            libc::RTA_DST,
            &questions,
            &mut |at, answer| {
                let answer = match answer {
                    Ok(message) => Some(RouteAnswer::read(message)),
                    Err(error) if is_no_route(error) => None,
                    Err(_) => return,
                };
                // Routes with several next hops are left to `look_up_route`.
                if answer.as_ref().is_none_or(|answer| answer.found.ifindex != 0) {
                    found.push((unknown[at], answer.and_then(|answer| answer.usable())));
                }
            },
        );
        let mut routes = self.routes.lock();
        for (source, found) in found {
            routes.remember(generation, source, found);
        }
    }

    fn look_up_route(&self, source: Ipv4Addr) -> Result<Option<Found>, Errno> {
        let Some(matched) = self.ask_route(source, RTM_F_FIB_MATCH)? else { return Ok(None) };
        if matched.found.ifindex != 0 {
            return Ok(matched.usable());
        }
        // With several next hops, or a next hop object, a plain look-up tells which one the kernel
        // picks, which is always the same for one source. It tells neither prefix nor protocol.
        self.note_several_hops(source, matched.found.prefix_len);
        let Some(picked) = self.ask_route(source, 0)? else { return Ok(None) };
        Ok(picked.usable().map(|found| Found {
            protocol: matched.found.protocol,
            prefix_len: matched.found.prefix_len,
            ..found
        }))
    }

    /// Asks for the route to a source; None: there is none.
    fn ask_route(&self, source: Ipv4Addr, flags: u32) -> Result<Option<RouteAnswer>, Errno> {
        let header = rtmsg(libc::AF_INET as u8, 32, 0, flags);
        // An output device that is a VRF selects the VRF's table; without a VRF it is left out.
        let vrf = self.vrf.load(Relaxed).to_ne_bytes();
        let attributes: [(u16, &[u8]); 2] =
            [(libc::RTA_DST, &source.octets()), (libc::RTA_OIF, &vrf)];
        let attributes = &attributes[..if vrf == [0; 4] { 1 } else { 2 }];
        match self.asker.lock().ask(libc::RTM_GETROUTE, &header, attributes, RouteAnswer::read) {
            Ok(answer) => Ok(Some(answer)),
            Err(e) if is_no_route(e) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Unreachable, prohibit and blackhole routes, and no route at all.
const fn is_no_route(errno: Errno) -> bool {
    matches!(errno, libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EACCES | libc::EINVAL)
}

struct RouteAnswer {
    kind: u8,
    found: Found,
}

impl RouteAnswer {
    fn read(message: &Message<'_>) -> Self {
        let octet = |at: usize| message.payload.get(at).copied().unwrap_or(0);
        let mut found = Found {
            ifindex: 0,
            gateway: None,
            protocol: octet(5),
            prefix_len: octet(1).min(32),
            local: octet(7) == libc::RTN_LOCAL,
        };
        for (kind, value) in message.attributes(RTMSG) {
            match kind {
                libc::RTA_OIF => found.ifindex = read_u32(value, 0),
                libc::RTA_GATEWAY => found.gateway = read_address(value),
                // An IPv6 gateway has no IPv4 address that could be the upstream neighbour.
                RTA_VIA => found.gateway = Some(Ipv4Addr::UNSPECIFIED),
                _ => {}
            }
        }
        Self { kind: octet(7), found }
    }

    /// The route, if it is a unicast or local one and names the device.
    fn usable(&self) -> Option<Found> {
        let unicast = matches!(self.kind, libc::RTN_UNICAST | libc::RTN_LOCAL);
        (unicast && self.found.ifindex != 0).then_some(self.found)
    }
}

const RTA_VIA: u16 = 18;

/// Linux's route protocols in Windows' numbering (MIB_IPPROTO_…), which dwRouteProtocol has.
fn windows_protocol(rtprot: u8) -> u32 {
    const OTHER: u32 = 1;
    const LOCAL: u32 = 2;
    const NETMGMT: u32 = 3;
    const ICMP: u32 = 4;
    const RIP: u32 = 8;
    const IS_IS: u32 = 9;
    const OSPF: u32 = 13;
    const BGP: u32 = 14;
    const EIGRP: u32 = 16;
    const DVMRP: u32 = 17;
    const DHCP: u32 = 19;
    match rtprot {
        1 => ICMP,        // RTPROT_REDIRECT
        2 => LOCAL,       // RTPROT_KERNEL: directly connected
        3 | 4 => NETMGMT, // RTPROT_BOOT, RTPROT_STATIC: an administrator's
        16 => DHCP,       // RTPROT_DHCP
        17 => DVMRP,      // RTPROT_MROUTED
        186 => BGP,       // RTPROT_BGP
        187 => IS_IS,     // RTPROT_ISIS
        188 => OSPF,      // RTPROT_OSPF
        189 => RIP,       // RTPROT_RIP
        192 => EIGRP,     // RTPROT_EIGRP
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUND: Found =
        Found { ifindex: 3, gateway: None, protocol: 2, prefix_len: 24, local: false };

    fn address(n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(n)
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_kept() {
        let mut routes = Routes::default();
        routes.remember(0, address(1), Some(FOUND));
        assert_eq!(routes.known.get(&address(1)), Some(&Some(FOUND)));
        routes.forget();
        assert!(routes.known.is_empty());
        routes.remember(0, address(1), Some(FOUND));
        assert!(routes.known.is_empty());
        routes.remember(1, address(1), None);
        assert_eq!(routes.known.get(&address(1)), Some(&None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut routes = Routes::default();
        for n in 0..REMEMBERED as u32 + 10 {
            routes.remember(0, address(n), None);
            assert!(routes.known.len() <= REMEMBERED);
        }
        assert!(routes.known.contains_key(&address(REMEMBERED as u32 + 9)));
    }
}
