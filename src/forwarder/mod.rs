//! Forwarding planes, which carry the packets for the group manager.
//!
//! There is one trait, [`Forwarder`], and three planes: [`memory`] (inside the process), [`kernel`]
//! (Linux's multicast forwarding) and [`custom`] (a table of the host's C functions). The core
//! knows none of them. The shell asks a forwarder for routes and counters and gives it the entries;
//! the forwarder reports new flows, wrong interfaces and changes through [`Upcalls`].
//!
//! The shell makes one change at a time, in the order of the core's decisions. It holds no lock
//! then that a reader or a client's callback could need. A forwarder never calls a client;
//! [`Upcalls`] methods do, so none of them may be called with a lock held.

pub mod custom;
pub mod kernel;
pub mod memory;
pub(crate) mod packet;

pub use crate::error::ForwarderError;
pub use crate::sys::pool::{Duty, Next, Pool, Short, Turn, calling};

use crate::core::state::record::OifRecord;
use crate::error::Error;
use crate::types::{Counters, IfKey, Route, SourceGroup};
use packet::Packet;
use smallvec::SmallVec;
use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The state that a forwarding entry is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryState<'a> {
    /// The incoming interface.
    pub iif: IfKey,
    /// The outgoing interfaces, ordered, never containing `iif`. Empty: a negative entry.
    pub oifs: &'a [IfKey],
}

/// One step of [`Forwarder::program`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryChange<'a> {
    /// The flow the entry is for.
    pub flow: SourceGroup,
    /// The state that the entry is to have; it is added or replaced in place. None: it is deleted.
    pub state: Option<EntryState<'a>>,
}

/// The call that a packet came in with, in the group manager's numbering: what the packet causes
/// belongs to that call for as long as it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bringer {
    /// The run of the group manager.
    pub epoch: u64,
    /// The job that the call works for.
    pub job: u32,
    /// Tells that job from others that had its number.
    pub serial: u32,
}

/// What happened to a packet that came in.
pub enum Received<'a> {
    /// It was forwarded or dropped.
    Done,
    /// There is no entry for it: it waits.
    NoEntry(Packet<'a>),
    /// Its entry has another iif: it was dropped.
    WrongInterface(Packet<'a>),
    /// One of these two; forwarding it is up to the plane.
    Reported(Packet<'a>),
}

/// What a device is called; None: there is no such device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceName(pub Option<[u8; libc::IFNAMSIZ]>);

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(octets) = &self.0 else { return f.write_str("no such device") };
        let name = octets.split(|octet| *octet == 0).next().unwrap_or(octets);
        // Any octets may be in it, but for a few.
        for chunk in name.utf8_chunks() {
            for c in chunk.valid().chars() {
                f.write_char(if c.is_control() { '?' } else { c })?;
            }
            if !chunk.invalid().is_empty() {
                f.write_char('?')?;
            }
        }
        Ok(())
    }
}

/// The duties of a forwarding plane.
pub type Duties = SmallVec<[Arc<dyn Duty>; 2]>;

