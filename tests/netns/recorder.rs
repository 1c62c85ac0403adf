//! A kernel forwarder under test, and a record of all that it reports.

use crate::netns::{Cable, DEADLINE, udp, wait_for};
use mgm::forwarder::kernel::KernelForwarder;
use mgm::forwarder::{EntryChange, EntryState, Forwarder, ForwarderError, Pool, Upcalls, calling};
use mgm::log::Level;
use mgm::types::{IfKey, PATIENCE, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// One upcall.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    NoCache { flow: SourceGroup, arrival: IfKey, header: Vec<u8> },
    Found { flow: SourceGroup, arrival: IfKey },
    TakenOver(SourceGroup),
    WrongInterface { flow: SourceGroup, arrival: IfKey, header: Vec<u8> },
    Moved(SourceGroup, IfKey),
    Routes(Ipv4Addr, u8),
    Up(IfKey, bool),
    Lost(SourceGroup),
    Log(Level, String),
}

/// Short enough for a list of hundreds.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoCache { flow, arrival, .. } => write!(f, "new {flow} on {arrival}"),
            Self::Found { flow, arrival } => write!(f, "found {flow} on {arrival}"),
            Self::TakenOver(flow) => write!(f, "taken over {flow}"),
            Self::WrongInterface { flow, arrival, .. } => write!(f, "wrong {flow} on {arrival}"),
            Self::Moved(flow, arrival) => write!(f, "moved {flow} to {arrival}"),
            Self::Routes(network, len) => write!(f, "routes {network}/{len}"),
            Self::Up(interface, up) => write!(f, "{interface} up {up}"),
            Self::Lost(flow) => write!(f, "lost {flow}"),
            Self::Log(level, text) => write!(f, "{}: {text}", level.name()),
        }
    }
}

type Hook = Arc<dyn Fn(&Event) + Send + Sync>;

/// Records upcalls and may answer them.
#[derive(Default)]
pub struct Recorder {
    events: Mutex<Vec<Event>>,
    hook: Mutex<Option<Hook>>,
    /// How often a thread would have waited for clients.
    paced: AtomicUsize,
}

impl Recorder {
    fn add(&self, event: Event) {
        let hook = self.hook.lock().unwrap().clone();
        self.events.lock().unwrap().push(event.clone());
        if let Some(hook) = hook {
            hook(&event);
        }
    }

    /// Runs `hook` inside every upcall, after it has been recorded.
    pub fn on_event(&self, hook: impl Fn(&Event) + Send + Sync + 'static) {
        *self.hook.lock().unwrap() = Some(Arc::new(hook));
    }

    /// The same, as a client's callback: another thread goes on beside it while it takes long.
    pub fn on_event_slowly(&self, hook: impl Fn(&Event) + Send + Sync + 'static) {
        self.on_event(move |event| calling(|short| panic!("{short}"), || hook(event)));
    }

    /// How often the thread that reports would have waited for clients.
    pub fn paced(&self) -> usize {
        self.paced.load(SeqCst)
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// How many events are like this.
    pub fn count(&self, like: impl Fn(&Event) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|e| like(e)).count()
    }

    /// Forgets what was recorded.
    pub fn clear(&self) {
        self.events.lock().unwrap().clear();
    }

