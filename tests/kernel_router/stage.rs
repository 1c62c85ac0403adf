//! A group manager on the kernel forwarder, with clients that record what they are told.

use crate::apart::{self, Host};
use crate::netns::{Cable, DEADLINE, run, wait_for};
use mgm::error::Error;
use mgm::log::Level;
use mgm::shell::callbacks::{Callbacks, OutInterface, RpfAnswer};
use mgm::shell::group_manager::GroupManager;
use mgm::shell::manager::Mgm;
use mgm::shell::settings::{ForwarderChoice, LogSink, Settings};
use mgm::types::{ClientId, Counters, IfKey, MembershipFlags, Millis, Route, Seconds, SourceGroup};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// One callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Rpf(SourceGroup),
    /// The RPF callback for a flow without a route or an owner (rule E5): where it came in, and its
    /// upstream neighbour.
    Routeless(SourceGroup, IfKey, Ipv4Addr),
    Creation(SourceGroup),
    Prune {
        of: SourceGroup,
        member: bool,
    },
    Join {
        of: SourceGroup,
        member: bool,
    },
    WrongIf(SourceGroup, IfKey),
}

type Hook = Arc<dyn Fn(&Told) + Send + Sync>;

/// A routing protocol that records its callbacks and may do something inside of them.
#[derive(Clone, Default)]
pub struct Protocol(Arc<Inner>);

#[derive(Default)]
struct Inner {
    told: Mutex<Vec<Told>>,
    unrecorded: AtomicBool,
    routeless: bool,
    hook: Mutex<Option<Hook>>,
}

impl Protocol {
    /// One with MGM_ROUTELESS_FLOWS.
    fn routeless() -> Self {
        Self(Arc::new(Inner { routeless: true, ..Inner::default() }))
    }

    /// Runs `hook` inside every callback, after it has been recorded.
    pub fn on_call(&self, hook: impl Fn(&Told) + Send + Sync + 'static) {
        *self.0.hook.lock().unwrap() = Some(Arc::new(hook));
    }

    /// Keeps no record from now on: of a flood it would take much memory.
    pub fn stop_recording(&self) {
        self.0.unrecorded.store(true, SeqCst);
    }

    /// How many callbacks are like this.
    pub fn count(&self, like: impl Fn(&Told) -> bool) -> usize {
        self.0.told.lock().unwrap().iter().filter(|told| like(told)).count()
    }

    /// Forgets what was recorded.
    pub fn clear(&self) {
        self.0.told.lock().unwrap().clear();
    }

    fn tell(&self, told: Told) {
        let hook = self.0.hook.lock().unwrap().clone();
        if !self.0.unrecorded.load(SeqCst) {
            self.0.told.lock().unwrap().push(told.clone());
        }
        if let Some(hook) = hook {
            hook(&told);
        }
    }
}

impl Callbacks for Protocol {
    fn has_local_join(&self) -> bool {
        true
    }
    fn takes_routeless(&self) -> bool {
        self.0.routeless
    }
    fn rpf(&self, flow: SourceGroup, asked: &mut RpfAnswer, header: &[u8], route: Option<&Route>) {
        assert!(header.len() >= 20);
        self.tell(match route {
            Some(_) => Told::Rpf(flow),
            None => Told::Routeless(flow, asked.iif, asked.upstream),
        });
    }
    fn creation(&self, flow: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        self.tell(Told::Creation(flow));
        Ok(())
    }
    fn prune(&self, of: SourceGroup, _: IfKey, member: bool, _: &mut Seconds) {
        self.tell(Told::Prune { of, member });
    }
    fn join(&self, of: SourceGroup, member: bool) {
        self.tell(Told::Join { of, member });
    }
    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, _: &[u8]) {
        self.tell(Told::WrongIf(flow, arrival));
    }
    fn local_join(&self, _: SourceGroup, _: IfKey) {}
    fn local_leave(&self, _: SourceGroup, _: IfKey) {}
    fn disable_igmp(&self, _: IfKey) {}
    fn enable_igmp(&self, _: IfKey) {}
}

/// An entry as the library shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub flow: SourceGroup,
    pub iif: IfKey,
    pub oifs: Vec<IfKey>,
    pub out_packets: Vec<u32>,
    pub counters: Counters,
    pub resolved: bool,
    pub upstream: Ipv4Addr,
    pub route: (u32, Ipv4Addr, u8),
}

/// A router: a group manager with one protocol that owns what it takes.
pub struct Router {
    pub mgm: &'static dyn GroupManager<Protocol>,
    /// The same, where it is not another process.
    own: Option<&'static Mgm<Protocol>>,
    _host: Option<Host>,
    pub protocol: Protocol,
    pub id: ClientId,
    log: Arc<Mutex<Vec<(Level, String)>>>,
}

/// JOIN.
pub const JOIN: MembershipFlags = MembershipFlags::JOIN;

/// A clock of the test's own, in milliseconds.
pub static CLOCK: AtomicU64 = AtomicU64::new(1_000_000);