/// A forwarding plane. Every method may be called from any thread; the shell calls
/// `add_interface`, `remove_interface` and `program` one at a time, the others at any moment.
pub trait Forwarder: Send + Sync {
    /// Gets ready, and keeps where upcalls go. Called once, before any other method.
    fn start(&self, upcalls: &'static dyn Upcalls) -> Result<(), ForwarderError>;

    /// What threads have to do for it from the start on, upcalls among it. Called after the start; the
    /// threads are the group manager's.
    fn duties(&self) -> Duties {
        Duties::new()
    }

    /// Ends upcalls but for those that are under way, removes everything from the plane, and lets
    /// threads come off its duties. Called once.
    fn stop(&self);

    /// Ends a plane whose group manager failed to start. It is like [`Self::stop`], but what was in
    /// the plane before the start stays.
    fn abandon(&self) {
        self.stop();
    }

    /// Makes an interface usable (rule C5). Doing it twice is no error.
    fn add_interface(&self, interface: IfKey) -> Result<(), ForwarderError>;

    /// The interface is in no entry any more and nobody is on it.
    fn remove_interface(&self, interface: IfKey);

    /// Brings entries to the given states, in order. `failed` is told the position and reason of
    /// each change that did not take effect; the others did.
    fn program(&self, changes: &[EntryChange<'_>], failed: &mut dyn FnMut(usize, ForwarderError));

    /// Sends the packets that waited and have an entry now, each inside [`Upcalls::on_behalf`] of the
    /// call that brought it. Called after `program`, with no lock held, because it calls the host's
    /// transmit function.
    fn flush(&self) {}

    /// The flow gets no entry for now (rule G1). Its packets that wait are dropped.
    fn refuse(&self, _flow: SourceGroup) {}

    /// Its name in the log and in the state.
    fn name(&self) -> &'static str {
        "custom"
    }

    /// Its counters other than those of entries, for administrators: names, and values since the
    /// start.
    fn own_counters(&self, _give: &mut dyn FnMut(&'static str, u64)) {}

    /// Whether an interface's index is that of a network device of this machine.
    fn has_devices(&self) -> bool {
        false
    }

    /// Whether a packet never leaves by the device that it came in by, whichever next hops are
    /// behind that device. Then no interface on the iif's device is an oif.
    fn bars_incoming_devices(&self) -> bool {
        false
    }

    /// The name of the device with this index, for the log, where interfaces are devices. Called with
    /// locks held, so it takes none.
    fn device_name(&self, _index: u32) -> Option<DeviceName> {
        None
    }

    /// Whether packets and changes reach it through the host's calls, and not by themselves.
    fn takes_packets(&self) -> bool {
        true
    }

    /// Handles a packet that the host says came in. When this returns it was forwarded, dropped, or
    /// waits for its flow's entry. The caller reports it to the core, because it can report a failure
    /// too.
    fn receive<'a>(
        &self,
        _arrival: IfKey,
        bytes: &'a [u8],
        _by: Bringer,
    ) -> Result<Received<'a>, Error> {
        if !self.takes_packets() {
            return Err(Error::OtherForwarder("the memory and custom forwarders"));
        }
        match packet::parse(bytes) {
            Ok(Ok(packet)) => Ok(Received::Reported(packet)),
            Ok(Err(_)) => Ok(Received::Done),
            Err(reason) => Err(Error::BadPacket { size: bytes.len(), reason }),
        }
    }

    /// Takes back the count of a packet on the wrong interface that could not be reported.
    fn uncount_wrong_interface(&self, _flow: SourceGroup) {}

    /// Whether entries may be there that an earlier program left and that the group manager has not been
    /// told of.
    fn takes_over(&self) -> bool {
        false
    }

    /// Gives some of these entries before their turn: those that a membership covers and that come after
    /// `after`, each with the interface that its packets come in on. Another thread may be being told of
    /// some of them at this moment. It gives none when no more are there. Each is to be answered with
    /// [`Self::claimed`].
    fn claim(
        &self,
        _of: SourceGroup,
        _after: Option<SourceGroup>,
        _each: &mut dyn FnMut(SourceGroup, IfKey),
    ) {
    }

    /// The group manager has its own entry for such a flow now, or has refused the flow.
    fn claimed(&self, _flow: SourceGroup, _taken: bool) {}

    /// Whether the plane has an entry for a flow for which none has been programmed, because an
    /// earlier program left it or the flow was refused. Its counts go on.
    fn has_entry(&self, _flow: SourceGroup) -> bool {
        false
    }

    /// What was counted for the flow's entry since it was added; None: there is no such entry.
    fn counters(&self, flow: SourceGroup) -> Option<Counters>;

    /// The plane as one that counts for each outgoing interface, if it does. Where it does not, what
    /// came in since an interface joined stands for what left through it.
    fn counts_each(&self) -> Option<&dyn CountsEach> {
        None
    }
    /// The routes toward these sources will be asked for next: a plane that finds several at once
    /// more cheaply may do so now.
    fn look_ahead(&self, _sources: &[Ipv4Addr]) {}

    /// The route toward a source. `arrival` is the interface on which its packet came in, where
    /// there was a packet. None: no route.
    fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Option<Route>;
}

/// A plane that knows what left through each outgoing interface of an entry (rule E13).
pub trait CountsEach {
    /// Writes what was counted for each of these outgoing interfaces of the flow's entry since it
    /// joined, 0 for those that the entry does not have, and gives what was counted for the entry.
    /// May be called with the group manager's lock held.
    fn count_each(&self, flow: SourceGroup, oifs: &mut [OifRecord]) -> Counters;

    /// These interfaces left the entry and joined it again since it was programmed, or are about to
    /// join it: their counts begin anew.
    fn count_anew(&self, flow: SourceGroup, joined: &[IfKey]);
}

/// What a forwarding plane reports. Must be called with no lock held, because client callbacks run
/// inside.
pub trait Upcalls: Sync {
    /// A packet for which there is no entry came in on `arrival`; `packet` is its IP header with
    /// options, at least 20 octets, and as much of its data as the plane has. The plane keeps the
    /// packet and forwards it when the entry comes.
    fn no_cache(&self, flow: SourceGroup, arrival: IfKey, packet: &[u8]);

    /// Waits a moment where clients do not keep up with new flows. For a thread that has told of one, is not
    /// inside a call and has more to tell of.
    fn keep_pace(&self) {}

    /// An earlier program left an entry for this flow, whose packets come in on `arrival`. False: the
    /// flow is refused for now.
    fn found(&self, flow: SourceGroup, arrival: IfKey) -> bool;

    /// The entry of a flow that was found no longer keeps what it was found with. It must be programmed
    /// as the core wants it.
    fn taken_over(&self, flow: SourceGroup);

    /// Passes a packet on that has waited. What this causes belongs to the call that brought the packet,
    /// which does not return before `pass` has. It takes the packet, if no other thread has.
    fn on_behalf(&self, _of: Bringer, pass: &mut dyn FnMut()) {
        pass();
    }

    /// A packet came in on `arrival`, which is not its entry's iif. `packet` is as above.
    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, packet: &[u8]);

    /// The machine sends the flow itself, by `arrival` from now on, which is not its entry's iif.
    fn source_moved(&self, flow: SourceGroup, arrival: IfKey);

    /// Routes toward sources in `network`/`prefix_len` may have changed (rules E5, E9).
    fn routes_changed(&self, network: Ipv4Addr, prefix_len: u8);

    /// The interface began to work (`up`) or stopped: packets enter and leave it, or none does.
    /// Memberships on it stay.
    fn interface_up(&self, interface: IfKey, up: bool);

    /// The plane lost its entry for this flow, with the counters, because somebody else changed or
    /// deleted it. It must be programmed again from what the core knows.
    fn entry_lost(&self, flow: SourceGroup);

    /// A line for the log, at one of the levels of `crate::log`.
    fn log(&self, level: crate::log::Level, message: std::fmt::Arguments<'_>);
}
