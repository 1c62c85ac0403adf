//! The netlink thread: learns of changes of routes, rules, next hops, links and addresses, and of
//! entries that others change.

#![forbid(unsafe_code)]

use super::messages::News;
use super::neighbours::ConcernedRoutes;
use super::netlink::{Message, Messages, NETCONFA_IFINDEX, RTMSG, read_address, read_u32};
use super::own::Sight;
use super::pump::{PREPARED, Pump, PumpWork, QueuePlace};
use super::{Plane, foreign, takeover};
use crate::sys::{self, Errno};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How many changed prefixes are passed on at once; the rest waits in the socket.
const MAX_PREFIXES: usize = 1024;
/// "Any route may have changed" is passed on at most this often, because much is looked up again
/// then.
const EVERYTHING_EVERY: Duration = Duration::from_millis(50);
/// Notifications of entries are mostly of our own changes, so after some have been read, the next
/// ones may wait this long.
const NAP: Duration = Duration::from_millis(50);
/// The pause between two steps of an audit, and before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// The size of the receive buffer, in octets, that is asked for because of bursts of route changes.
const BUFFER: u32 = 4 << 20;

const NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN: u16 = 6;
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;
const RTM_NEWNEXTHOPBUCKET: u16 = 116;

/// Subscribes to everything that can change a route or a device.
pub fn subscribe() -> Result<OwnedFd, Errno> {
    let fd = sys::route_socket()?;
    sys::enlarge_buffer(&fd, BUFFER);
    for group in [
        libc::RTNLGRP_LINK,
        libc::RTNLGRP_IPV4_IFADDR,
        libc::RTNLGRP_IPV4_ROUTE,
        libc::RTNLGRP_IPV4_RULE,
        libc::RTNLGRP_IPV4_NETCONF,
    ] {
        sys::join_group(&fd, group)?;
    }
    // Kernels before 5.3 have no next hop objects, so none can change.
    match sys::join_group(&fd, libc::RTNLGRP_NEXTHOP) {
        Ok(()) | Err(libc::EINVAL) => Ok(fd),
        Err(e) => Err(e),
    }
}

/// Notifications, as a kind of work.
pub struct Notifications;

impl PumpWork for Notifications {
    type Item = News;
    const ITEMS: usize = MAX_PREFIXES + 1 + sys::MAX_VIFS + foreign::STEP + takeover::STEP;
    // The news keep their order.
    const TURN: usize = usize::MAX;

    fn pump(plane: &Plane) -> &Pump<Self> {
        &plane.notifications
    }

    fn read(plane: &Plane, list: &mut Vec<News>, _: usize) -> QueuePlace {
        plane.watcher.lock().turn(plane, list);
        list.reverse();
        QueuePlace::Top
    }

    fn prepare(plane: &Plane, news: &[News]) {
        let source = |news: &News| match news {
            News::Found(flow) => Some(flow.source()),
            _ => None,
        };
        plane.find_many(&news.iter().filter_map(source).collect::<SmallVec<[_; PREPARED]>>());
    }

    fn hand_on(plane: &Plane, news: &News) {
        match *news {
            News::Device { ifindex } => plane.tell_of_device(ifindex),
            News::Routes { network, len } => {
                plane.upcalls.routes_changed(Ipv4Addr::from_bits(network), len);
            }
            // The group manager has none for (*,G) and (*,*).
            News::Lost(flow) if !flow.has_source() => {}
            News::Lost(flow) => plane.upcalls.entry_lost(flow),
            News::Moved { flow, vif } => {
                let arrival = plane.vifs.read().arrival(vif.into());
                if let Some(arrival) = arrival {
                    plane.upcalls.source_moved(flow, arrival);
                }
            }
            News::Found(flow) => plane.tell_found(flow),
            News::TakenOver(flow) => plane.upcalls.taken_over(flow),
        }
    }
}

/// What the thread that reads the notifications has to know.
pub struct Watcher {
    buffer: Box<[u8]>,
    changes: Changes,
    /// Flags of devices as last told.
    links: HashMap<u32, u32>,
    everything_after: Instant,
    napping_until: Option<Instant>,
    retry: bool,
    sight: Sight,
}

/// Changes that were read and have not been passed on.
struct Changes {
    prefixes: Vec<(u32, u8)>,
    everything: bool,
    any: bool,
}