    /// Waits for an event like this and gives the first.
    pub fn wait(&self, what: &str, like: impl Fn(&Event) -> bool) -> Event {
        let find = || self.events.lock().unwrap().iter().find(|e| like(e)).cloned();
        let end = std::time::Instant::now() + DEADLINE;
        while std::time::Instant::now() < end {
            if let Some(event) = find() {
                return event;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        panic!("waited in vain for {what}; there came {:?}", self.all());
    }

    /// Waits for the report of a new flow.
    pub fn wait_no_cache(&self, flow: SourceGroup) -> Event {
        let like = |e: &Event| matches!(e, Event::NoCache { flow: f, .. } if *f == flow);
        self.wait(&format!("a report of {flow}"), like)
    }
}

impl Upcalls for Recorder {
    fn no_cache(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        self.add(Event::NoCache { flow, arrival, header: header.to_vec() });
    }

    fn keep_pace(&self) {
        self.paced.fetch_add(1, SeqCst);
    }

    fn found(&self, flow: SourceGroup, arrival: IfKey) -> bool {
        self.add(Event::Found { flow, arrival });
        true
    }

    fn taken_over(&self, flow: SourceGroup) {
        self.add(Event::TakenOver(flow));
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        self.add(Event::WrongInterface { flow, arrival, header: header.to_vec() });
    }

    fn source_moved(&self, flow: SourceGroup, arrival: IfKey) {
        self.add(Event::Moved(flow, arrival));
    }

    fn routes_changed(&self, network: Ipv4Addr, prefix_len: u8) {
        self.add(Event::Routes(network, prefix_len));
    }

    fn interface_up(&self, interface: IfKey, up: bool) {
        self.add(Event::Up(interface, up));
    }

    fn entry_lost(&self, flow: SourceGroup) {
        self.add(Event::Lost(flow));
    }

    fn log(&self, level: Level, message: std::fmt::Arguments<'_>) {
        self.add(Event::Log(level, message.to_string()));
    }
}

/// A forwarder that runs, and the threads that it needs.
pub struct Router {
    pub forwarder: &'static KernelForwarder,
    pub threads: &'static Pool,
    pub seen: &'static Recorder,
}

impl Router {
    /// Starts one on a table, 0 for the default one.
    pub fn start(table: u32) -> Self {
        Self::try_start(table).unwrap()
    }

    /// Tries to.
    pub fn try_start(table: u32) -> Result<Self, ForwarderError> {
        Self::try_with(KernelForwarder::new(table))
    }

    /// Tries to start one with a socket of the default table that was handed over.
    pub fn try_with_socket(descriptor: i32) -> Result<Self, ForwarderError> {
        Self::try_with(KernelForwarder::with_socket(0, Some(descriptor)))
    }

    fn try_with(forwarder: KernelForwarder) -> Result<Self, ForwarderError> {
        let seen: &'static Recorder = Box::leak(Box::default());
        let forwarder: &'static KernelForwarder = Box::leak(Box::new(forwarder));
        forwarder.start(seen)?;
        Ok(Self { forwarder, threads: start_threads(forwarder)?, seen })
    }

    /// Ends it. False: a thread does not return.
    pub fn stop(&self) -> bool {
        self.forwarder.stop();
        self.threads.end(PATIENCE)
    }

    /// Takes the devices.
    pub fn take(&self, cables: &[&Cable]) {
        for cable in cables {
            self.forwarder.add_interface(cable.key()).unwrap();
        }
    }

    /// Programs one entry; it must succeed.
    pub fn program(&self, flow: SourceGroup, iif: &Cable, oifs: &[&Cable]) {
        let oifs: Vec<IfKey> = oifs.iter().map(|cable| cable.key()).collect();
        program(self.forwarder, flow, Some((iif.key(), &oifs)));
    }

    /// Deletes one entry.
    pub fn delete(&self, flow: SourceGroup) {
        program(self.forwarder, flow, None);
    }
}

/// Starts the threads that a forwarder needs; it ends where there are none to be had.
pub fn start_threads(forwarder: &dyn Forwarder) -> Result<&'static Pool, ForwarderError> {
    let threads: &'static Pool = Box::leak(Box::new(Pool::new()));
    if let Err(errno) = threads.start(&forwarder.duties()) {
        forwarder.abandon();
        return Err(ForwarderError::Os { operation: "starting a thread", errno });
    }
    threads.go();
    Ok(threads)
}

/// Programs one entry; it must succeed.
pub fn program(forwarder: &dyn Forwarder, flow: SourceGroup, state: Option<(IfKey, &[IfKey])>) {
    let state = state.map(|(iif, oifs)| EntryState { iif, oifs });
    forwarder.program(&[EntryChange { flow, state }], &mut |_, e| panic!("{flow}: {e}"));
}

/// (10.1.0.`host`, 232.1.x.y) with x.y from `n`.
pub fn flow(host: u8, n: u16) -> SourceGroup {
    let [x, y] = n.to_be_bytes();
    SourceGroup::new(Ipv4Addr::new(10, 1, 0, host), Ipv4Addr::new(232, 1, x, y))
}

/// Sends a packet of a flow into a cable.
pub fn send(cable: &Cable, flow: SourceGroup, data: &[u8]) {
    cable.send(&udp(flow.source(), flow.group(), data));
}

/// Sends packets of a flow until one arrives at the other cable; what arrives late of flows before it
/// does not count.
pub fn send_until_received(from: &Cable, flow: SourceGroup, to: &Cable) {
    let addresses = [flow.source().octets(), flow.group().octets()].concat();
    wait_for(&format!("{flow} to flow from {} to {}", from.name, to.name), || {
        send(from, flow, b"again");
        std::iter::from_fn(|| to.receive()).find(|packet| packet[12..20] == addresses)
    });
}
