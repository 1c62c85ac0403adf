//! The kernel forwarder: Linux's own multicast forwarding carries the packets.
//!
//! One socket (MRT_INIT) owns a multicast routing table of the network namespace in which the
//! forwarder is started. dwIfIndex is the Linux interface index.
//!
//! | file | what it does |
//! |---|---|
//! | `entries`, `messages` | what is known of the entries; what the kernel tells of them |
//! | `mroute` | opens the socket, programs entries, reads counters |
//! | `batch` | programs many entries at once |
//! | `refused` | flows that get no entry for now |
//! | `takeover`, `left` | a restart with the socket of an earlier program |
//! | `vifs`, `numbers`, `interfaces` | which device has which number; devices that go and come |
//! | `upcall`, `report` | the kernel's reports of new flows and wrong interfaces |
//! | `igmp` | IGMP packets that the kernel reports as new flows |
//! | `own`, `sight` | flows that this machine sends itself, and by which device now |
//! | `pump` | handing on what was read, which client callbacks may block |
//! | `routes` | routes toward sources |
//! | `neighbours` | neighbours that fail, behind routes with several next hops |
//! | `notify`, `foreign` | changes of routes and devices; entries that others change |
//! | `netlink`, `sys` | messages; system calls, the only files with unsafe code |
//! | `fuzzing` | the fuzzer plays the kernel (feature `fuzzing`) |
//!
//! Locks: `entries` is held by whoever changes anything in the kernel and is taken first; `vifs`
//! and `asker` are held for moments inside. None of them is held during an upcall, the log's
//! included.

mod batch;
mod entries;
mod foreign;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod igmp;
mod interfaces;
mod left;
mod messages;
mod mroute;
mod neighbours;
mod netlink;
mod notify;
mod numbers;
mod own;
mod pump;
mod refused;
mod report;
mod routes;
mod sight;
mod takeover;
mod upcall;
mod vifs;

use super::{DeviceName, Duties, EntryChange, Forwarder, ForwarderError, Upcalls};
use crate::log::{Level, Throttle};
use crate::sys;
use crate::sys::sync::unscheduled::{Mutex, RwLock};
use crate::types::{Counters, IfKey, Route, SourceGroup};
use entries::Entries;
use mroute::Opened;
use neighbours::Neighbours;
use netlink::Asker;
use notify::{Notifications, Watcher};
use pump::{Pump, Pumping};
use routes::Routes;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use upcall::{ReportReader, Reports};
use vifs::Vifs;

/// Linux's multicast forwarding as a [`Forwarder`].
///
/// In the header of a report, source, group, options and type of service are those of the packet.
/// The kernel overwrites the rest: TTL and protocol are 0, the total length is that of the report,
/// and the checksum is corrected for these.
pub struct KernelForwarder {
    table: u32,
    socket: Option<i32>,
    plane: OnceLock<Arc<Plane>>,
}

/// What the forwarder counted since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KernelCounters {
    /// Reports that could not be read.
    pub malformed: u64,
    /// Reports of packets on a device that had been given up before they were read.
    pub unknown_arrival: u64,
    /// Reports that did not fit into the socket's receive buffer.
    pub dropped_reports: u64,
    /// Entries that somebody else changed or deleted.
    pub entries_lost: u64,
    /// How often notifications of changes were lost, so that everything was looked at again.
    pub notifications_lost: u64,
    /// Changes that netlink did not make with the others of their batch, so that the socket had to.
    pub unbatched_changes: u64,
}

