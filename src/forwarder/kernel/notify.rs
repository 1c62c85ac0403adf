//! The netlink thread: learns of changes of routes, rules, next hops, links and addresses, and of
//! entries that others change.

#![forbid(unsafe_code)]

use super::Plane;
use super::netlink::{Message, Messages, RTMSG, read_address, read_u32};
use super::sys::{self, Body, Errno};
use crate::core::types::mask_of;
use crate::log::Level;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How many changed prefixes are told at once; the rest waits in the socket.
const MAX_PREFIXES: usize = 1024;
/// "Any route may have changed" is told at most this often, since much is looked up again then.
const EVERYTHING_EVERY: Duration = Duration::from_millis(50);
/// Notifications of entries are mostly of our own changes: after some have been read, the next
/// ones may wait this long.
const NAP: Duration = Duration::from_millis(50);
/// The pause between two steps of an audit, and before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(10);
/// What the kernel is asked for as receive buffer, in octets, for a burst of route changes.
const BUFFER: u32 = 4 << 20;

const NETCONFA_IFINDEX: u16 = 1;

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
    // Kernels before 5.3 have no next hop objects, so nothing of them can change.
    match sys::join_group(&fd, libc::RTNLGRP_NEXTHOP) {
        Ok(()) | Err(libc::EINVAL) => Ok(fd),
        Err(e) => Err(e),
    }
}

/// The thread.
pub enum NetlinkThread {}

impl Body for NetlinkThread {
    type On = Plane;

    fn run(plane: Arc<Plane>) {
        let mut watcher = Watcher::new(plane);
        loop {
            let turn = std::panic::AssertUnwindSafe(|| watcher.turn());
            match std::panic::catch_unwind(turn) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => watcher.plane.upcalls.log(
                    Level::Error,
                    format_args!("internal fault while a change of routes or devices was handled"),
                ),
            }
        }
    }
}

struct Watcher {
    plane: Arc<Plane>,
    buffer: Box<[u8]>,
    changes: Changes,
    /// Flags of devices as last told.
    links: hashbrown::HashMap<u32, u32>,
    everything_after: Instant,
    napping_until: Option<Instant>,
    retry: bool,
}

/// What was told and has not been handed on.
struct Changes {
    prefixes: Vec<(u32, u8)>,
    everything: bool,
    any: bool,
}

impl Watcher {
    fn new(plane: Arc<Plane>) -> Self {
        Self {
            plane,
            buffer: vec![0; 65536].into(),
            changes: Changes {
                prefixes: Vec::with_capacity(MAX_PREFIXES),
                everything: false,
                any: false,
            },
            links: hashbrown::HashMap::new(),
            everything_after: Instant::now(),
            napping_until: None,
            retry: false,
        }
    }

    /// Waits for something and deals with it. False: the end.
    fn turn(&mut self) -> bool {
        let plane = Arc::clone(&self.plane);
        let now = Instant::now();
        if self.napping_until.is_some_and(|until| until <= now) {
            self.napping_until = None;
        }
        let stop = &plane.stop;
        let watch = if self.napping_until.is_some() { stop } else { &plane.watch };
        let fds = [stop, &plane.wake, &plane.changes, watch];
        let ready = sys::wait_readable(fds, self.timeout(now)).unwrap_or([false; 4]);
        let [stopped, woken, changed, watched] = ready;
        if stopped {
            return false;
        }
        if woken {
            sys::clear(&plane.wake);
        }
        if changed {
            self.read_changes();
        }
        if self.changes.any {
            // Before anybody is told: what is looked up from now on is new.
            plane.routes.lock().forget();
            self.changes.any = false;
        }
        self.retry = !plane.reconcile();
        self.tell_routes();
        if watched {
            self.napping_until = Some(Instant::now() + NAP);
            plane.drain_notifications(&mut plane.entries.lock());
        }
        plane.look_up_suspects();
        true
    }

    fn timeout(&self, now: Instant) -> Option<u32> {
        let busy = self.retry || self.plane.entries.lock().foreign.busy();
        let everything = self.changes.everything.then_some(self.everything_after);
        let at = [busy.then(|| now + PAUSE), self.napping_until, everything];
        let at = at.into_iter().flatten().min()?;
        // Rounded up, so that the moment has come when the wait is over.
        Some(at.saturating_duration_since(now).as_millis() as u32 + 1)
    }

