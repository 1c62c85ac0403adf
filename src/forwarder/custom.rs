//! A forwarding plane of the host's own, behind mgm_host.h's table of functions.
//!
//! The calls into C, which are unsafe, are in `ffi/forwarder.rs`; this file turns codes into
//! reasons. Some of the functions run under the lock that keeps them in order, so inside any of
//! them a program may only read: `ffi/guard.rs` refuses the other calls.

#![forbid(unsafe_code)]

use super::{EntryChange, EntryState, Forwarder, ForwarderError, Upcalls};
use crate::error::code;
use crate::log::Level;
use crate::types::{Counters, IfKey, Route, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::OnceLock;

/// The host's functions. Those that can fail give a Win32 code.
pub trait HostPlane: Send + Sync {
    /// pfnAddInterface.
    fn add_interface(&self, interface: IfKey) -> u32;
    /// pfnRemoveInterface.
    fn remove_interface(&self, interface: IfKey);
    /// pfnSetMfe.
    fn set_mfe(&self, flow: SourceGroup, state: EntryState<'_>) -> u32;
    /// pfnDeleteMfe.
    fn delete_mfe(&self, flow: SourceGroup) -> u32;
    /// pfnGetMfeCounters.
    fn counters(&self, flow: SourceGroup) -> Result<Counters, u32>;
    /// pfnRoute. Err with ERROR_NOT_FOUND: there is no route.
    fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Result<Route, u32>;
    /// pfnStop, when all other functions have returned and none is called any more. False: one has
    /// not returned.
    fn stop(&self) -> bool;
}

/// [`Forwarder`] over a host's functions.
pub struct Custom<P> {
    plane: P,
    upcalls: OnceLock<&'static dyn Upcalls>,
}

impl<P: HostPlane> Custom<P> {
    /// A forwarder that calls `plane`.
    pub const fn new(plane: P) -> Self {
        Self { plane, upcalls: OnceLock::new() }
    }

    fn log(&self, level: Level, message: std::fmt::Arguments<'_>) {
        if let Some(upcalls) = self.upcalls.get() {
            upcalls.log(level, message);
        }
    }
}

/// A function's code as a result.
fn checked(given: u32) -> Result<(), ForwarderError> {
    match given {
        code::NO_ERROR => Ok(()),
        code::ERROR_NOT_ENOUGH_MEMORY => Err(ForwarderError::OutOfMemory),
        other => Err(ForwarderError::Host(other)),
    }
}

impl<P: HostPlane> Forwarder for Custom<P> {
    fn start(&self, upcalls: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        let again = ForwarderError::Refused("the forwarder was started already");
        self.upcalls.set(upcalls).map_err(|_| again)
    }

    fn stop(&self) {
        if !self.plane.stop() {
            self.log(
                Level::Error,
                format_args!("a function of the host's plane does not return; stopping it"),
            );
        }
    }

    fn add_interface(&self, interface: IfKey) -> Result<(), ForwarderError> {
        checked(self.plane.add_interface(interface))
    }

    fn remove_interface(&self, interface: IfKey) {
        self.plane.remove_interface(interface);
    }

    fn program(&self, changes: &[EntryChange<'_>], failed: &mut dyn FnMut(usize, ForwarderError)) {
        for (position, change) in changes.iter().enumerate() {
            let given = match change.state {
                Some(state) => self.plane.set_mfe(change.flow, state),
                // An entry that is not there counts as deleted.
                None => match self.plane.delete_mfe(change.flow) {
                    code::ERROR_NOT_FOUND => code::NO_ERROR,
                    given => given,
                },
            };
            if let Err(error) = checked(given) {
                failed(position, error);
            }
        }
    }

    fn counters(&self, flow: SourceGroup) -> Option<Counters> {
        match self.plane.counters(flow) {
            Ok(counters) => Some(counters),
            Err(code::ERROR_NOT_FOUND) => None,
            Err(other) => {
                self.log(
                    Level::Warn,
                    format_args!("the host gave code {other} for the counters of {flow}"),
                );
                None
            }
        }
    }

    fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Option<Route> {
        match self.plane.route(source, arrival) {
            Ok(route) => Some(route),
            Err(code::ERROR_NOT_FOUND) => None,
            Err(other) => {
                self.log(
                    Level::Warn,
                    format_args!("the host gave code {other} for the route to {source}"),
                );
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Fake {
        answer: u32,
        calls: Mutex<Vec<String>>,
    }

    impl Fake {
        fn note(&self, call: String) -> u32 {
            self.calls.lock().unwrap().push(call);
            self.answer
        }
    }

    impl HostPlane for Fake {
        fn add_interface(&self, interface: IfKey) -> u32 {
            self.note(format!("add {interface}"))
        }
        fn remove_interface(&self, interface: IfKey) {
            self.note(format!("remove {interface}"));
        }
        fn set_mfe(&self, flow: SourceGroup, state: EntryState<'_>) -> u32 {
            self.note(format!("set {flow} {:?}", state.oifs))
        }
        fn delete_mfe(&self, flow: SourceGroup) -> u32 {
            self.note(format!("delete {flow}"))
        }
        fn counters(&self, _: SourceGroup) -> Result<Counters, u32> {
            Err(self.answer)
        }
        fn route(&self, _: Ipv4Addr, _: Option<IfKey>) -> Result<Route, u32> {
            Err(self.answer)
        }
        fn stop(&self) -> bool {
            self.note("stop".to_owned()) == code::NO_ERROR
        }
    }

    const FLOW: SourceGroup =
        SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(239, 0, 0, 1));
    const IIF: IfKey = IfKey::new(1, Ipv4Addr::UNSPECIFIED);

    fn failures(answer: u32) -> (Vec<(usize, ForwarderError)>, Vec<String>) {
        let custom = Custom::new(Fake { answer, ..Fake::default() });
        let failed = RefCell::new(Vec::new());
        let changes = [
            EntryChange { flow: FLOW, state: Some(EntryState { iif: IIF, oifs: &[] }) },
            EntryChange { flow: FLOW, state: None },
        ];
        custom.program(&changes, &mut |at, error| failed.borrow_mut().push((at, error)));
        (failed.into_inner(), custom.plane.calls.into_inner().unwrap())
    }

    #[test]
    fn each_change_is_made_and_each_failure_told() {
        let (failed, calls) = failures(code::NO_ERROR);
        assert_eq!(failed, []);
        assert_eq!(calls, ["set (10.0.0.1,239.0.0.1) []", "delete (10.0.0.1,239.0.0.1)"]);
        let (failed, calls) = failures(5);
        assert_eq!(failed, [(0, ForwarderError::Host(5)), (1, ForwarderError::Host(5))]);
        assert_eq!(calls.len(), 2);
    }

    #[test]
    fn deleting_what_is_not_there_is_done() {
        let (failed, _) = failures(code::ERROR_NOT_FOUND);
        assert_eq!(failed, [(0, ForwarderError::Host(code::ERROR_NOT_FOUND))]);
    }

    #[test]
    fn an_interface_is_refused_with_the_hosts_code() {
        let custom = Custom::new(Fake { answer: 31, ..Fake::default() });
        assert_eq!(custom.add_interface(IIF), Err(ForwarderError::Host(31)));
        assert_eq!(custom.route(Ipv4Addr::LOCALHOST, None), None);
        assert_eq!(custom.counters(FLOW), None);
    }
}