/// The running plane, which the forwarder and its threads share.
struct Plane {
    /// The table's number, the default table's included.
    table: u32,
    socket: OwnedFd,
    /// Gets the IGMP packets that the kernel may take for a flow; None without CAP_NET_RAW.
    igmp: Option<OwnedFd>,
    /// Gets packets that this machine sends itself; None without CAP_NET_RAW.
    own_packets: OnceLock<OwnedFd>,
    /// Some source is this machine's own.
    own_sources: AtomicBool,
    upcalls: &'static dyn Upcalls,
    entries: Mutex<Entries>,
    /// Written only with `entries` held or, for [`Vifs::recheck`], by the netlink thread.
    vifs: RwLock<Vifs>,
    asker: Mutex<Asker>,
    routes: Mutex<Routes>,
    neighbours: Mutex<Neighbours>,
    /// The VRF whose routes count, where the table is a VRF's; otherwise 0.
    vrf: AtomicU32,
    reports: Pump<Reports>,
    /// Locked by the thread that reads reports.
    reader: Mutex<ReportReader>,
    notifications: Pump<Notifications>,
    /// Locked by the thread that reads notifications.
    watcher: Mutex<Watcher>,
    /// Notifications of routes, rules, next hops, links, addresses.
    changes: OwnedFd,
    /// Notifications of entries; read with `entries` held.
    watch: OwnedFd,
    /// Wakes the netlink thread.
    wake: OwnedFd,
    /// Readable once the plane is to end.
    stop: OwnedFd,
    counters: PlaneCounters,
    lost_entries: Throttle,
    lost_reports: Throttle,
    failed_reads: Throttle,
    failed_look_ups: Throttle,
    unwatched: Throttle,
}

/// [`KernelCounters`] while they count.
#[derive(Default)]
struct PlaneCounters {
    malformed: AtomicU64,
    unknown_arrival: AtomicU64,
    dropped_reports: AtomicU64,
    entries_lost: AtomicU64,
    notifications_lost: AtomicU64,
    unbatched_changes: AtomicU64,
}

impl KernelForwarder {
    /// A forwarder for a multicast routing table, 0 for the default one. Nothing is opened yet.
    pub const fn new(table: u32) -> Self {
        Self::with_socket(table, None)
    }

    /// The same with a raw IGMP socket that somebody else opened, where there is one. It is
    /// duplicated. If it owns the table already, the kernel's interfaces and entries are taken
    /// over.
    pub const fn with_socket(table: u32, descriptor: Option<i32>) -> Self {
        let table = if table == 0 { sys::DEFAULT_TABLE } else { table };
        Self { table, socket: descriptor, plane: OnceLock::new() }
    }

    /// What was counted so far; None before the start.
    pub fn kernel_counters(&self) -> Option<KernelCounters> {
        let counters = &self.plane.get()?.counters;
        Some(KernelCounters {
            malformed: counters.malformed.load(Relaxed),
            unknown_arrival: counters.unknown_arrival.load(Relaxed),
            dropped_reports: counters.dropped_reports.load(Relaxed),
            entries_lost: counters.entries_lost.load(Relaxed),
            notifications_lost: counters.notifications_lost.load(Relaxed),
            unbatched_changes: counters.unbatched_changes.load(Relaxed),
        })
    }
}

/// What a plane listens to and writes to.
struct Descriptors {
    socket: OwnedFd,
    igmp: Option<OwnedFd>,
    changes: OwnedFd,
    watch: OwnedFd,
    wake: OwnedFd,
    stop: OwnedFd,
}