    fn read_changes(&mut self) {
        while self.changes.prefixes.len() < MAX_PREFIXES {
            match sys::receive(&self.plane.changes, &mut self.buffer) {
                Ok(length) => {
                    // A datagram that was cut off is read as far as it goes.
                    let datagram = &self.buffer[..length.min(self.buffer.len())];
                    for message in Messages(datagram) {
                        read_change(&self.plane, &mut self.changes, &mut self.links, &message);
                    }
                }
                Err(libc::EAGAIN) => break,
                Err(_) => {
                    // ENOBUFS: some were lost.
                    self.plane.counters.notifications_lost.fetch_add(1, Relaxed);
                    self.changes.everything();
                    self.links.clear();
                    let mut vifs = self.plane.vifs.write();
                    vifs.recheck |= vifs.wanted;
                }
            }
        }
    }

    fn tell_routes(&mut self) {
        let changes = &mut self.changes;
        if changes.everything {
            if Instant::now() >= self.everything_after {
                changes.everything = false;
                changes.prefixes.clear();
                self.plane.upcalls.routes_changed(Ipv4Addr::UNSPECIFIED, 0);
                self.everything_after = Instant::now() + EVERYTHING_EVERY;
            }
            return;
        }
        changes.prefixes.sort_unstable();
        let mut told = None;
        for (network, len) in changes.prefixes.drain(..) {
            // Sorted like this a prefix follows those that hold it.
            let covered = told.is_some_and(|(n, l): (u32, u8)| {
                l <= len && (n ^ network) & mask_of(l).to_bits() == 0
            });
            if !covered {
                self.plane.upcalls.routes_changed(Ipv4Addr::from_bits(network), len);
                told = Some((network, len));
            }
        }
    }
}

impl Changes {
    fn everything(&mut self) {
        (self.everything, self.any) = (true, true);
    }
}

fn read_change(
    plane: &Plane,
    changes: &mut Changes,
    links: &mut hashbrown::HashMap<u32, u32>,
    message: &Message<'_>,
) {
    match message.kind {
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
            changes.any = true;
            let len = message.payload.get(1).copied().unwrap_or(0).min(32);
            let to = message.attributes(RTMSG).find(|a| a.0 == libc::RTA_DST);
            let network = to.and_then(|a| read_address(a.1)).unwrap_or(Ipv4Addr::UNSPECIFIED);
            // Sources are never multicast; the kernel's own route for 224.0.0.0/4 is no news.
            if len == 0 || !network.is_multicast() {
                changes.prefixes.push((network.to_bits(), len));
            }
        }
        libc::RTM_NEWLINK | libc::RTM_DELLINK => read_link(plane, changes, links, message),
        libc::RTM_NEWNETCONF => {
            // A multicast interface that somebody else deleted is told this way only.
            let mut all = message.attributes(4);
            if let Some((_, value)) = all.find(|a| a.0 == NETCONFA_IFINDEX) {
                recheck(plane, read_u32(value, 0));
            }
        }
        // Each new address brings routes, which are told one by one.
        libc::RTM_NEWADDR => changes.any = true,
        libc::RTM_DELADDR
        | libc::RTM_NEWRULE
        | libc::RTM_DELRULE
        | libc::RTM_NEWNEXTHOP
        | libc::RTM_DELNEXTHOP => changes.everything(),
        _ => {}
    }
}

fn read_link(
    plane: &Plane,
    changes: &mut Changes,
    links: &mut hashbrown::HashMap<u32, u32>,
    message: &Message<'_>,
) {
    // Bridges tell of their ports in the same group; a port that leaves its bridge is not gone.
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
        // Routes through a device that stops working vanish untold.
        changes.everything();
        recheck(plane, ifindex);
    }
}

fn recheck(plane: &Plane, ifindex: u32) {
    let mut vifs = plane.vifs.write();
    if let Some(vif) = vifs.number(ifindex) {
        vifs.recheck |= 1 << vif;
    }
}