impl Router {
    /// On the default table.
    pub fn start() -> Self {
        if apart::wanted() { Self::apart() } else { Self::with(|_| ()) }
    }

    /// On the default table of a host in another process.
    fn apart() -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let host = Host::start(&log);
        let mgm = host.client();
        let protocol = Protocol::default();
        let id = GroupManager::register(mgm, protocol.clone(), (100, 1)).unwrap();
        Self { mgm, own: None, _host: Some(host), protocol, id, log }
    }

    /// MgmHostStop.
    pub fn stop(&self) {
        self.own.expect("a host of this process").stop().unwrap();
    }

    /// With other settings.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let mut settings = Settings {
            forwarder: ForwarderChoice::Kernel { table: 0 },
            log_level: Level::Info,
            log: LogSink::Host(Arc::new(move |level, line| {
                lines.lock().unwrap().push((level, line.as_str().to_owned()));
            })),
            ..Settings::default()
        };
        change(&mut settings);
        let mgm: &'static Mgm<Protocol> = Box::leak(Box::new(Mgm::new()));
        mgm.start(settings).unwrap();
        let protocol = Protocol::default();
        let id = mgm.register(protocol.clone(), 100, 1).unwrap();
        Self { mgm, own: Some(mgm), _host: None, protocol, id, log }
    }

    /// With a clock that stands until [`Self::pass`].
    pub fn with_clock() -> Self {
        Self::with(|settings| {
            settings.clock = Some(Arc::new(|| Millis(CLOCK.load(SeqCst))));
        })
    }

    /// Time passes, and what is due is done.
    pub fn pass(&self, seconds: u64) {
        CLOCK.fetch_add(seconds * 1000, SeqCst);
        // Refused on this forwarder, but a call of the host's.
        let own = self.own.expect("a host of this process");
        assert!(own.routes_changed(Ipv4Addr::UNSPECIFIED, 0).is_err());
    }

    /// Another protocol on the same manager.
    pub fn another(&self, number: u32) -> (Protocol, ClientId) {
        let protocol = Protocol::default();
        let id = self.mgm.register(protocol.clone(), (number, 1)).unwrap();
        (protocol, id)
    }

    /// The same with MGM_ROUTELESS_FLOWS.
    pub fn another_routeless(&self, number: u32) -> (Protocol, ClientId) {
        let protocol = Protocol::routeless();
        let id = self.mgm.register(protocol.clone(), (number, 1)).unwrap();
        (protocol, id)
    }

    pub fn take(&self, cables: &[&Cable]) {
        for cable in cables {
            self.mgm.take_interface(self.id, cable.key()).unwrap();
        }
    }

    pub fn join(&self, of: SourceGroup, on: IfKey) {
        self.mgm.add_membership(self.id, of, on, JOIN).unwrap();
    }

    pub fn leave(&self, of: SourceGroup, on: IfKey) {
        self.mgm.delete_membership(self.id, of, on, JOIN).unwrap();
    }

    /// The entry of a flow, with its counters.
    pub fn entry(&self, flow: SourceGroup) -> Option<Entry> {
        let mut found = None;
        let _ = self.mgm.read_mfe(flow, true, &mut |record| found = Some(read(record)));
        found
    }

    /// All entries, with their counters.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        self.mgm
            .read_mfes(None, true, usize::MAX, &mut |_| true, &mut |record| {
                all.push(read(record));
                ControlFlow::Continue(())
            })
            .unwrap();
        all
    }

    /// Waits until the flow's entry has this iif and these oifs, in the library and the kernel.
    pub fn wait_entry(&self, flow: SourceGroup, iif: IfKey, oifs: &[IfKey]) -> Entry {
        let end = Instant::now() + DEADLINE;
        loop {
            let entry = self.entry(flow);
            let right = entry.as_ref().is_some_and(|e| e.iif == iif && e.oifs == oifs);
            let kernel = kernel_entries();
            let there = kernel.iter().find(|k| k.flow == flow);
            if right && there.is_some_and(|k| k.is(iif, oifs)) {
                return entry.unwrap();
            }
            assert!(
                Instant::now() < end,
                "{flow} should come from {iif} and go to {oifs:?}; it is {entry:?}, in the kernel \
                 {there:?}; log: {:#?}",
                self.lines()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until there is no entry for the flow, in the library and the kernel.
    pub fn wait_gone(&self, flow: SourceGroup) {
        wait_for(&format!("{flow} to go"), || {
            let kernel = kernel_entries().iter().any(|k| k.flow == flow);
            (self.entry(flow).is_none() && !kernel).then_some(())
        });
    }

    /// The library's entries and the kernel's are the same, counters included. Waits for it, for
    /// things may be on their way.
    pub fn agrees_with_kernel(&self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let (ours, kernel) = (self.entries(), kernel_entries());
            let by_flow: HashMap<_, _> = kernel.iter().map(|k| (k.flow, k)).collect();
            let same = ours.len() == kernel.len()
                && ours.iter().all(|e| {
                    by_flow.get(&e.flow).is_some_and(|k| {
                        k.is(e.iif, &e.oifs)
                            && k.packets == e.counters.packets + e.counters.wrong_interface
                    })
                });
            if same {
                return;
            }
            assert!(Instant::now() < end, "ours {ours:#?}\nthe kernel's {kernel:#?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// How many entries there are at one moment; a walk may see more while they come and go.
    pub fn total_entries(&self) -> usize {
        self.counted("mfes")
    }

    /// A counter of the state.
    pub fn counted(&self, name: &str) -> usize {
        let mut head = Head(Vec::new());
        // The list of entries, which comes last, would run after the flood.
        let _ = self.mgm.write_state(&mut head);
        let text = String::from_utf8(head.0).unwrap();
        let (_, after) = text.split_once(&format!("\"{name}\":")).unwrap();
        after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    }

    pub fn lines(&self) -> Vec<(Level, String)> {
        self.log.lock().unwrap().clone()
    }

    /// Whether a line of the log says this.
    pub fn logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|(_, line)| line.contains(text))
    }
}

impl Drop for Router {
    /// Whatever the test provoked, the log says who and which device.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (_, line) in self.lines() {
            assert!(!line.contains("slot"), "a client by its slot: {line}");
            for after in line.split("interface ").skip(1) {
                let name = after.trim_start_matches(|c: char| c.is_ascii_digit());
                let is_index = name.len() < after.len();
                assert!(!is_index || name.starts_with(" ("), "no device named: {line}");
            }
        }
    }
}