impl Plane {
    fn open(
        table: u32,
        given: Option<i32>,
        upcalls: &'static dyn Upcalls,
    ) -> Result<Arc<Self>, ForwarderError> {
        let os = |operation| move |errno| ForwarderError::Os { operation, errno };
        let entries = Entries::new().map_err(os("opening a netlink socket"))?;
        let asker = Asker::new().map_err(os("opening a netlink socket"))?;
        let changes = notify::subscribe().map_err(os("subscribing to changes of routes"))?;
        let watch = foreign::subscribe(table)
            .map_err(os("subscribing to changes of forwarding entries"))?;
        let wake = sys::event().map_err(os("making an eventfd"))?;
        let stop = sys::event().map_err(os("making an eventfd"))?;
        // With a socket that is handed over no capability is needed.
        let if_permitted = |opened| match opened {
            Err(libc::EPERM) => Ok(None),
            opened => opened.map(Some),
        };
        let igmp = if_permitted(igmp::open()).map_err(os("opening a raw IGMP socket"))?;
        // This is the last step, so that a start that fails leaves the table without an owner. A
        // socket that was handed over would stay the owner.
        let Opened { socket, owned, reports_all } =
            mroute::open(table, given, &entries.batch_socket)?;
        sys::enlarge_buffer(&socket, upcall::BURST_BUFFER);
        let dropped = sys::dropped(&socket).unwrap_or(0);
        let descriptors = Descriptors { socket, igmp, changes, watch, wake, stop };
        let plane = Arc::new(Self::over(table, descriptors, upcalls, (entries, asker), dropped));
        if !reports_all {
            plane.upcalls.log(
                Level::Warn,
                format_args!(
                    "the kernel was built without PIM: packets on a wrong interface that is no \
                     outgoing one of their flow vanish unreported"
                ),
            );
        }
        if plane.igmp.is_none() {
            plane.upcalls.log(
                Level::Warn,
                format_args!(
                    "without CAP_NET_RAW an IGMP packet to a group that this machine has joined \
                     itself is taken for a new flow, and a flow that it sends itself is not \
                     followed to another device"
                ),
            );
        }
        if owned {
            plane.find_left()?;
        }
        Ok(plane)
    }

    /// A plane over these descriptors, which has no interfaces and no entries. `dropped`: so many reports
    /// found the socket's buffer full before.
    fn over(
        table: u32,
        Descriptors { socket, igmp, changes, watch, wake, stop }: Descriptors,
        upcalls: &'static dyn Upcalls,
        (entries, asker): (Entries, Asker),
        dropped: u32,
    ) -> Self {
        Self {
            table,
            socket,
            igmp,
            own_packets: OnceLock::new(),
            own_sources: AtomicBool::new(false),
            upcalls,
            entries: Mutex::new(entries),
            vifs: RwLock::new(Vifs::default()),
            asker: Mutex::new(asker),
            routes: Mutex::new(Routes::default()),
            neighbours: Mutex::new(Neighbours::default()),
            vrf: AtomicU32::new(0),
            reports: Pump::new(),
            reader: Mutex::new(ReportReader::new(dropped)),
            notifications: Pump::new(),
            watcher: Mutex::new(Watcher::new()),
            changes,
            watch,
            wake,
            stop,
            counters: PlaneCounters::default(),
            lost_entries: Throttle::new(),
            lost_reports: Throttle::new(),
            failed_reads: Throttle::new(),
            failed_look_ups: Throttle::new(),
            unwatched: Throttle::new(),
        }
    }

    /// Ends everything. `keep`: what is being taken over stays for the next program.
    fn stop(&self, keep: bool) {
        let mut entries = self.entries.lock();
        if entries.stopped {
            return;
        }
        let done = if keep && entries.takeover.is_under_way() {
            self.end_all_refused(&mut entries);
            Ok(())
        } else {
            // The option would outlive us and count for the next multicast router of the table.
            let _ = sys::mrt_pim(&self.socket, false);
            // Closing the socket is not enough, because a child of the host's may hold a copy of
            // it.
            sys::mrt_done(&self.socket)
        };
        entries.stopped = true;
        drop(entries);
        if let Err(e) = done {
            self.upcalls.log(Level::Error, format_args!("MRT_DONE failed: errno {e}"));
        }
        // Before they are woken: threads that had not been told would find nothing more to wait for,
        // and keep a processor busy.
        Pump::<Reports>::end(self);
        Pump::<Notifications>::end(self);
        sys::signal(&self.stop);
    }
}