impl Watcher {
    /// Nothing was told yet.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; 65536].into(),
            changes: Changes {
                prefixes: Vec::with_capacity(MAX_PREFIXES + 1),
                everything: false,
                any: false,
            },
            links: HashMap::new(),
            everything_after: Instant::now(),
            napping_until: None,
            retry: false,
            sight: Sight::new(),
        }
    }

    /// Waits for something, and finds out what is to be passed on.
    fn turn(&mut self, plane: &Plane, queue: &mut Vec<News>) {
        let now = Instant::now();
        if self.napping_until.is_some_and(|until| until <= now) {
            self.napping_until = None;
        }
        let stop = &plane.stop;
        let watch = if self.napping_until.is_some() { stop } else { &plane.watch };
        let own = plane.own_packets.get().unwrap_or(stop);
        let fds = [stop, &plane.wake, &plane.changes, watch, own];
        // Where waiting fails, there may be something.
        let all = [false, true, true, true, true];
        let ready = sys::wait_readable(fds, self.timeout(plane, now)).unwrap_or(all);
        let [stopped, woken, changed, watched, _] = ready;
        if stopped {
            return;
        }
        if woken {
            sys::clear(&plane.wake);
        }
        if changed {
            self.read_changes(plane);
        }
        if std::mem::take(&mut self.changes.any) {
            // This comes before anything is passed on, so that what is looked up then is new.
            plane.routes.lock().forget();
        }
        plane.end_refused(&mut plane.entries.lock(), now, false);
        self.retry = !plane.reconcile(queue);
        self.tell_routes(queue);
        if watched {
            self.napping_until = Some(Instant::now() + NAP);
            plane.drain_notifications(&mut plane.entries.lock());
        }
        plane.look_up_suspects(queue);
        plane.take_over(queue);
        plane.watch_own(&mut self.sight, queue);
    }

    fn timeout(&self, plane: &Plane, now: Instant) -> Option<u32> {
        let entries = plane.entries.lock();
        let busy = self.retry || entries.foreign.busy();
        let refused = entries.refused.next_end();
        let takeover = entries.takeover.next_step(now);
        drop(entries);
        let everything = self.changes.everything.then_some(self.everything_after);
        let at = [busy.then(|| now + PAUSE), self.napping_until, everything, refused, takeover];
        let at = at.into_iter().chain([self.sight.next_check]);
        let at = at.flatten().min()?;
        // It is rounded up, so that the time has come when the wait is over.
        Some(if at <= now { 0 } else { (at - now).as_millis() as u32 + 1 })
    }

    fn read_changes(&mut self, plane: &Plane) {
        while self.changes.prefixes.len() < MAX_PREFIXES {
            match sys::receive(&plane.changes, &mut self.buffer) {
                Ok(length) => {
                    let datagram = &self.buffer[..length.min(self.buffer.len())];
                    let mut messages = Messages(datagram);
                    for message in messages.by_ref() {
                        read_change(plane, &mut self.changes, &mut self.links, &message);
                    }
                    // A message that was cut off or cannot be read may have been about anything.
                    if length > datagram.len() || !messages.0.is_empty() {
                        self.changes.everything();
                    }
                }
                Err(libc::EAGAIN) => break,
                Err(_) => {
                    // ENOBUFS: some were lost. The socket is readable while there are others.
                    plane.counters.notifications_lost.fetch_add(1, Relaxed);
                    self.changes.everything();
                    self.links.clear();
                    let mut vifs = plane.vifs.write();
                    vifs.recheck |= vifs.wanted;
                    vifs.recheck_unnumbered = true;
                    break;
                }
            }
        }
    }

    fn tell_routes(&mut self, queue: &mut Vec<News>) {
        let changes = &mut self.changes;
        let now = Instant::now();
        if changes.everything && now >= self.everything_after {
            (changes.everything, self.everything_after) = (false, now + EVERYTHING_EVERY);
            changes.prefixes.push((0, 0));
        }
        // The others are told beside it, and at once: they most likely concern what lies under them.
        changes.prefixes.sort_unstable_by_key(|(network, len)| (Reverse(*len), *network));
        changes.prefixes.dedup();
        let news = |(network, len)| News::Routes { network, len };
        queue.extend(changes.prefixes.drain(..).map(news));
    }
}