/// Keeps the beginning of what is written and refuses the rest.
struct Head(Vec<u8>);

impl std::io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() > 2000 {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn read(record: &mgm::core::state::record::MfeRecord<'_>) -> Entry {
    Entry {
        flow: record.flow,
        iif: record.iif,
        oifs: record.oifs.iter().map(|oif| oif.interface).collect(),
        out_packets: record.oifs.iter().map(|oif| oif.packets).collect(),
        counters: record.counters,
        resolved: record.resolved,
        upstream: record.upstream,
        route: (record.route_protocol, record.route_network, record.route_prefix_len),
    }
}

/// An entry as `ip -s mroute` shows it.
#[derive(Clone, Debug)]
pub struct KernelEntry {
    pub flow: SourceGroup,
    pub iif: Option<String>,
    /// Names, sorted.
    pub oifs: Vec<String>,
    /// Those on a wrong interface included.
    pub packets: u32,
}

impl KernelEntry {
    /// Whether it is this. Two next hops on one device are one there.
    pub fn is(&self, iif: IfKey, oifs: &[IfKey]) -> bool {
        let mut names: Vec<String> = oifs.iter().filter_map(|oif| name_of(oif.index)).collect();
        names.sort();
        names.dedup();
        self.oifs == names && (self.iif.is_none() || self.iif == name_of(iif.index))
    }
}

fn name_of(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the name has room for what the function writes.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    let bytes = name.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8(bytes).ok()
}

/// The resolved entries of the default table.
pub fn kernel_entries() -> Vec<KernelEntry> {
    let text = run("ip -s mroute show table default");
    let mut entries: Vec<KernelEntry> = Vec::new();
    let mut resolved = false;
    for line in text.lines() {
        if let Some(entry) = line.strip_prefix('(') {
            let (flow, rest) = entry.split_once(')').unwrap();
            let (source, group) = flow.split_once(',').unwrap();
            let flow = SourceGroup::new(source.parse().unwrap(), group.parse().unwrap());
            let words: Vec<&str> = rest.split_whitespace().collect();
            let after =
                |word: &str| words.iter().position(|w| *w == word).map(|at| &words[at + 1..]);
            let iif = after("Iif:").map(|w| w[0]).filter(|w| *w != "unresolved");
            let names = after("Oifs:").unwrap_or(&[]).iter().take_while(|w| **w != "State:");
            // With a TTL threshold other than 1 it would show as "name(ttl N)".
            let mut oifs: Vec<String> = names.map(|w| (*w).to_owned()).collect();
            oifs.sort();
            resolved = !line.contains("State: unresolved");
            if resolved {
                entries.push(KernelEntry { flow, iif: iif.map(str::to_owned), oifs, packets: 0 });
            }
        } else if resolved && line.contains(" packets,") {
            entries.last_mut().unwrap().packets =
                line.split_whitespace().next().unwrap().parse().unwrap();
        }
    }
    entries
}

/// Three devices: a toward 10.1/24, b toward 10.2/24, c toward 10.3/24.
pub fn three_cables() -> [Cable; 3] {
    [
        Cable::new("a", Some("10.1.0.1/24")),
        Cable::new("b", Some("10.2.0.1/24")),
        Cable::new("c", Some("10.3.0.1/24")),
    ]
}

/// (*,G) of a flow.
pub fn any(flow: SourceGroup) -> SourceGroup {
    flow.any_source()
}

/// Resident memory in KiB.
pub fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sets a flag in the end, also when the test fails: threads that wait for it end.
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