impl Forwarder for KernelForwarder {
    fn start(&self, upcalls: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        let plane = Plane::open(self.table, self.socket, upcalls)?;
        // Its threads allocate. A router is no heavy user of malloc.
        sys::share_one_arena();
        if self.plane.set(Arc::clone(&plane)).is_err() {
            plane.stop(true);
            return Err(ForwarderError::Refused("the forwarder was started before"));
        }
        Ok(())
    }

    fn duties(&self) -> Duties {
        let mut duties = Duties::new();
        if let Some(plane) = self.plane.get() {
            duties.extend([Pumping::<Notifications>::of(plane), Pumping::<Reports>::of(plane)]);
        }
        duties
    }

    fn stop(&self) {
        if let Some(plane) = self.plane.get() {
            plane.stop(false);
        }
    }

    fn abandon(&self) {
        if let Some(plane) = self.plane.get() {
            plane.stop(true);
        }
    }

    fn add_interface(&self, interface: IfKey) -> Result<(), ForwarderError> {
        self.plane.get().ok_or(NOT_STARTED)?.add_interface(interface)
    }

    fn remove_interface(&self, interface: IfKey) {
        if let Some(plane) = self.plane.get() {
            plane.remove_interface(interface);
        }
    }

    fn program(&self, changes: &[EntryChange<'_>], failed: &mut dyn FnMut(usize, ForwarderError)) {
        match self.plane.get() {
            Some(plane) => plane.program(changes, failed),
            None => (0..changes.len()).for_each(|position| failed(position, NOT_STARTED)),
        }
    }

    fn name(&self) -> &'static str {
        "kernel"
    }

    fn own_counters(&self, give: &mut dyn FnMut(&'static str, u64)) {
        let counted = self.kernel_counters().unwrap_or_default();
        give("malformed_reports", counted.malformed);
        give("unknown_arrivals", counted.unknown_arrival);
        give("dropped_reports", counted.dropped_reports);
        give("entries_lost", counted.entries_lost);
        give("notifications_lost", counted.notifications_lost);
        give("unbatched_changes", counted.unbatched_changes);
    }

    fn device_name(&self, index: u32) -> Option<DeviceName> {
        Some(DeviceName(sys::device_name(&self.plane.get()?.socket, index)))
    }

    fn refuse(&self, flow: SourceGroup) {
        if let Some(plane) = self.plane.get() {
            plane.refuse(flow);
        }
    }

    fn takes_packets(&self) -> bool {
        false
    }

    fn has_devices(&self) -> bool {
        true
    }

    fn bars_incoming_devices(&self) -> bool {
        true
    }

    fn takes_over(&self) -> bool {
        self.plane.get().is_some_and(|plane| plane.entries.lock().takeover.is_under_way())
    }

    fn claim(
        &self,
        of: SourceGroup,
        after: Option<SourceGroup>,
        each: &mut dyn FnMut(SourceGroup, IfKey),
    ) {
        if let Some(plane) = self.plane.get() {
            plane.claim(of, after, each);
        }
    }

    fn claimed(&self, flow: SourceGroup, taken: bool) {
        if let Some(plane) = self.plane.get() {
            plane.claimed(flow, taken);
        }
    }

    fn has_entry(&self, flow: SourceGroup) -> bool {
        self.plane.get().is_some_and(|plane| plane.entries.lock().programmed.contains_key(&flow))
    }

    fn counters(&self, flow: SourceGroup) -> Option<Counters> {
        self.plane.get()?.counters(flow)
    }

    fn look_ahead(&self, sources: &[Ipv4Addr]) {
        if let Some(plane) = self.plane.get() {
            plane.find_many(sources);
        }
    }

    fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Option<Route> {
        self.plane.get()?.route(source, arrival)
    }
}

const NOT_STARTED: ForwarderError = ForwarderError::Refused("the forwarder has not been started");

impl Drop for KernelForwarder {
    fn drop(&mut self) {
        // The threads on its duties would otherwise keep everything alive.
        self.stop();
    }
}