impl Changes {
    /// Notes a prefix; where there is no room for it, "any route" is noted.
    fn prefix(&mut self, network: Ipv4Addr, len: u8) {
        if self.prefixes.len() < MAX_PREFIXES {
            self.prefixes.push((network.to_bits(), len));
        } else {
            self.everything = true;
        }
    }

    fn everything(&mut self) {
        (self.everything, self.any) = (true, true);
    }
}

fn read_change(
    plane: &Plane,
    changes: &mut Changes,
    links: &mut HashMap<u32, u32>,
    message: &Message<'_>,
) {
    match message.kind {
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
            changes.any = true;
            let to = message.attributes(RTMSG).find(|a| a.0 == libc::RTA_DST);
            let (network, len) = match (to.and_then(|a| read_address(a.1)), message.payload.get(1))
            {
                (Some(network), Some(&len @ 0..=32)) => (network, len),
                // The default route, or one that cannot be told.
                _ => (Ipv4Addr::UNSPECIFIED, 0),
            };
            // Sources are never multicast, so the kernel's own route for 224.0.0.0/4 does not
            // matter.
            if len == 0 || !network.is_multicast() {
                changes.prefix(network, len);
            }
        }
        libc::RTM_NEWLINK | libc::RTM_DELLINK => read_link(plane, changes, links, message),
        libc::RTM_NEWNETCONF => {
            for (kind, value) in message.attributes(4) {
                match kind {
                    // This is the only notification of a multicast interface that somebody else
                    // deleted.
                    NETCONFA_IFINDEX => recheck_multicast(plane, read_u32(value, 0)),
                    NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN => changes.everything(),
                    _ => {}
                }
            }
        }
        libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => {
            // The kernel may pick another of several next hops.
            match plane.neighbours.lock().read(message) {
                None => {}
                Some(ConcernedRoutes::All) => changes.everything(),
                Some(ConcernedRoutes::Prefixes(prefixes)) => {
                    changes.any = true;
                    prefixes.iter().for_each(|(network, len)| changes.prefix(*network, *len));
                }
            }
        }
        // A new address also brings routes, each with a notification of its own.
        libc::RTM_NEWADDR => changes.any = true,
        libc::RTM_DELADDR
        | libc::RTM_NEWRULE
        | libc::RTM_DELRULE
        | RTM_NEWNEXTHOP
        | RTM_DELNEXTHOP
        // A part of a resilient group moved to another next hop.
        | RTM_NEWNEXTHOPBUCKET => changes.everything(),
        _ => {}
    }
}

fn read_link(
    plane: &Plane,
    changes: &mut Changes,
    links: &mut HashMap<u32, u32>,
    message: &Message<'_>,
) {
    // Bridges report their ports in the same group; a port that leaves its bridge is not gone.
    if message.payload.first() != Some(&(libc::AF_UNSPEC as u8)) {
        return;
    }
    let (ifindex, flags) = (read_u32(message.payload, 4), read_u32(message.payload, 8));
    let of_interest = (libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOWER_UP) as u32;
    let before = if message.kind == libc::RTM_DELLINK {
        links.remove(&ifindex)
    } else if links.try_reserve(1).is_ok() {
        links.insert(ifindex, flags & of_interest)
    } else {
        None
    };
    if message.kind == libc::RTM_DELLINK || before != Some(flags & of_interest) {
        // Routes through a device that stops working vanish without a notification.
        changes.everything();
        recheck(plane, ifindex);
    }
}

fn recheck(plane: &Plane, ifindex: u32) {
    let mut vifs = plane.vifs.write();
    match vifs.number(ifindex) {
        Some(vif) => vifs.recheck |= 1 << vif,
        None => vifs.recheck_unnumbered |= vifs.is_unnumbered(ifindex),
    }
    if ifindex == plane.vrf.load(Relaxed) {
        // Looking at its devices tells whether the VRF is still there.
        vifs.recheck |= vifs.wanted;
    }
}

/// Rechecks a device that is a multicast interface or was one, and the numbers without a device:
/// somebody else may have given one of these to the device.
fn recheck_multicast(plane: &Plane, ifindex: u32) {
    recheck(plane, ifindex);
    let mut vifs = plane.vifs.write();
    vifs.recheck |= vifs.wanted & !vifs.in_kernel;
}
